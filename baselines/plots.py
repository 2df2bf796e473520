"""Pictures: learning curves, and what all pictures share.

A colour belongs to a method in every picture; seeds of a method are shades of its colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dexscrew_envs.files import replacing

COLORS = {"oracle": "#2a6f97", "student": "#c8641e", "asymmetric": "#5b8c3a", "unprivileged": "#7d7d7d"}
"""Of the methods."""
CONDITION_COLORS = ("#3d405b", "#81b29a", "#e0a458", "#b56576")
"""Of conditions, engines and all else that is compared within one method."""
_NEUTRAL = "#3d405b"
_EPISODES = "(last training episodes, with exploration noise)"
_TERM = "reward/"
_CURVES = {
    "rotations": "turns per episode",
    "episode_length": "episode length (steps)",
    "episode_reward": "reward per episode",
}


@contextmanager
def picture(
    path: Path, size: tuple[float, float], title: str, columns: int = 1, rows: int = 1
) -> Iterator[tuple[Any, list[Any]]]:
    """Give a figure and its axes, row by row, to draw on, then write it as PNG, whole or not at all.

    Args:
        path: where to write.
        size: width and height (inches).
        title: of the whole figure.
        columns: number of axes side by side.
        rows: number of axes one below the other.
    """
    from matplotlib.figure import Figure  # not pyplot, which keeps figures and may look for a screen

    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    figure.suptitle(title, fontsize=10)
    yield figure, axes
    with replacing(path) as beside:
        figure.savefig(beside, dpi=130, format="png", metadata={"Software": None})


def legend(figure: Any, *axes: Any) -> None:
    """Put the legend of some axes under all axes, where it covers nothing."""
    found = [axis.get_legend_handles_labels() for axis in axes]
    handles, labels = [h for hs, _ in found for h in hs], [label for _, names in found for label in names]
    if handles:
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(len(labels), 10), fontsize=8, frameon=False
        )


def step_unit(last: float) -> tuple[float, str]:
    """Return what to divide control steps by, and the label of their axis, for an axis that ends at `last`."""
    for unit, name in ((1e6, "million"), (1e3, "thousand")):
        if last >= unit:
            return unit, f"control steps ({name})"
    return 1.0, "control steps"


def shades(color: str, count: int) -> list[tuple[float, float, float]]:
    """Return shades of a colour, from light to dark, for the seeds of a method."""
    from matplotlib.colors import to_rgb

    rgb = to_rgb(color)
    found = []
    for k in range(count):
        lightness = 0.0 if count == 1 else 0.45 - 0.9 * k / (count - 1)  # above 0 towards white, below towards black
        found.append(tuple(c + (1 - c) * lightness if lightness > 0 else c * (1 + lightness) for c in rgb))
    return found  # type: ignore[return-value]


def mark(axis: Any, at: float, label: str) -> None:
    """Draw a dotted vertical line that the legend explains."""
    axis.axvline(at, color="black", lw=1.0, ls=":", label=label)


def draw_bars(
    path: Path,
    title: str,
    names: Sequence[str],
    groups: Mapping[str, Sequence[tuple[float, float, float]]],
    colors: Sequence[Any],
) -> None:
    """Draw turns per episode as bars, side by side for each name, with intervals.

    Args:
        path: where to write the picture.
        title: of the picture.
        names: along the x axis.
        groups: by the name of a bar's group, for each name its value and the ends of its interval.
        colors: of the groups.
    """
    with picture(path, (8.5, 3.6), title) as (figure, (axis,)):
        width = 0.8 / len(groups)
        for k, ((label, bars), color) in enumerate(zip(groups.items(), colors, strict=False)):
            at = [x + (k - (len(groups) - 1) / 2) * width for x in range(len(names))]
            error = [[max(0.0, v - low) for v, low, _ in bars], [max(0.0, high - v) for v, _, high in bars]]
            axis.bar(at, [v for v, _, _ in bars], width, yerr=error, label=label, color=color, capsize=2)
        axis.set_xticks(range(len(names)), names)
        axis.set(ylabel="turns per episode")
        axis.grid(axis="y", alpha=0.3)
        axis.set_axisbelow(True)
        legend(figure, axis)


def draw_learning(
    path: Path,
    title: str,
    curves: Mapping[str, Sequence[Mapping[str, float]]],
    colors: Sequence[Any],
    resumed: Sequence[float] = (),
) -> None:
    """Draw turns, length and reward of episodes over control steps, one line per training.

    Args:
        path: where to write the picture.
        title: of the picture.
        curves: by name of a training, its rows with `steps`, `rotations`, `episode_length` and `episode_reward`.
        colors: of the trainings.
        resumed: control steps at which trainings were stopped and went on.
    """
    with picture(path, (12, 3.6), f"{title} {_EPISODES}", columns=3) as (figure, axes):
        _draw_curves(axes, curves, colors, resumed)
        if len(curves) > 1 or resumed:
            legend(figure, axes[0])


def draw_curve(curve: Sequence[Mapping[str, float]], path: Path, title: str, resumed: Sequence[float] = ()) -> None:
    """Draw turns, length and reward of a training's episodes over control steps, and the terms of the reward.

    Args:
        curve: rows as for `draw_learning`; keys `reward/<name>` are terms of the reward per control step.
        path: where to write the picture.
        title: of the picture.
        resumed: control steps at which the training was stopped and went on.
    """
    terms = list(dict.fromkeys(key for row in curve for key in row if key.startswith(_TERM)))
    with picture(path, (16 if terms else 12, 3.6), f"{title} {_EPISODES}", columns=4 if terms else 3) as (figure, axes):
        _draw_curves(axes[:3], {title: curve}, [_NEUTRAL], resumed)
        unit, label = step_unit(curve[-1]["steps"])
        for key in terms:
            rows = [row for row in curve if key in row]  # those of an older version have none
            axes[3].plot(
                [row["steps"] / unit for row in rows], [row[key] for row in rows], label=key.removeprefix(_TERM)
            )
        if terms:
            axes[3].set(xlabel=label, ylabel="reward terms per control step")
            axes[3].grid(alpha=0.3)
        legend(figure, *(axes[0::3] if resumed else axes[3:]))


def _draw_curves(
    axes: Sequence[Any],
    curves: Mapping[str, Sequence[Mapping[str, float]]],
    colors: Sequence[Any],
    resumed: Sequence[float],
) -> None:
    unit, label = step_unit(max(rows[-1]["steps"] for rows in curves.values()))
    for axis, (key, name) in zip(axes, _CURVES.items(), strict=True):
        for (training, rows), color in zip(curves.items(), colors, strict=True):
            at = [row["steps"] / unit for row in rows]
            shown = training if len(curves) > 1 else "_"
            axis.plot(at, [row[key] for row in rows], color=color, label=shown)
        axis.set(xlabel=label, ylabel=name)
        axis.grid(alpha=0.3)
        if min(row[key] for rows in curves.values() for row in rows) >= 0:
            axis.set_ylim(bottom=0)
        for k, steps in enumerate(resumed):  # named once in the legend
            mark(axis, steps / unit, "_" * (k > 0) + "resumed: all episodes restarted together, hence the steps")
