"""Why a trial was not complete: kinds of failure, from what was measured in its last seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from real.autonomous import Ending

KINDS = ("complete", "lost contact", "stagnation", "slip", "fell", "safety trip", "time", "fault")
"""How trials end. "time": it still made progress at its limit; "fault": robot, simulation or policy failed."""
WINDOW = 20.0
"""Length of the last part of a trial that is looked at (s); more than two of a policy's gaits."""
_PROGRESS = 0.1  # net turns in the window that are progress
_BACK_AND_FORTH = 0.5  # turns in the window, all directions added, of which none is kept: it slips back
_CONTACT = 0.05  # share of the window in which thumb and finger both touch; less is lost contact


def classify(ended_by: Ending, turns: NDArray[np.float64], touches: NDArray[np.bool_], period: float) -> str:
    """Return the kind of a trial's end, one of `KINDS`.

    Args:
        ended_by: what ended the trial.
        turns: (steps,) turns of the object after each step.
        touches: (steps, 2) whether the thumb and the finger opposite touched.
        period: of a step (s).

    Raises:
        ValueError: the arrays have other shapes, or turns are not finite.
    """
    if turns.ndim != 1 or touches.shape != (len(turns), 2) or not np.isfinite(turns).all():
        raise ValueError(
            f"turns must be (steps,) finite numbers and touches (steps, 2), got {turns.shape} and {touches.shape}"
        )
    known: dict[Ending, str] = {"complete": "complete", "trip": "safety trip", "lost": "fell", "fault": "fault"}
    if ended_by in known:
        return known[ended_by]
    last = slice(-round(WINDOW / period), None)
    seen, touched = turns[last], touches[last]
    if len(seen) and seen[-1] - seen[0] > _PROGRESS:  # by stagnation only where less than the window is waited for
        return ended_by
    if not len(seen) or touched.all(axis=1).mean() < _CONTACT:
        return "lost contact"
    return "slip" if np.abs(np.diff(seen)).sum() > _BACK_AND_FORTH else "stagnation"
