"""The recorder: numbering, recovery, and what it does when the disk or the folder is not as it should be."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from demos import FIELDS, TINY, cut_off, header, record, step

from baselines.data import log, writer
from baselines.data.checking import check
from baselines.data.episode_file import EpisodeFileError
from baselines.data.folder import FolderError, numbered
from baselines.data.header import Outcome
from baselines.data.reader import Demonstrations, Episode
from baselines.data.schema import Field, SchemaError, step_fields
from baselines.data.writer import Recorder, RecorderError, check_recordable
from dexscrew_envs.files import BusyError, WriteError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("episode"))


def test_an_episode_is_a_log_and_then_a_file(tmp_path):
    with Recorder(tmp_path, header(), FIELDS) as recorder:
        assert recorder.begin(seed=7, shape="triangle") == 0 and recorder.number == 0
        for number in range(5):
            recorder.append(step(number))
        assert names(tmp_path) == ["episode_000000.partial"] and recorder.steps == 5
        path = recorder.finish(Outcome(mark="success", turns=3.0, needed=4.0))
        assert names(tmp_path) == [path.name] == ["episode_000000.h5"] and recorder.number is None
    episode = Episode(path)
    assert (episode.header.seed, episode.header.shape, len(episode)) == (7, "triangle", 5)
    assert episode.outcome == Outcome(mark="success", turns=3.0, needed=4.0, seconds=0.25)
    for name in FIELDS:
        assert np.array_equal(episode[name], np.stack([step(k)[name] for k in range(5)])), name
    assert episode.header.id and episode.header.recorded


def test_no_number_is_given_twice(tmp_path):
    with Recorder(tmp_path, header(), FIELDS) as recorder:
        recorder.begin()
        recorder.discard()
        assert names(tmp_path) == []
    with Recorder(tmp_path, header(), FIELDS) as recorder:
        assert recorder.begin() == 1
        recorder.append(step(0))
        recorder.finish(Outcome()).unlink()
    (tmp_path / "numbering.json").unlink()
    (tmp_path / "dropped").mkdir()
    (tmp_path / "dropped" / "episode_000041.h5").touch()
    with Recorder(tmp_path, header(), FIELDS) as recorder:
        assert recorder.begin() == 42


def test_what_was_cut_off_is_recovered_by_the_next_recorder_alone(tmp_path):
    path = cut_off(tmp_path, 5)
    before = path.read_bytes()
    with pytest.raises(FolderError, match="no finished episode"):
        Demonstrations(tmp_path)
    assert path.read_bytes() == before
    with Recorder(tmp_path, header(), TINY) as recorder:
        assert recorder.recovered == ("episode_000000.h5 was cut off after 5 steps, which are kept",)
        assert names(tmp_path) == ["episode_000000.h5"]
        assert recorder.begin() == 1
    (episode,) = Demonstrations(tmp_path)
    assert len(episode) == 5 and episode.outcome == Outcome(reason="recovered", seconds=0.25)


def test_the_turns_of_a_recovered_episode_are_the_last_that_were_measured(tmp_path):
    with Recorder(tmp_path, header(), FIELDS) as recorder:
        recorder.begin()
        for number, turns in enumerate((0.5, 1.5, np.nan)):
            recorder.append(step(number) | {"turns": turns})
    Recorder(tmp_path, header(), FIELDS).close()
    assert Demonstrations(tmp_path)[0].outcome.turns == 1.5


def test_a_complete_log_is_finished_with_its_outcome(tmp_path):
    cut_off(tmp_path, 3, outcome=Outcome(mark="failure", seconds=9.0))
    Recorder(tmp_path, header(), TINY).close()
    assert Demonstrations(tmp_path)[0].outcome == Outcome(mark="failure", seconds=9.0)


def test_a_log_beside_its_finished_file_is_removed(tmp_path):
    path = cut_off(tmp_path, 3)
    data = path.read_bytes()
    Recorder(tmp_path, header(), TINY).close()
    finished = (tmp_path / "episode_000000.h5").read_bytes()
    path.write_bytes(data)
    Recorder(tmp_path, header(), TINY).close()
    assert names(tmp_path) == ["episode_000000.h5"] and (tmp_path / "episode_000000.h5").read_bytes() == finished


def test_a_damaged_file_beside_its_log_is_made_anew(tmp_path):
    path = cut_off(tmp_path, 3)
    data = path.read_bytes()
    Recorder(tmp_path, header(), TINY).close()
    finished = tmp_path / "episode_000000.h5"
    whole = finished.read_bytes()
    finished.write_bytes(whole[:-1] + b"x")
    path.write_bytes(data)
    Recorder(tmp_path, header(), TINY).close()
    assert names(tmp_path) == [finished.name] and finished.read_bytes() == whole


def other_episode(folder: Path) -> bytes:
    """A finished episode of another machine."""
    record(folder, [2], fields=TINY)
    return (folder / "episode_000000.h5").read_bytes()


@pytest.mark.parametrize("damage", ["", "steps", "header"])
def test_a_log_is_kept_beside_another_episode_of_its_number(tmp_path, damage):
    cut_off(tmp_path, 5)
    other = other_episode(tmp_path / "other")
    other = {"": other, "steps": other[:-1] + b"x", "header": b"damaged"}[damage]
    (tmp_path / "episode_000000.h5").write_bytes(other)
    (tmp_path / "dropped").mkdir()
    (tmp_path / "dropped" / "episode_000006.h5").touch()  # its number was used, too
    with Recorder(tmp_path, header(), TINY) as recorder:
        assert recorder.recovered == (
            "episode_000000.partial was cut off after 5 steps, which are kept as episode_000007.h5, since "
            "episode_000000.h5 is another episode, or damaged",
        )
        assert recorder.begin() == 8
        recorder.discard()
    assert names(tmp_path) == ["episode_000000.h5", "episode_000007.h5"]
    assert (tmp_path / "episode_000000.h5").read_bytes() == other
    assert len(Episode(tmp_path / "episode_000007.h5")) == 5


def test_a_log_that_was_kept_under_another_number_is_not_kept_twice(tmp_path):
    path = cut_off(tmp_path, 5)
    data = path.read_bytes()
    path.with_suffix(".h5").write_bytes(other_episode(tmp_path / "other"))
    Recorder(tmp_path, header(), TINY).close()
    path.write_bytes(data)  # as if its removal had been cut off
    with Recorder(tmp_path, header(), TINY) as recorder:
        assert recorder.recovered == ("episode_000001.h5 was finished already",)
    assert names(tmp_path) == ["episode_000000.h5", "episode_000001.h5"]


def test_a_damaged_log_replaces_no_file_with_more_steps(tmp_path):
    path = cut_off(tmp_path, 6)
    data = bytearray(path.read_bytes())
    Recorder(tmp_path, header(), TINY).close()
    finished = path.with_suffix(".h5")
    changed = finished.read_bytes()[:-1] + b"x"
    finished.write_bytes(changed)
    data[data.index(b"\n") + 1 + 3 * log.record_dtype(TINY).itemsize + 10] ^= 1
    path.write_bytes(data)
    Recorder(tmp_path, header(), TINY).close()
    assert finished.read_bytes() == changed and len(Episode(tmp_path / "episode_000001.h5")) == 3


def test_a_log_that_is_set_aside_replaces_no_other(tmp_path):
    path = cut_off(tmp_path, 2)
    path.write_bytes(b"nonsense")
    path.with_suffix(".damaged").write_bytes(b"other nonsense")
    Recorder(tmp_path, header(), TINY).close()
    assert names(tmp_path) == ["episode_000000.damaged", "episode_000001.damaged"]
    assert path.with_suffix(".damaged").read_bytes() == b"other nonsense"


def test_an_episode_that_ends_replaces_no_other(tmp_path):
    with Recorder(tmp_path, header(), TINY) as recorder:
        recorder.begin()
        recorder.append(step(0, fields=TINY))
        other = other_episode(tmp_path / "other")
        (tmp_path / "episode_000000.h5").write_bytes(other)  # copied in meanwhile
        assert recorder.finish(Outcome()).name == "episode_000001.h5"
    assert (tmp_path / "episode_000000.h5").read_bytes() == other


def test_another_episode_beside_a_log_must_belong_to_the_folder(tmp_path):
    path = cut_off(tmp_path, 3)
    record(tmp_path / "other", [2], fields=TINY, task="screwdriver")
    (tmp_path / "other" / "episode_000000.h5").rename(path.with_suffix(".h5"))
    with pytest.raises(FolderError, match=r"episode_000000\.h5 has task \('screwdriver', not 'nut'\)"):
        Recorder(tmp_path, header(), TINY)
    assert path.exists()


@pytest.mark.parametrize("name", ["episode_0000001.h5", "episode_1000000000.h5"])
def test_names_that_would_hide_an_episode_are_told(tmp_path, name):
    record(tmp_path, [2, 2], fields=TINY)
    (tmp_path / name).write_bytes((tmp_path / "episode_000000.h5").read_bytes())
    for read in (Demonstrations, check, lambda folder: Recorder(folder, header(), TINY)):
        with pytest.raises(FolderError, match=f"{name} is not named as a recorder names episodes"):
            read(tmp_path)


def test_a_number_that_no_name_holds_is_not_given(tmp_path):
    record(tmp_path, [2], fields=TINY)
    (tmp_path / "episode_000000.h5").rename(tmp_path / "episode_999999999.h5")
    with Recorder(tmp_path, header(), TINY) as recorder:
        with pytest.raises(FolderError, match="no number left for an episode: the next would be 1000000000"):
            recorder.begin()
        assert recorder.number is None
    assert names(tmp_path) == ["episode_999999999.h5"]


def test_a_log_without_a_step_leaves_nothing(tmp_path):
    cut_off(tmp_path, 0)
    with Recorder(tmp_path, header(), TINY) as recorder:
        assert names(tmp_path) == [] and "had no step" in recorder.recovered[0]


def test_a_damaged_log_is_set_aside_and_what_precedes_the_damage_is_kept(tmp_path):
    path = cut_off(tmp_path, 6)
    data = bytearray(path.read_bytes())
    data[data.index(b"\n") + 1 + 3 * log.record_dtype(TINY).itemsize + 10] ^= 1
    path.write_bytes(data)
    with Recorder(tmp_path, header(), TINY) as recorder:
        assert "damaged after 3 steps" in recorder.recovered[0]
    assert names(tmp_path) == ["episode_000000.damaged", "episode_000000.h5"]
    assert (tmp_path / "episode_000000.damaged").read_bytes() == data
    assert len(Demonstrations(tmp_path)[0]) == 3


def test_a_log_without_a_first_line_is_set_aside(tmp_path):
    record(tmp_path, [2])
    (tmp_path / "episode_000007.partial").write_bytes(b"nonsense")
    with Recorder(tmp_path, header(), FIELDS) as recorder:
        assert "episode_000007.damaged" in recorder.recovered[0]
        assert recorder.begin() == 8


def test_a_refused_step_leaves_the_episode_as_it_was(tmp_path):
    with Recorder(tmp_path, header(), TINY) as recorder:
        recorder.begin()
        recorder.append(step(0, fields=TINY))
        with pytest.raises(SchemaError, match="time must grow from step to step"):
            recorder.append(step(0, fields=TINY))
        with pytest.raises(SchemaError, match="x must have the shape"):
            recorder.append(step(1, fields=TINY) | {"x": 1.0})
        recorder.append(step(1, fields=TINY))
        assert len(Episode(recorder.finish(Outcome()))) == 2


@contextmanager
def full_disk(free: int):
    """Let no file of this process grow beyond a size."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_disk_that_fills_up_while_recording_costs_nothing_recorded(tmp_path):
    with Recorder(tmp_path, header(), TINY) as recorder:
        recorder.begin()
        with (
            full_disk(4000),
            pytest.raises(WriteError, match=r"cannot write .*episode_000000\.partial: .*MB free there"),
        ):
            for number in range(1000):
                recorder.append(step(number, fields=TINY))
        kept = recorder.steps
        assert 0 < kept < 1000
        for number in range(kept, kept + 3):  # once there is room again
            recorder.append(step(number, fields=TINY))
        path = recorder.finish(Outcome())
    assert np.array_equal(Episode(path)["n"], [step(k, fields=TINY)["n"] for k in range(kept + 3)])


