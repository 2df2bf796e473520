from __future__ import annotations

import pickle
import re
import shutil

import h5py
import numpy as np
import pytest
from demos import FIELDS, header, record, step

from baselines.data import reader
from baselines.data.editing import merge
from baselines.data.episode_file import EpisodeFileError
from baselines.data.folder import FolderError
from baselines.data.header import Outcome
from baselines.data.reader import Demonstrations, Episode


@pytest.fixture
def folder(tmp_path):
    record(tmp_path / "demos", [4, 6, 3], changes=({"shape": "square"}, {"shape": "triangle"}))
    return tmp_path / "demos"


def test_mapped_fields_are_what_hdf5_reads(folder):
    for path in folder.glob("*.h5"):
        episode = Episode(path)
        with h5py.File(path) as file:
            for name, field in FIELDS.items():
                found = file["steps"][name]
                assert np.array_equal(episode[name], found[()]) and found.attrs["unit"] == field.unit
                assert episode[name].dtype == np.dtype(field.dtype) and not episode[name].flags.writeable


def test_compressed_episodes_read_as_the_others(folder, tmp_path):
    merge([folder], tmp_path / "small", compressed=True)
    merge([tmp_path / "small"], tmp_path / "fast")
    for one, two, three in zip(
        Demonstrations(folder), Demonstrations(tmp_path / "small"), Demonstrations(tmp_path / "fast"), strict=True
    ):
        assert (one.compressed, two.compressed, three.compressed) == (False, True, False)
        assert one.outcome == two.outcome == three.outcome and one.header.id == two.header.id
        assert all(np.array_equal(one[name], two[name]) and np.array_equal(one[name], three[name]) for name in FIELDS)


def test_touch_has_no_bias_and_the_unit_of_the_scale(folder, tmp_path):
    episode = Demonstrations(folder)[0]
    counts = episode["tactile"].astype(float) - header().tactile_bias
    assert np.allclose(episode.touch(), 0.1 * counts) and episode.touch().dtype == np.float32
    record(tmp_path / "unknown", [4], tactile_scale=None)
    assert np.array_equal(Demonstrations(tmp_path / "unknown")[0].touch(), counts)


def test_episodes_are_found_by_number_and_by_what_came_of_them(folder):
    episodes = Demonstrations(folder)
    assert [episode.number for episode in episodes] == [0, 1, 2] and len(episodes) == 3
    assert episodes.episode(1).name == "episode_000001"
    assert [e.number for e in episodes.where(mark="success")] == [0, 2]
    assert [e.number for e in episodes.where(shape="triangle")] == [1]
    assert [e.number for e in episodes.where(progress=0.5)] == [2]
    assert [e.number for e in episodes.where(mark="success", test=lambda e: len(e) > 3)] == [0]
    with pytest.raises(KeyError, match=r"no episode 7 in .*; there are 0 to 2"):
        episodes.episode(7)
    with pytest.raises(KeyError, match="no field 'touch'"):
        episodes[0]["touch"]
    for wrong in ({"mark": "good"}, {"shape": "cube"}, {"progress": 2.0}):
        with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
            episodes.where(**wrong)


def test_opening_needs_neither_hdf5_nor_the_steps(folder, monkeypatch):
    monkeypatch.setattr(h5py, "File", lambda *args, **kwargs: pytest.fail("opened"))
    monkeypatch.setattr(reader.np, "memmap", lambda *args: pytest.fail("mapped"))
    assert [len(episode) for episode in Demonstrations(folder)] == [4, 6, 3]


def test_fields_lie_in_the_file_until_they_are_used(folder):
    episode = Demonstrations(folder)[0]
    base = episode["tactile"]
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap) and base.filename == episode.path


def test_a_worker_is_not_sent_the_data(folder):
    episode = Demonstrations(folder)[1]
    whole = episode["tactile"]
    sent = pickle.dumps(episode)
    assert not pickle.loads(sent)._arrays
    assert np.array_equal(pickle.loads(sent)["tactile"], whole)


def test_damaged_and_foreign_files_are_told(folder):
    path = folder / "episode_000001.h5"
    whole = path.read_bytes()
    cases = {
        b"": "is not an episode of DexScrew",
        b"hello": "is not an episode of DexScrew",
        whole[:-10]: "is damaged: it has",
        whole[:300]: "is damaged: it has 300 bytes",
        whole[:100] + bytes(len(whole) - 100): "is damaged: ",
    }
    for data, told in cases.items():
        path.write_bytes(data)
        with pytest.raises(EpisodeFileError, match=f"{re.escape(str(path))} {told}"):
            Demonstrations(folder)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(EpisodeFileError, match="is not an episode of DexScrew"):
        Demonstrations(folder)


def test_a_file_that_cannot_be_read_is_told(folder):
    (folder / "episode_000009.h5").mkdir()
    with pytest.raises(EpisodeFileError, match=r"cannot read .*episode_000009\.h5: Is a directory"):
        Demonstrations(folder)
    with pytest.raises(EpisodeFileError, match=r"cannot read .*: No such file"):
        Episode(folder / "episode_000077.h5")


def test_damage_within_hdf5_is_told(folder):
    episode = Episode(folder / "episode_000001.h5")
    data = episode.path.read_bytes()
    start = data.index(b"\x89HDF")
    episode.path.write_bytes(data[:start] + bytes(100) + data[start + 100 :])
    with pytest.raises(EpisodeFileError, match=f"{re.escape(str(episode.path))} is damaged: HDF5 cannot read it"):
        episode["hand_q"]


def test_folders_without_a_data_set_are_told(tmp_path, folder):
    with pytest.raises(FolderError, match="there is no folder"):
        Demonstrations(tmp_path / "missing")
    with pytest.raises(FolderError, match="is not a folder"):
        Demonstrations(folder / "episode_000000.h5")
    with pytest.raises(FolderError, match="holds no finished episode"):
        Demonstrations(tmp_path)
    record(tmp_path / "other", [2], hand="large")
    shutil.copy(tmp_path / "other" / "episode_000000.h5", folder / "episode_000009.h5")
    with pytest.raises(FolderError, match=r"episode_000009 has hand \('large', not 'small'\)"):
        Demonstrations(folder)


def test_a_file_of_a_newer_version_is_told(folder):
    path = folder / "episode_000000.h5"
    path.write_bytes(path.read_bytes().replace(b"dexscrew-episode 1 ", b"dexscrew-episode 9 ", 1))
    with pytest.raises(ValueError, match="newer version of DexScrew"):
        Episode(path)


def test_a_recording_keeps_its_timing_contract(tmp_path):
    """A robot whose joints are where the last targets sent told them to be, recorded as docs/dataset.md shows."""
    from demos import JOINTS, Recorder

    held = np.zeros(len(JOINTS))
    with Recorder(tmp_path, header(), FIELDS) as recorder:
        recorder.begin()
        for number in range(10):
            observed = {"hand_q": held + 0.5, "held_hand": held, "time": number * 0.05}
            asked = observed["hand_q"] + 0.1
            sent = asked + 0.01 * (-1) ** number
            recorder.append(step(number) | observed | {"asked_hand": asked, "sent_hand": sent})
            held = sent
        recorder.finish(Outcome())
    (episode,) = Demonstrations(tmp_path)
    assert np.array_equal(episode["held_hand"][1:], episode["sent_hand"][:-1])
    assert np.allclose(episode["asked_hand"], episode["hand_q"] + 0.1)
