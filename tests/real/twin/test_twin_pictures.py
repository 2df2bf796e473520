from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from real.twin import pictures


def test_the_section_shows_metal_and_tips(tmp_path):
    pictures.draw_section(tmp_path / "section.png")
    pixels = imread(tmp_path / "section.png")[..., :3]
    for color in ([0.79, 0.80, 0.83], [0.90, 0.68, 0.41]):  # of the head, of a tip
        assert (np.abs(pixels - color).max(axis=-1) < 0.04).mean() > 0.05


def test_a_trial_becomes_curves_and_frames(tmp_path):
    time = np.arange(100) * 0.05
    series = {"time": time, "tilt": time, "force": time, "torque": time, "turns": time}
    pictures.draw_trial(series, "complete", tmp_path / "trial.png")
    pictures.draw_frames([np.zeros((40, 30, 3), np.uint8)] * 3, [0.0, 1.0, 2.0], tmp_path / "frames.png")
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("trial.png", "frames.png"))


@pytest.mark.slow
def test_everything_is_drawn_into_the_folder(tmp_path, monkeypatch, opengl):
    monkeypatch.setattr(pictures, "_SECONDS", 1.0)
    assert pictures.main([str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"twin-recess.png", "twin-trial.png", "twin-frames.png"}


def test_a_folder_that_cannot_be_is_refused(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert pictures.main([str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
