"""Turns around a perturbation, trial by trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.plots import picture
from benchmark.real_eval.recovery import TIME_ALLOWED
from benchmark.trial_pictures import policy_colors

_BEFORE = 10.0  # drawn before the perturbation (s)


def draw_recovery(records: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], title: str, path: Path) -> None:
    """Draw the turns of each trial whose policy was at work when it was perturbed, from the perturbation on.

    Args:
        records: of trials, by policy and shape, each with `turns` (once a second) and `recovery`.
        title: of the picture.
        path: where to write it (PNG).
    """
    colors = policy_colors(list(records))
    with picture(path, (2.9 * max(len(records), 2) + 0.4, 3.4), title, len(records)) as (_, axes):
        for axis, (policy, by_shape) in zip(axes, records.items(), strict=True):
            for record in (one for trials in by_shape.values() for one in trials):
                _draw(axis, record, colors[policy])
            axis.axvline(0, color="black", lw=0.8, ls=":")
            axis.set(xlabel="time since it began (s)", xlim=(-_BEFORE, TIME_ALLOWED + 5))
            axis.set_title(policy, fontsize=9)
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].set_ylabel("turns since the perturbation")


def _draw(axis: Any, record: Mapping[str, Any], color: str) -> None:
    found = record["recovery"]
    if not found["at_work"]:
        return
    seconds = np.minimum(np.arange(len(record["turns"])), record["seconds"])
    turns = np.array(record["turns"])
    style = "-" if found["recovered"] else "--"
    axis.plot(seconds - found["began"], turns - np.interp(found["began"], seconds, turns), style, color=color, lw=1.0)
