from __future__ import annotations

import random
import re
import zlib

import h5py
import pytest
from demos import TINY, cut_off, header, record

from baselines.data.checking import check
from baselines.data.folder import FolderError
from baselines.data.header import Outcome
from baselines.data.writer import Recorder


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_sound_folder_is_sound_and_stays_as_it_is(tmp_path):
    record(tmp_path, [3, 4], fields=TINY)
    cut_off(tmp_path, 5)
    path = cut_off(tmp_path / "other", 5)
    (tmp_path / "episode_000009.partial").write_bytes(path.read_bytes()[:-3])
    before = contents(tmp_path)
    found = check(tmp_path)
    assert [finding.sound for finding in found] == [True] * 4
    assert found[3].said.startswith("not finished, 4 steps, and ")
    assert contents(tmp_path) == before


def test_an_episode_that_was_copied_is_found(tmp_path):
    record(tmp_path, [3, 4], fields=TINY)
    log = cut_off(tmp_path, 5)
    data = log.read_bytes()
    (tmp_path / "episode_000007.h5").write_bytes((tmp_path / "episode_000001.h5").read_bytes())
    log.with_name("episode_000008.partial").write_bytes(data)
    found = {finding.path.name: finding for finding in check(tmp_path)}
    wrong = {name: finding.said for name, finding in found.items() if not finding.sound}
    assert wrong == {
        "episode_000007.h5": "the same episode as episode_000001.h5, copied; remove one of them",
        "episode_000008.partial": f"the same episode as {log.name}, copied; remove one of them",
    }


def test_an_episode_beside_its_own_log_is_sound(tmp_path):
    path = cut_off(tmp_path, 3)
    data = path.read_bytes()
    Recorder(tmp_path, header(), TINY).close()
    path.write_bytes(data)
    assert [finding.sound for finding in check(tmp_path)] == [True, True]


def test_a_log_beside_another_episode_of_its_number_is_told(tmp_path):
    path = cut_off(tmp_path, 3)
    record(tmp_path / "other", [2], fields=TINY)
    (tmp_path / "other" / "episode_000000.h5").rename(path.with_suffix(".h5"))
    whole, log = check(tmp_path)
    assert whole.said == "whole, 2 steps" and log.sound
    assert log.said == (
        "not finished, 3 steps; a recorder will recover it under another number, since episode_000000.h5 is another "
        "episode, or damaged"
    )


def seal(path, change):
    """Change what a file says of its episode, with a checksum that is right."""
    first, text, rest = path.read_bytes().split(b"\n", 2)
    changed = change(text)
    body = changed + b"\n" + rest[len(changed) - len(text) :]
    first = first.rsplit(b" ", 1)[0] + b" %08x" % zlib.crc32(body)
    path.write_bytes(first + b"\n" + body)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b'"steps": 3', b'"steps": 5', r"time has float64 \(3,\) instead of float64 \(5,\)"),
        (b'"steps": 3', b'"steps": Infinity', "steps must be a positive integer, got inf"),
        (b'"steps": 3', b'"steps": 3.5', "steps must be a positive integer, got 3.5"),
        (b'"shape": [2]', b'"shape": [4]', r"x has float32 \(3, 2\) instead of float32 \(3, 4\)"),
        (b'"shape": [2]', b'"shape": [Infinity]', "a field's shape must be a tuple of positive integers"),
        (b'"dtype": "int16"', b'"dtype": "uint8"', r"n has int16 \(3,\) instead of uint8 \(3,\)"),
        (b'"n": {', b'"m": {', "HDF5 cannot read it"),
    ],
)
def test_an_episode_that_nothing_can_read_is_found(tmp_path, old, new, told):
    record(tmp_path, [3], fields=TINY)
    path = tmp_path / "episode_000000.h5"
    seal(path, lambda text: text.replace(old, new))
    (tmp_path / "episode_000001.h5").write_bytes(b"")  # the others are looked at, too
    wrong, other = check(tmp_path)
    assert not wrong.sound and not other.sound
    assert str(path) in wrong.said and re.search(told, wrong.said)


