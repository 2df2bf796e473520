"""What a test of two policies allows to say, how many trials would say more, and when to stop early."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from benchmark.statistics import (
    LEVEL,
    Sample,
    Values,
    check_level,
    independent_test,
    paired_differences,
    paired_test,
    strata_of,
)
from dexscrew_envs import arguments

MOST_TRIALS = 2000
"""Number of trials up to which `compare` looks for one that would decide."""
_POWER = 0.8
_RESAMPLES = 1000
_BETS = np.linspace(0.05, 0.95, 19)
_LARGEST = 700.0  # an e-value's logarithm is cut here, below the overflow of its exponential


@dataclass(frozen=True)
class Comparison:
    """What a test of two policies found."""

    difference: float
    """First mean minus second, averaged over strata."""
    p: float
    """Two-sided p-value, not adjusted."""
    trials: int
    """Trials in each stratum, at least; if paired, seeds."""
    needed: int | None
    """How many of them four of five such tests would need to decide; None if more than `MOST_TRIALS`."""

    def verdict(self, p: float | None = None, level: float = LEVEL) -> str:
        """Return "better", "worse" or "cannot tell ...", said of the first policy; never "equal".

        Args:
            p: p-value adjusted for all pairs tested; by default that of this test alone.
            level: below which a p-value decides.
        """
        if (self.p if p is None else p) < check_level(level):
            return "better" if self.difference > 0 else "worse"
        needed = f"more than {MOST_TRIALS}" if self.needed is None else f"about {self.needed}"
        return f"cannot tell at n = {self.trials}; {needed} would be needed"


def compare(first: Sample, second: Sample, *, paired: bool = True, tests: int = 1, seed: int = 0) -> Comparison:
    """Test two policies against each other.

    Fewer than six differing pairs never decide: five give p = 2 / 2^5 = 0.06 at best.

    Args:
        first: values of one policy; if paired, in each stratum in the same order of the same seeds.
        second: values of the other, likewise.
        paired: whether the trials share their seeds.
        tests: number of such tests. The trials needed are those for a level divided by it.
        seed: of random draws.

    Raises:
        ValueError: values outside [0, 1], or sides that do not match.
    """
    test = paired_test if arguments.boolean("paired", paired) else independent_test
    p = test(first, second, seed=seed)
    strata = strata_of(first, second)
    generator = np.random.default_rng(seed)
    trials = min(len(side) for sides in strata for side in sides)
    if paired:
        differences, parts = paired_differences(first, second), 1
    else:
        drawn = [[generator.choice(side, _RESAMPLES) for side in sides] for sides in strata]
        differences, parts = np.concatenate([x - y for x, y in drawn]), len(strata)
    level = LEVEL / arguments.integer("tests", tests, 1)
    needed = _trials_needed(differences, parts, trials + 1, level, generator)
    difference = float(np.mean([x.mean() - y.mean() for x, y in strata]))
    return Comparison(difference, p, trials, needed)


def _trials_needed(
    differences: Values, strata: int, least: int, level: float, generator: np.random.Generator
) -> int | None:
    """Return the trials in each stratum from which on a test has power, by resampling the observed differences.

    The sign-flip test is replaced by its normal approximation, and by its limit at few differing pairs.
    """
    values, counts = np.unique(differences, return_counts=True)
    quantile, fewest = norm.ppf(1 - level / 2), math.ceil(math.log2(2 / level))
    trials = least
    while trials <= MOST_TRIALS:
        drawn = generator.multinomial(trials * strata, counts / counts.sum(), size=_RESAMPLES)
        decided = np.abs(drawn @ values) > quantile * np.sqrt(drawn @ values**2)
        decided &= drawn[:, values != 0].sum(axis=1) >= fewest
        if decided.mean() >= _POWER:
            unit = 10 ** max(len(str(trials)) - 2, 0)  # two digits are enough for "about"
            return math.ceil(trials / unit) * unit
        trials = math.ceil(1.1 * trials)
    return None


def e_values(differences: ArrayLike) -> Values:
    """Return how strongly pairs speak for either side, after each of them; valid whenever one stops.

    A gambler bets on one side at fixed shares of the fortune, which is split evenly over 19 shares. If the mean
    difference is not in that side's favour, the fortune exceeds 1 / a with a probability of at most a, ever.

    Args:
        differences: (n,) of pairs of trials in order of their seeds, first minus second, -1 to 1.

    Returns:
        (n, 2) fortunes of those who bet on the first and on the second policy.

    Raises:
        ValueError: there is none, or one outside [-1, 1].
    """
    try:
        array = np.asarray(differences, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 1 or not array.size or not np.all(np.abs(array) <= 1):
        raise ValueError(f"differences must be a non-empty list of numbers of -1 to 1, got {differences!r}")
    signed = np.stack([array, -array], axis=1)
    logarithms = np.cumsum(np.log1p(_BETS[:, None, None] * signed), axis=1)  # (bets, n, 2)
    return np.exp(np.minimum(logarithms, _LARGEST)).mean(axis=0)


def decided_after(differences: ArrayLike, *, level: float = LEVEL) -> int | None:
    """Return after how many pairs the better policy was known, or None while it is not.

    May be asked after every pair: a wrong decision, ever, has a probability of at most `level`.

    Args:
        differences: (n,) of pairs of trials in order of their seeds, first minus second, -1 to 1.
        level: share of wrong decisions that is accepted.
    """
    beyond = e_values(differences).max(axis=1) > 2 / check_level(level)
    return int(beyond.argmax()) + 1 if beyond.any() else None