def test_what_a_full_disk_took_of_a_step_is_removed_at_the_end(tmp_path):
    with Recorder(tmp_path, header(), FIELDS) as recorder:
        recorder.begin()
        recorder.append(step(0))
        size = (tmp_path / "episode_000000.partial").stat().st_size
        torn = log.record_dtype(FIELDS).itemsize - 1  # longer than the line of the outcome
        with full_disk(size + torn), pytest.raises(WriteError):
            recorder.append(step(1))
        assert (tmp_path / "episode_000000.partial").stat().st_size == size + torn
        assert len(Episode(recorder.finish(Outcome()))) == 1


def test_a_disk_that_is_full_at_the_end_leaves_the_log_to_be_finished_later(tmp_path):
    outcome = Outcome(mark="success", turns=1.0, needed=4.0, seconds=5.0)
    with Recorder(tmp_path, header(), TINY) as recorder:
        recorder.begin()
        for number in range(4):
            recorder.append(step(number, fields=TINY))
        with full_disk(4000), pytest.raises(WriteError, match=r"cannot write .*episode_000000\.h5"):
            recorder.finish(outcome)
        assert names(tmp_path) == ["episode_000000.partial"]
    Recorder(tmp_path, header(), TINY).close()
    (episode,) = Demonstrations(tmp_path)
    assert len(episode) == 4 and episode.outcome == outcome


