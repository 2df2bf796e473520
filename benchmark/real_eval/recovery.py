"""Whether a policy goes on after a perturbation, and how soon, as Fig. 6 of the paper shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from benchmark.statistics import share_interval

TIME_ALLOWED = 20.0
"""Progress resumes within this time after a perturbation, or the policy did not recover (s)."""
_RESUMED = 0.25  # turns beyond where the perturbation left the object
_BEFORE = 5.0  # a policy was at work if it turned something in so many seconds before
_AT_WORK = 0.05  # turns


def recovery(turns: NDArray[np.float64], period: float, began: float, ended: float | None) -> dict[str, Any]:
    """Return what became of a trial after its perturbation.

    Args:
        turns: (steps,) turns of the object after each step.
        period: of a step (s).
        began: when the perturbation began (s).
        ended: when it ended (s); None where the trial ended before.

    Returns:
        `began` and `ended`; `at_work`, whether the policy turned the object just before; `recovered`, whether it made a
        quarter of a turn within `TIME_ALLOWED`; `seconds`, from the end of the perturbation until then, or None.
    """
    found: dict[str, Any] = {"began": began, "ended": ended, "at_work": False, "recovered": False, "seconds": None}
    first = round(began / period)
    before = turns[max(first - round(_BEFORE / period), 0) : first]
    if len(turns) >= first:  # else it was over before
        found["at_work"] = bool(len(before) and before[-1] - before[0] > _AT_WORK)
    if ended is None:  # in the perturbation: the policy lost the object, or tripped the safety layer
        return found
    last = round(ended / period)
    after = turns[last : last + round(TIME_ALLOWED / period)]
    resumed = np.flatnonzero(after > after[0] + _RESUMED) if len(after) else np.empty(0)
    if len(resumed):
        found |= {"recovered": True, "seconds": round(float(resumed[0]) * period, 3)}
    return found


def summarize_recovery(records: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> dict[str, dict[str, Any]]:
    """Return recovery by policy and shape, of the trials whose policy was at work when it was perturbed.

    Args:
        records: of trials, by policy and shape, each with a `recovery`.

    Returns:
        For each policy and shape: `perturbed`, their number; `recovered`; `rate` with its `interval` (Wilson), and
        `seconds`, the median time of those that recovered; None where there are none.
    """
    return {
        policy: {shape: _summarize([r["recovery"] for r in trials]) for shape, trials in by_shape.items()}
        for policy, by_shape in records.items()
    }


def _summarize(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counted = [one for one in found if one["at_work"]]
    times = [one["seconds"] for one in counted if one["recovered"]]
    return {
        "perturbed": len(counted),
        "recovered": len(times),
        "rate": len(times) / len(counted) if counted else None,
        "interval": share_interval(len(times), len(counted)) if counted else None,
        "seconds": float(np.median(times)) if times else None,
    }


def recovery_table(summary: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return a Markdown table of what `summarize_recovery` returns."""
    rows = [
        {
            "shape": shape,
            "policy": policy,
            "recovered": f"{found['recovered']} of {found['perturbed']}",
            "95 % interval (%)": "{:.0f} to {:.0f}".format(*(100 * bound for bound in found["interval"] or (0, 1))),
            "time, median (s)": "" if found["seconds"] is None else f"{found['seconds']:.1f}",
        }
        for policy, by_shape in summary.items()
        for shape, found in by_shape.items()
    ]
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    return (
        f"{table}\n\nRecovered: a quarter of a turn within {TIME_ALLOWED:g} s after the perturbation; of the trials in "
        "which the policy was turning the object before it. The time begins when the perturbation ends."
    )