def test_what_lies_in_the_place_of_a_field_is_found(tmp_path):
    record(tmp_path, [3], fields=TINY)
    path = tmp_path / "episode_000000.h5"
    with h5py.File(path, "r+") as file:
        del file["steps/n"]
        file.create_group("steps/n")
    first, rest = path.read_bytes().split(b"\n", 1)
    words = first.split(b" ")
    words[3] = b"%012d" % len(rest)
    path.write_bytes(b" ".join(words) + b"\n" + rest)
    seal(path, lambda text: text)
    (finding,) = check(tmp_path)
    assert not finding.sound and "n is no dataset" in finding.said


def test_a_complete_log_is_sound(tmp_path):
    cut_off(tmp_path, 5, outcome=Outcome())
    assert check(tmp_path)[0].said == "complete, 5 steps; a recorder will finish it"


@pytest.mark.slow
def test_a_flipped_bit_anywhere_in_a_file_is_found(tmp_path):
    record(tmp_path, [3], fields=TINY)
    path = tmp_path / "episode_000000.h5"
    data = path.read_bytes()
    draw = random.Random(0)
    for at in [0, 20, 300, 511, 512, len(data) - 1, *(draw.randrange(len(data)) for _ in range(300))]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :])
        (finding,) = check(tmp_path)
        assert not finding.sound and str(path) in finding.said, at
    path.write_bytes(data)
    assert check(tmp_path)[0].sound


def test_damaged_logs_and_foreign_files_are_found(tmp_path):
    record(tmp_path, [3], fields=TINY)
    path = cut_off(tmp_path, 5)
    data = bytearray(path.read_bytes())
    data[-40] ^= 1  # in the last step but one
    path.write_bytes(data)
    (tmp_path / "episode_000005.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "episode_000006.partial").write_bytes(b"{}\n")
    (tmp_path / "episode_000007.damaged").touch()
    record(tmp_path / "other", [2], fields=TINY, task="screwdriver")
    (tmp_path / "other" / "episode_000000.h5").rename(tmp_path / "episode_000008.h5")
    found = {finding.path.name: finding for finding in check(tmp_path)}
    assert [name for name, finding in found.items() if finding.sound] == ["episode_000000.h5"]
    assert "is not an episode" in found["episode_000005.h5"].said
    assert "task ('screwdriver', not 'nut')" in found["episode_000008.h5"].said
    assert "damaged after" in found[path.name].said
    assert "first line" in found["episode_000006.partial"].said


def test_a_log_that_no_recorder_takes_is_found(tmp_path):
    record(tmp_path, [3], fields=TINY, task="screwdriver")
    path = cut_off(tmp_path / "nut", 5).rename(tmp_path / "episode_000001.partial")
    whole, log = check(tmp_path)
    assert whole.sound and not log.sound
    assert log.said == (
        "does not belong to episode_000000.h5: task ('nut', not 'screwdriver'); move it to another folder"
    )
    for task in ("nut", "screwdriver"):
        with pytest.raises(FolderError, match="holds other data"):
            Recorder(tmp_path, header(task=task), TINY)
    (tmp_path / "episode_000000.h5").unlink()
    cut_off(tmp_path / "more", 5).rename(tmp_path / "episode_000002.partial")
    assert all(finding.sound for finding in check(tmp_path))
    record(tmp_path / "other", [3], fields=TINY)
    path.rename(tmp_path / "other" / path.name)
    assert all(finding.sound for finding in check(tmp_path / "other"))


def test_files_that_cannot_be_read_are_found(tmp_path):
    for name in ("episode_000000.h5", "episode_000001.partial"):
        (tmp_path / name).mkdir()
    assert [finding.said for finding in check(tmp_path)] == [
        f"cannot read {tmp_path / name}: Is a directory" for name in ("episode_000000.h5", "episode_000001.partial")
    ]


def test_a_folder_without_episodes_is_told(tmp_path):
    with pytest.raises(FolderError, match="holds no episodes"):
        check(tmp_path)
