"""The curve of a clone's training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from baselines.plots import CONDITION_COLORS, legend, mark, picture


def draw_curve(curve: Sequence[Mapping[str, float]], path: Path, title: str, resumed: Sequence[int] = ()) -> None:
    """Draw the loss on episodes of training, and on those held out.

    Args:
        curve: rows with `steps`, `training` and `validation`.
        path: where to write the picture.
        title: of the picture.
        resumed: steps at which the training was stopped and went on.
    """
    with picture(path, (6, 3.8), title) as (figure, (axis,)):
        at = [row["steps"] for row in curve]
        for key, label, color in (
            ("training", "batches of the training", CONDITION_COLORS[0]),
            ("validation", "held-out episodes, averaged network", CONDITION_COLORS[3]),
        ):
            axis.plot(at, [row[key] for row in curve], label=label, color=color)
        for k, steps in enumerate(resumed):
            mark(axis, steps, "_" * (k > 0) + "resumed")
        axis.set(xlabel="optimiser steps", ylabel="weighted loss (normalised targets)", yscale="log")
        axis.grid(alpha=0.3, which="both")
        legend(figure, axis)
