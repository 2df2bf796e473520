from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from baselines.plots import COLORS
from benchmark import pictures
from benchmark.ablation_report import draw_curves

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture
def copied(tmp_path) -> Path:
    for path in RESULTS.glob("*.json"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_picture_of_the_results_is_drawn_from_the_json_files_beside_it(copied, monkeypatch):
    figures: list[Figure] = []

    def draw(figure: Figure, path: Path, **kwargs: Any) -> None:
        figure.draw_without_rendering()
        figures.append(figure)
        Path(path).write_bytes(b"drawn")

    monkeypatch.setattr(Figure, "savefig", draw)
    assert pictures.main([str(copied)]) == 0
    assert {path.name for path in copied.glob("*.png")} == {path.name for path in RESULTS.glob("*.png")}
    for figure in figures:
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert not any(box.overlaps(axis.get_window_extent()) for axis in figure.axes)


@pytest.mark.parametrize(("name", "content"), [("oracle.json", None), ("oracle.json", [{"task": "nut"}])])
def test_a_missing_or_foreign_json_file_is_an_error_that_names_the_picture(copied, capsys, name, content):
    (copied / name).unlink()
    if content is not None:
        (copied / name).write_text(json.dumps(content))
    assert pictures.main([str(copied)]) == 2
    assert "nut-oracle.png cannot be drawn" in capsys.readouterr().err


def test_a_students_curve_is_broken_where_the_first_full_episodes_end(tmp_path, monkeypatch):
    """Before, only its failures are counted; a line across looks like a jump of the student itself."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: figures.append(figure) or Path(path).touch())
    curve = [
        {"steps": steps, "episode_reward": 100.0 if steps < 800 else 6000.0, "episode_length": 100.0}
        for steps in range(100, 2000, 100)
    ]
    runs = {method: {"curves": [curve, curve], "config": {"num_envs": 1}} for method in COLORS}
    draw_curves("nut", runs, tmp_path / "curves.png")
    for axis in figures[0].axes:
        lines = {method: [line for line in axis.lines if line.get_color() == COLORS[method]] for method in COLORS}
        (unbroken,) = lines["oracle"]
        assert unbroken.get_xdata().min() == 0.1 and unbroken.get_xdata().max() == 1.9
        late, early = (line.get_xdata() for line in lines["student"])
        assert early.max() < 0.8 <= late.min()
    texts = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert texts[:4] == list(COLORS) and "first full episodes end" in texts[4]
