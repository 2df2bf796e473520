"""Times of trials of which some never complete.

A failed trial is censored at the time limit, not when it failed: that would favour policies that fail early.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from benchmark.statistics import Values


@dataclass(frozen=True, eq=False)
class CompletionTimes:
    """Times of one policy's trials."""

    seconds: ArrayLike
    """(n,) when each trial ended; of failed ones it does not matter."""
    complete: ArrayLike
    """(n,) booleans: which ended because the work was done."""
    limit: float
    """Time allowed (s)."""

    def __post_init__(self) -> None:
        """Check everything.

        Raises:
            ValueError: no trials, arrays that do not match, no positive limit, or a complete trial beyond it.
        """
        seconds, complete = np.asarray(self.seconds), np.asarray(self.complete)
        if not (isinstance(self.limit, (int, float, np.number)) and np.isfinite(self.limit) and self.limit > 0):
            raise ValueError(f"limit must be a positive number of seconds, got {self.limit!r}")
        if complete.ndim != 1 or not complete.size or complete.dtype != np.bool_:
            raise ValueError(f"complete must be a non-empty list of booleans, got {self.complete!r}")
        if seconds.shape != complete.shape or not np.issubdtype(seconds.dtype, np.number):
            raise ValueError(f"seconds must be {len(complete)} numbers, as many as complete has, got {self.seconds!r}")
        if not np.all((seconds[complete] > 0) & (seconds[complete] <= self.limit)):
            raise ValueError(f"complete trials must end within 0 to {self.limit:g} s, got {self.seconds!r}")

    @cached_property
    def restricted(self) -> Values:
        """(n,) times with failures at the limit (s); divided by it, they lie in [0, 1] as the tests want."""
        return np.where(self.complete, np.asarray(self.seconds, dtype=np.float64), self.limit)

    @property
    def restricted_mean(self) -> float:
        """Mean time with failures at the limit (s)."""
        return float(self.restricted.mean())

    @property
    def of_complete(self) -> Values:
        """Times of complete trials alone (s), as the paper reports them."""
        return np.sort(self.restricted[np.asarray(self.complete)])

    @property
    def censored(self) -> stats.CensoredData:
        """The times as SciPy's survival analysis takes them."""
        failed = len(self.restricted) - len(self.of_complete)
        return stats.CensoredData(uncensored=self.of_complete, right=np.full(failed, float(self.limit)))

    def survival(self) -> tuple[Values, Values]:
        """Return times (k,) and the share of trials not complete after each (k,), by Kaplan and Meier."""
        curve = stats.ecdf(self.censored).sf
        return curve.quantiles, curve.probabilities

    @property
    def median(self) -> float | None:
        """Time by which half of the trials are complete (s), by Kaplan and Meier; None if fewer ever are."""
        times, left = self.survival()
        reached = left <= 0.5 + 1e-9
        return float(times[reached.argmax()]) if reached.any() else None


def logrank_test(first: CompletionTimes, second: CompletionTimes) -> float:
    """Return the two-sided p-value of the log-rank test; 1 where the times leave nothing to compare."""
    if not len(first.of_complete) + len(second.of_complete):
        return 1.0
    with np.errstate(invalid="ignore"):  # no variance, where all trials complete at one moment
        p = float(stats.logrank(first.censored, second.censored).pvalue)
    return p if np.isfinite(p) else 1.0
