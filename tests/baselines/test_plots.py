from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from baselines import plots


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """The figures that were written."""
    written: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: Any, **kwargs: Any) -> None:
        save(figure, *args, **kwargs)
        written.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    return written


def rows(rewards: list[float], step: int = 1000, turns: float = 1.0) -> list[dict[str, float]]:
    return [
        {"steps": step * (k + 1), "rotations": turns * k, "episode_length": 100.0 + k, "episode_reward": reward}
        for k, reward in enumerate(rewards)
    ]


def legend_overlaps_axes(figure: Figure) -> bool:
    (legend,) = figure.legends
    box = legend.get_window_extent()
    return any(box.overlaps(axis.get_window_extent()) for axis in figure.axes)


def test_rewards_below_zero_are_shown_and_turns_and_length_begin_at_zero(figures, tmp_path):
    plots.draw_curve(rows([-120.0, -40.0, 60.0]), tmp_path / "curve.png", "oracle")
    turns, length, reward = figures[0].axes
    assert turns.get_ylim()[0] == length.get_ylim()[0] == 0
    assert reward.get_ylim()[0] < -120 and reward.get_ylim()[1] > 60
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_turns_of_a_policy_that_turns_backwards_are_shown(figures, tmp_path):
    plots.draw_curve(rows([1.0, 2.0, 3.0], turns=-2.0), tmp_path / "curve.png", "oracle")
    assert figures[0].axes[0].get_ylim()[0] < -4


def test_the_terms_of_the_reward_have_a_panel_of_their_own(figures, tmp_path):
    curve = rows([1.0, 2.0, 3.0])
    for k, row in enumerate(curve[1:]):  # the first is of a version that did not keep them
        row |= {"reward/rotate": 2.0 * k, "reward/torque": -1.0}
    plots.draw_curve(curve, tmp_path / "curve.png", "oracle", resumed=[1000])
    panel = figures[0].axes[3]
    assert {line.get_label(): list(line.get_ydata()) for line in panel.lines} == {
        "rotate": [0.0, 2.0], "torque": [-1.0, -1.0]
    }  # fmt: skip
    labels = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert "resumed" in labels[0] and labels[1:] == ["rotate", "torque"]
    assert not legend_overlaps_axes(figures[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("last", "unit", "label"),
    [
        (512, 1, "control steps"),
        (8_192, 1e3, "control steps (thousand)"),
        (500_000, 1e3, "control steps (thousand)"),
        (2_000_000, 1e6, "control steps (million)"),
    ],
)
def test_the_unit_of_steps_fits_their_range(figures, tmp_path, last, unit, label):
    assert plots.step_unit(last) == (unit, label)
    plots.draw_curve(rows([1.0, 2.0], step=last // 2), tmp_path / "curve.png", "oracle")
    assert all(axis.get_xlabel() == label for axis in figures[0].axes)
    assert list(figures[0].axes[0].lines[0].get_xdata()) == [last // 2 / unit, last / unit]


def test_a_resumption_is_marked_and_explained(figures, tmp_path):
    plots.draw_curve(rows([1.0, 2.0, 3.0]), tmp_path / "curve.png", "oracle", resumed=[2000])
    assert all(list(axis.lines[-1].get_xdata()) == [2.0, 2.0] for axis in figures[0].axes)
    labels = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert sum("restarted together" in label for label in labels) == 1
    assert not legend_overlaps_axes(figures[0])


@pytest.mark.slow
def test_seeds_are_shades_that_no_other_method_has(figures, tmp_path):
    curves = {f"seed {k}": rows([1.0, 2.0 + k]) for k in range(3)}
    plots.draw_learning(tmp_path / "seeds.png", "oracle", curves, plots.shades(plots.COLORS["oracle"], 3))
    colors = [to_hex(line.get_color()) for line in figures[0].axes[0].lines]
    others = {color for method, color in plots.COLORS.items() if method != "oracle"} | set(plots.CONDITION_COLORS)
    assert len(set(colors)) == 3 and not others & set(colors)
    assert not set(plots.CONDITION_COLORS) & set(plots.COLORS.values())
    assert not legend_overlaps_axes(figures[0])


def test_the_legend_of_bars_covers_none_however_high_they_are(figures, tmp_path):
    groups = {name: [(20.0, 18.0, 22.0), (21.0, 20.0, 22.0)] for name in ("as trained", "pushes", "noise")}
    plots.draw_bars(tmp_path / "bars.png", "student", ["octagon", "spheres"], groups, plots.CONDITION_COLORS)
    assert not legend_overlaps_axes(figures[0])
    heights = [bar.get_height() for bar in figures[0].axes[0].patches]
    assert heights == [20.0, 21.0] * 3


def test_a_failed_drawing_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "curve.png"
    path.write_bytes(b"old")

    def fail(figure: Figure, where: Path, **kwargs: Any) -> None:
        Path(where).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no space left"):
        plots.draw_curve(rows([1.0, 2.0]), path, "oracle")
    assert path.read_bytes() == b"old" and [entry.name for entry in tmp_path.iterdir()] == ["curve.png"]
