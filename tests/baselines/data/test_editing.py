from __future__ import annotations

import json
import os

import numpy as np
import pytest
from demos import FIELDS, header, record

from baselines.data import editing
from baselines.data.checking import check
from baselines.data.editing import Merged, drop, merge
from baselines.data.episode_file import EpisodeFileError
from baselines.data.folder import FolderError
from baselines.data.reader import Demonstrations
from baselines.data.schema import Field
from baselines.data.writer import Recorder
from dexscrew_envs.files import BusyError


@pytest.fixture
def sets(tmp_path):
    record(tmp_path / "a", [2, 3])
    record(tmp_path / "b", [4], shape="cross")
    return [tmp_path / "a", tmp_path / "b"]


def test_a_merge_copies_all_with_numbers_of_its_own(sets, tmp_path):
    assert merge(sets, tmp_path / "c") == Merged(3, 0)
    merged = Demonstrations(tmp_path / "c")
    sources = [episode for folder in sets for episode in Demonstrations(folder)]
    assert [episode.number for episode in merged] == [0, 1, 2]
    for episode, source in zip(merged, sources, strict=True):
        assert episode.path.read_bytes() == source.path.read_bytes()
    assert all(finding.sound for finding in check(tmp_path / "c"))
    with Recorder(tmp_path / "c", header(), FIELDS) as recorder:
        assert recorder.begin() == 3


def test_a_merge_that_was_interrupted_goes_on(sets, tmp_path, monkeypatch):
    copy, copied = editing._copy, []

    def interrupt(*args):
        if len(copied) == 2:
            raise KeyboardInterrupt
        copied.append(args)
        copy(*args)

    monkeypatch.setattr(editing, "_copy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        merge(sets, tmp_path / "c")
    monkeypatch.undo()
    assert merge(sets, tmp_path / "c") == Merged(1, 2)
    assert merge(sets, tmp_path / "c") == Merged(0, 3)
    assert len({episode.header.id for episode in Demonstrations(tmp_path / "c")}) == 3


def test_folders_that_cannot_be_merged_are_told(sets, tmp_path):
    record(tmp_path / "other", [2], task="screwdriver")
    with pytest.raises(FolderError, match=r"other cannot be merged: it has task \('screwdriver', not 'nut'\)"):
        merge([*sets, tmp_path / "other"], tmp_path / "c")
    assert not (tmp_path / "c").exists()
    with pytest.raises(FolderError, match="cannot be merged"):
        merge(sets, tmp_path / "other")
    with pytest.raises(FolderError, match="is one of the folders"):
        merge(sets, tmp_path / "b" / ".." / "a")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").touch()
    with pytest.raises(FolderError, match="not empty and holds no episodes"):
        merge(sets, tmp_path / "letters")
    with pytest.raises(FolderError, match="there is no folder"):
        merge([tmp_path / "missing"], tmp_path / "c")
    with pytest.raises(FolderError, match="at least one folder"):
        merge([], tmp_path / "c")


def test_fields_that_a_robot_adds_are_left_out_where_not_all_have_them(sets, tmp_path):
    extra = {"scene_qpos": Field("float32", (4,), "m", "a scene"), "lamp": Field("uint8", (), "", "light")}
    record(tmp_path / "twin", [3], fields=FIELDS | extra)
    record(tmp_path / "other", [2], fields=FIELDS | extra | {"scene_qpos": Field("float32", (5,), "m", "larger")})
    assert merge([tmp_path / "twin", tmp_path / "other"], tmp_path / "scenes") == Merged(2, 0, ("scene_qpos",))
    assert Demonstrations(tmp_path / "scenes").fields == FIELDS | {"lamp": extra["lamp"]}
    for order in ([tmp_path / "twin", *sets], [*sets, tmp_path / "twin"]):
        out = tmp_path / f"all-{order[0].name}"
        assert merge(order, out) == Merged(4, 0, tuple(extra))
        assert merge(order, out) == Merged(0, 4, tuple(extra))
        episodes = {episode.header.id: episode for episode in Demonstrations(out)}
        source = Demonstrations(tmp_path / "twin")[0]
        for name in FIELDS:
            np.testing.assert_array_equal(episodes[source.header.id][name], source[name])
        assert all(finding.sound for finding in check(out)) and Demonstrations(out).fields == FIELDS
    assert merge([tmp_path / "twin"], tmp_path / "all-a") == Merged(0, 1, tuple(extra))
    with pytest.raises(FolderError, match=r"the episodes in .*twin have scene_qpos, lamp, which not all"):
        merge(sets, tmp_path / "twin")
    record(tmp_path / "blind", [2], fields={name: field for name, field in FIELDS.items() if name != "tactile"})
    with pytest.raises(FolderError, match=r"blind cannot be merged: it has field tactile \(none, not int16"):
        merge([*sets, tmp_path / "blind"], tmp_path / "c")


def test_a_damaged_episode_is_not_copied(sets, tmp_path):
    path = sets[1] / "episode_000000.h5"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(EpisodeFileError, match="does not match its checksum"):
        merge(sets, tmp_path / "c")
    assert len(Demonstrations(tmp_path / "c")) == 2


def test_dropped_episodes_can_be_moved_back(sets):
    folder = sets[0]
    whole = (folder / "episode_000001.h5").read_bytes()
    (moved,) = drop(folder, [1, 1])
    assert moved.read_bytes() == whole and [e.number for e in Demonstrations(folder)] == [0]
    with Recorder(folder, header(), FIELDS) as recorder:
        assert recorder.begin() == 2
        recorder.discard()
    os.rename(moved, folder / moved.name)
    assert [e.number for e in Demonstrations(folder)] == [0, 1]


def test_a_drop_replaces_nothing_that_was_dropped_before(sets):
    folder = sets[0]
    copy = (folder / "episode_000000.h5").read_bytes()
    (moved,) = drop(folder, [1])
    before = moved.read_bytes()
    (folder / "episode_000001.h5").write_bytes(copy)
    with pytest.raises(FolderError, match=r"cannot drop .*episode_000001\.h5: an episode of that name was dropped"):
        drop(folder, [0, 1])
    assert moved.read_bytes() == before and [e.number for e in Demonstrations(folder)] == [0, 1]


def test_a_merge_brings_no_dropped_episode_back(sets, tmp_path):
    out = tmp_path / "c"
    assert merge(sets, out) == Merged(3, 0)
    (moved,) = drop(out, [1])
    (moved.parent / "damaged.h5").write_bytes(b"damaged")
    assert merge(sets, out) == Merged(0, 2, dropped=1)
    assert [episode.number for episode in Demonstrations(out)] == [0, 2]
    moved.unlink()
    assert merge(sets, out) == Merged(1, 2)


def test_drops_of_what_is_not_there_move_nothing(sets):
    with pytest.raises(FolderError, match=r"no episode 5, 7 in .*; there are 0 to 1"):
        drop(sets[0], [0, 7, 5])
    assert len(Demonstrations(sets[0])) == 2 and not (sets[0] / "dropped").exists()
    with Recorder(sets[0], header(), FIELDS), pytest.raises(BusyError):
        drop(sets[0], [0])


def test_a_lost_note_of_numbers_is_no_loss(sets, tmp_path):
    for note in ("", "[]", json.dumps({"next": "x"})):
        (sets[0] / "numbering.json").write_text(note)
        with Recorder(sets[0], header(), FIELDS) as recorder:
            assert recorder.begin() >= 2
            recorder.discard()
    assert np.all([finding.sound for finding in check(sets[0])])