def test_a_finish_that_failed_can_be_repeated(tmp_path, monkeypatch):
    with Recorder(tmp_path, header(), TINY) as recorder:
        recorder.begin()
        recorder.append(step(0, fields=TINY))
        for limit in (10, 4000):  # no room for the outcome, no room for the file
            with full_disk(limit), pytest.raises(WriteError):
                recorder.finish(Outcome(mark="success"))
        assert Episode(recorder.finish(Outcome(mark="failure"))).outcome.mark == "failure"


def test_a_disk_that_fails_to_keep_what_was_written_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "SYNC_PERIOD", 0.01)
    with Recorder(tmp_path, header(), TINY) as recorder:
        recorder.begin()

        def fail(file):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(log.os, "fsync", fail)
        with pytest.raises(WriteError, match="Input/output error"):
            for number in range(100_000):
                recorder.append(step(number, fields=TINY))
        monkeypatch.undo()


def test_an_episode_does_not_begin_without_room_for_it(tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    with Recorder(tmp_path, header(), FIELDS) as recorder:
        monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(WriteError, match=r"0\.0 MB are free there, and an episode of 300 s needs \d+\.\d MB"):
            recorder.begin()
        monkeypatch.undo()
        assert recorder.begin() == 0


@pytest.mark.parametrize(
    ("changes", "fields", "told"),
    [
        ({"task": "screwdriver"}, FIELDS, r"task \('nut', not 'screwdriver'\)"),
        ({"hand": "other"}, FIELDS, r"hand \('small', not 'other'\)"),
        ({"joints": ("c", "b", "a")}, FIELDS, "joints"),
        ({"period": 0.1}, FIELDS, r"period \(0.05, not 0.1\)"),
        ({}, step_fields(3, 2, taxels=2, extra={"qpos": TINY["x"]}), r"field qpos \(none, not float32 \(2,\) in m\)"),
    ],
)
def test_a_folder_of_other_data_is_refused(tmp_path, changes, fields, told):
    record(tmp_path, [2])
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(FolderError, match=f"holds other data: episode_000000.h5 has .*{told}"):
        Recorder(tmp_path, header(**changes), fields)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    Recorder(tmp_path, header(shape="cross", robot="hardware"), FIELDS).close()


@pytest.mark.parametrize(("name", "shape"), [("hand_q", (4,)), ("tactile", (5, 2, 3)), ("resultant", (5, 3))])
def test_fields_of_another_hand_than_the_header_names_are_refused(tmp_path, name, shape):
    fields = FIELDS | {name: Field(FIELDS[name].dtype, shape, FIELDS[name].unit, "of another hand")}
    with pytest.raises(SchemaError, match=f"the field {name} has the shape .* but by the joints, the fingers and"):
        Recorder(tmp_path / "demos", header(), fields)
    assert not (tmp_path / "demos").exists()


def test_a_folder_with_a_log_of_other_data_is_refused(tmp_path):
    path = cut_off(tmp_path, 3)
    with pytest.raises(FolderError, match=r"episode_000000.partial has task \('nut', not 'screwdriver'\)"):
        Recorder(tmp_path, header(task="screwdriver"), TINY)
    assert path.exists()


def test_places_that_cannot_be_recorded_into_are_refused(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    with pytest.raises(FolderError, match="not empty and holds no episodes"):
        Recorder(tmp_path / "other", header(), FIELDS)
    with pytest.raises(ValueError, match="a file, not a folder"):
        Recorder(tmp_path / "other" / "letter.txt", header(), FIELDS)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["letter.txt"]
    (tmp_path / "read-only").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # permissions do not bind root
    with pytest.raises(ValueError, match="read-only, or not yours to write"):
        Recorder(tmp_path / "read-only", header(), FIELDS)


def test_a_folder_can_be_checked_before_it_is_needed(tmp_path):
    check_recordable(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    record(tmp_path / "demos", [2])
    check_recordable(tmp_path / "demos")
    with Recorder(tmp_path / "demos", header(), FIELDS), pytest.raises(BusyError, match="in use"):
        check_recordable(tmp_path / "demos")
    with pytest.raises(FolderError, match="not empty and holds no episodes"):
        check_recordable(tmp_path)


def test_a_folder_whose_newest_file_is_damaged_is_refused(tmp_path):
    record(tmp_path, [2])
    path = tmp_path / "episode_000000.h5"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EpisodeFileError, match=r"episode_000000\.h5 is damaged"):
        Recorder(tmp_path, header(), FIELDS)


def test_two_recorders_do_not_share_a_folder(tmp_path):
    with Recorder(tmp_path, header(), FIELDS) as recorder:
        recorder.begin()
        recorder.append(step(0))
        with pytest.raises(BusyError, match=f"in use by process {os.getpid()}"):
            Recorder(tmp_path, header(), FIELDS)
        again = f"from demos import *; Recorder({str(tmp_path)!r}, header(), FIELDS)"
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[3])])
        found = subprocess.run(
            [sys.executable, "-c", again], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert "BusyError" in found.stderr
        recorder.append(step(1))
        assert len(Episode(recorder.finish(Outcome()))) == 2
    Recorder(tmp_path, header(), FIELDS).close()


def test_calls_out_of_turn_are_told(tmp_path):
    recorder = Recorder(tmp_path, header(), FIELDS)
    for call in (lambda: recorder.append(step(0)), lambda: recorder.finish(Outcome()), recorder.discard):
        with pytest.raises(RecorderError, match="call begin first"):
            call()
    with pytest.raises(SchemaError, match="task cannot differ"):
        recorder.begin(task="screwdriver")
    with pytest.raises(SchemaError, match="no such field"):
        recorder.begin(sede=1)
    with pytest.raises(SchemaError, match="tactile"):
        recorder.begin(tactile_bias=np.zeros((2, 5, 3), int))
    recorder.begin()
    with pytest.raises(RecorderError, match="has not ended"):
        recorder.begin()
    with pytest.raises(RecorderError, match="has no step; discard it"):
        recorder.finish(Outcome())
    with pytest.raises(SchemaError, match="must be an Outcome"):
        recorder.finish("success")
    recorder.close()
    recorder.close()
    with pytest.raises(RecorderError, match="closed"):
        recorder.begin()
    with pytest.raises(SchemaError, match="Header"):
        Recorder(tmp_path, {"task": "nut"}, FIELDS)
    assert not numbered(tmp_path)
