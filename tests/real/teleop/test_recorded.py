"""Recorded episodes on the page, while the folder changes."""

from __future__ import annotations

import os
import shutil

import pytest

from baselines.data.reader import Demonstrations
from real.teleop import recorded
from real.teleop.recorded import SAMPLES, RecordedEpisodes

SOURCE = SAMPLES / "nut"


@pytest.mark.slow
def test_a_picture_shows_the_episodes_own_scene_when_the_list_has_changed(tmp_path, opengl):
    names = {episode.header.shape: episode.path for episode in Demonstrations(SOURCE)}
    first = next(iter(names))
    other = next(path for shape, path in names.items() if shape != first)
    replay = RecordedEpisodes(tmp_path, SOURCE)
    replay.episodes()
    before = replay.picture(0, 0)
    shutil.copy(other, tmp_path / "episode_000000.h5")
    assert len(replay.episodes()) == 1
    anew = RecordedEpisodes(tmp_path)
    anew.episodes()
    assert replay.picture(0, 0) == anew.picture(0, 0) != before


def test_a_set_is_opened_again_only_when_its_files_have_changed(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(recorded, "Demonstrations", lambda folder: opened.append(folder) or Demonstrations(folder))
    replay = RecordedEpisodes(tmp_path / "demos", SOURCE)
    assert [len(replay.episodes()) for _ in range(3)] == [3, 3, 3] and opened == [SOURCE]
    samples = {episode.key for episode in replay.episodes()}
    (tmp_path / "demos").mkdir()
    file = shutil.copy(SOURCE / "episode_000001.h5", tmp_path / "demos")
    assert [len(replay.episodes()) for _ in range(3)] == [1, 1, 1] and len(opened) == 2
    assert len(samples) == 3 and replay.episodes()[0].key in samples  # the same episode, now first in the list
    os.utime(file, (0, 0))  # as after an edit
    assert len(replay.episodes()) == 1 and len(opened) == 3
    os.unlink(file)
    assert len(replay.episodes()) == 3 and len(opened) == 4


def test_a_folder_that_is_not_there_yet_has_nothing(tmp_path):
    assert RecordedEpisodes(tmp_path / "none").episodes() == []
