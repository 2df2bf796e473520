"""The paper's results on hardware as published, and what they reveal about single trials.

Source: "Learning Dexterous Manipulation Skills from Imperfect Simulations", Tables I and II, of which `Published.place`
names the cell. Its text gives 67.63 % on the screwdriver to history alone, its Table II to touch alone; here the table
counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_ind_from_stats

from dexscrew_envs import arguments

TRIALS = 10
"""Behind each cell."""
NUT_TURNS = 8
"""Turns that a nut needs: the progress of nuts comes in steps of 12.5 % (Table I)."""
_HALF_DIGIT = 0.005 + 1e-9  # of a printed percentage


@dataclass(frozen=True)
class Published:
    """One cell of a table."""

    place: str
    """Table, row and column."""
    progress: float
    """Mean progress ratio (%)."""
    progress_std: float
    """Standard deviation over trials (%), with n - 1."""
    seconds: float | None = None
    """Mean time of complete trials (s); None where no trial was complete."""
    seconds_std: float | None = None
    """Standard deviation of that time (s); None where fewer than two trials were complete."""

    @property
    def complete(self) -> tuple[int, int]:
        """Least and largest number of complete trials that the printed time allows."""
        if self.seconds is None:
            return 0, 0
        return (1, 1) if self.seconds_std is None else (2, TRIALS)


NEITHER, TOUCH, HISTORY, FULL = "bc", "bc, touch", "bc, history", "bc, touch + history"
DIRECT, REPLAY = "direct", "replay"
"""Rows of the tables: what a cloned policy (bc) sees besides its joints, or how else one acts."""
NUT_SHAPES = ("square", "triangle", "hexagon", "cross")
"""Columns of Table I; hexagon and cross were not trained on."""


def _nut(row: str, *cells: tuple[float | None, ...]) -> dict[str, Published]:
    return {
        shape: Published(f"Table I, {row}, {shape}", *cell)  # type: ignore[arg-type]
        for shape, cell in zip(NUT_SHAPES, cells, strict=True)
    }


def _screwdriver(row: str, *cell: float) -> Published:
    return Published(f"Table II, {row}", *cell)


TABLE_1: Mapping[str, Mapping[str, Published]] = MappingProxyType({
    NEITHER: _nut(
        "neither", (63.75, 33.05, 148.76, 30.57), (30.0, 39.62, 229.39), (75.0, 29.46, 102.36, 25.0),
        (63.75, 33.05, 101.07, 0.51),
    ),
    TOUCH: _nut(
        "tactile", (62.5, 33.85, 202.21, 59.69), (66.25, 27.67, 134.19, 46.72), (75.0, 16.67, 205.02, 82.44),
        (82.5, 10.54, 127.17, 47.98),
    ),
    HISTORY: _nut(
        "history", (87.5, 20.41, 129.88, 48.06), (80.0, 32.91, 111.47, 55.10), (85.0, 32.17, 68.97, 13.99),
        (100.0, 0.0, 91.49, 44.89),
    ),
    FULL: _nut(
        "tactile and history", (97.5, 7.91, 124.20, 33.22), (96.25, 8.44, 117.79, 52.13), (95.0, 10.54, 75.07, 17.41),
        (98.75, 3.95, 84.21, 57.19),
    ),
})  # fmt: skip
"""Nuts, by policy and shape."""
TABLE_2: Mapping[str, Published] = MappingProxyType({
    DIRECT: _screwdriver("direct sim-to-real", 41.60, 26.21),
    REPLAY: _screwdriver("expert replay", 50.80, 19.27),
    NEITHER: _screwdriver("neither", 69.20, 35.25, 266.33, 91.60),
    TOUCH: _screwdriver("tactile", 67.63, 35.65, 264.06, 76.57),
    HISTORY: _screwdriver("history", 87.50, 18.61, 195.15, 44.83),
    FULL: _screwdriver("tactile and history", 95.00, 13.24, 187.87, 24.87),
})  # fmt: skip
"""The screwdriver, by policy."""


def published(task: str, policy: str, shape: str) -> Published | None:
    """Return the paper's cell to stand beside a result of ours, or None where it has none.

    The paper has one screwdriver, whose handle it does not name; it stands beside every handle.

    Args:
        task: the paper's are "nut" and "screwdriver".
        policy: a row of the tables, such as `FULL`.
        shape: of the nut.
    """
    if task == "screwdriver":
        return TABLE_2.get(policy)
    return TABLE_1.get(policy, {}).get(shape) if task == "nut" else None


@cache
def _outcomes(turns: int, trials: int) -> NDArray[np.int64]:
    return np.array(list(combinations_with_replacement(range(turns + 1), trials)))


def reconstruct(cell: Published, turns: int = NUT_TURNS, trials: int = TRIALS) -> NDArray[np.float64]:
    """Return every outcome of single trials that rounds to a cell's mean and standard deviation.

    Args:
        cell: mean, deviation, and a time that bounds the number of complete trials.
        turns: whole turns that complete a trial.
        trials: behind the cell.

    Returns:
        (solutions, trials) progress of 0 to 1 in ascending order; no rows if progress was not counted in whole turns.
    """
    counts = _outcomes(arguments.integer("turns", turns, 1), arguments.integer("trials", trials, 2))
    percent = 100 * counts / turns
    fits = np.abs(percent.mean(axis=1) - cell.progress) <= _HALF_DIGIT
    fits &= np.abs(percent.std(axis=1, ddof=1) - cell.progress_std) <= _HALF_DIGIT
    complete = (counts == turns).sum(axis=1)
    least, largest = cell.complete
    return counts[fits & (least <= complete) & (complete <= largest)] / turns


def welch_test(first: Published, second: Published) -> float:
    """Return the two-sided p-value of Welch's t-test on progress, for cells whose trials cannot be reconstructed."""
    return float(
        ttest_ind_from_stats(
            first.progress, first.progress_std, TRIALS, second.progress, second.progress_std, TRIALS, equal_var=False
        ).pvalue
    )
