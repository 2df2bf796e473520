"""Pictures of an evaluation: the progress of each trial, and when trials were complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from baselines.plots import COLORS, CONDITION_COLORS, legend, picture
from benchmark import paper
from benchmark.trials import Results, times

_COLORS = dict(
    zip(
        (paper.NEITHER, paper.TOUCH, paper.HISTORY, paper.FULL, paper.DIRECT, paper.REPLAY),
        (*CONDITION_COLORS, COLORS["oracle"], COLORS["unprivileged"]),
        strict=True,
    )
)
_OTHERS = ("#8c564b", "#17becf", "#bcbd22", "#e377c2", "#9467bd", "#d62728")
"""Colours of policies that are in no row of the paper, once those of its rows are taken."""
_WIDTH = 0.45  # of a row in which all trials of a policy stand (share of the policy's place)
_PANEL = 2.7  # width of a shape's panel (inches)


def draw_progress(summary: Mapping[str, Mapping[str, Mapping[str, Any]]], title: str, path: Path) -> None:
    """Draw each trial's progress as a dot, the mean as a bar and its 95 % interval as a line, a panel for each shape.

    Args:
        summary: by policy and shape, as `benchmark.trials.summarize` returns it.
        title: of the picture.
        path: where to write it.
    """
    shapes, colors = list(next(iter(summary.values()))), policy_colors(list(summary))
    size = (_PANEL * max(len(shapes), 2) + 0.6, 3.6)
    with picture(path, size, f"{title}: progress of each trial, mean and 95 % interval", len(shapes)) as (figure, axes):
        for axis, shape in zip(axes, shapes, strict=True):
            for at, (policy, by_shape) in enumerate(summary.items()):
                found, color = by_shape[shape], colors[policy]
                low, high = (100 * bound for bound in found["interval"])
                mean = 100 * found["progress_mean"]
                axis.plot([at - 0.25] * 2, [low, high], color=color, lw=1.5, solid_capstyle="butt")
                axis.plot([at - 0.33, at - 0.17], [mean] * 2, color=color, lw=2.5, label=policy)
                x, y = _beside(found["progress"], at + 0.15)
                axis.plot(x, y, "o", color=color, ms=3.5, mew=0, alpha=0.7)
            axis.set_title(shape, fontsize=9)
            axis.set(xticks=[], xlim=(-0.6, len(summary) - 0.4), ylim=(-4, 104))
            _lighten(axis)
        axes[0].set_ylabel("progress (%)")
        legend(figure, axes[0])


def _beside(progress: Sequence[float], center: float) -> tuple[list[float], list[float]]:
    """Return where dots stand: trials of about equal progress in a row, as wide as their share of all trials."""
    percent = 100 * np.sort(np.asarray(progress))
    rows = np.round(percent / 3)  # closer dots would cover each other
    x: list[float] = []
    for count in np.unique(rows, return_counts=True)[1]:
        x += [center + _WIDTH / len(percent) * (k - (count - 1) / 2) for k in range(count)]
    return x, percent.tolist()


def draw_times(results: Results, limit: float, title: str, path: Path) -> None:
    """Draw the share of trials that are complete over time, by Kaplan and Meier, a panel for each shape.

    Args:
        results: trials by policy and shape.
        limit: time allowed for a trial (s).
        title: of the picture.
        path: where to write it.
    """
    shapes, colors = list(next(iter(results.values()))), policy_colors(list(results))
    size = (_PANEL * max(len(shapes), 2) + 0.6, 3.4)
    with picture(path, size, f"{title}: complete trials over time", len(shapes)) as (figure, axes):
        for axis, shape in zip(axes, shapes, strict=True):
            for policy, by_shape in results.items():
                seconds, left = times(by_shape[shape], limit).survival()
                x, y = [0.0, *seconds, limit], [0.0, *(100 * (1 - left))]
                axis.step(x, [*y, y[-1]], where="post", color=colors[policy], lw=1.5, label=policy)
            axis.set_title(shape, fontsize=9)
            axis.set(xlabel="time (s)", xlim=(0, limit), ylim=(-2, 102))
            _lighten(axis)
        axes[0].set_ylabel("complete (%)")
        legend(figure, axes[0])


def policy_colors(policies: Sequence[str]) -> dict[str, str]:
    """Return a colour for each policy: its own for a row of the paper, and for the others those that are left."""
    left = cycle([*(color for policy, color in _COLORS.items() if policy not in policies), *_OTHERS])
    return {policy: _COLORS.get(policy) or next(left) for policy in policies}


def _lighten(axis: Any) -> None:
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
