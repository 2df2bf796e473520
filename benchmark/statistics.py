"""Statistics of few trials whose results lie in [0, 1]: intervals, tests of two policies, and many of them at once.

Near full progress the bootstrap and Student's t cover far less than they claim at ten trials. The tests here hold for
any distribution on [0, 1], and the interval is conjectured to; our own tests measure both. `benchmark.decisions` turns
p-values into verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, permutation_test

from dexscrew_envs import arguments

Values: TypeAlias = NDArray[np.float64]
Sample: TypeAlias = ArrayLike | Mapping[str, ArrayLike]
"""Values (n,) of 0 to 1, one for each trial; or such values by stratum, for instance by shape."""
LEVEL = 0.05
"""Share of wrong decisions that is accepted."""
_EXACT_PAIRS = 20  # differing pairs up to which every combination of signs is tried
_EXACT_SPLITS = 200_000  # covers ten trials against ten: 184,756 splits
_RESAMPLES = 20_000


def unit_values(name: str, values: ArrayLike) -> Values:
    """Return values (n,) as an array; raise ValueError unless there is at least one and all lie in [0, 1]."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 1 or not array.size or not np.all((array >= 0) & (array <= 1)):
        raise ValueError(f"{name} must be a non-empty list of numbers of 0 to 1, got {values!r}")
    return array


def check_level(level: float) -> float:
    """Return a level; raise ValueError unless it lies between 0 and 1."""
    if not isinstance(level, (int, float, np.number)) or isinstance(level, bool) or not 0 < level < 1:
        raise ValueError(f"level must be a number between 0 and 1, such as {LEVEL}, got {level!r}")
    return float(level)


def mean_interval(
    values: ArrayLike, *, level: float = LEVEL, draws: int = 20_000, seed: int = 0
) -> tuple[float, float]:
    """Return an interval for the mean of a distribution on [0, 1] (Gaffke's bound).

    On zeros and ones it is the Clopper-Pearson interval. Source: Learned-Miller and Thomas, "A new confidence interval
    for the mean of a bounded random variable", 2019, who conjecture that it holds for every distribution.

    Args:
        values: (n,) one for each trial, 0 to 1.
        level: share of intervals that may miss the mean.
        draws: sets of uniform numbers behind each bound.
        seed: of the draws.
    """
    check_level(level)
    sample = np.sort(unit_values("values", values))
    generator = np.random.default_rng(seed)
    uniform = np.sort(generator.random((arguments.integer("draws", draws, 1), len(sample))), axis=1)

    def upper(ordered: Values) -> float:
        return float(np.quantile(1 - uniform @ np.diff(ordered, append=1.0), 1 - level / 2))

    return 1 - upper(1 - sample[::-1]), upper(sample)


def share_interval(count: int, trials: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's interval for a share, such as that of complete trials.

    Args:
        count: trials that count.
        trials: all trials.
        level: share of intervals that may miss the true share.
    """
    trials = arguments.integer("trials", trials, 1)
    count = arguments.integer("count", count, 0, f"an integer of 0 to {trials}", most=trials)
    found = binomtest(count, trials).proportion_ci(1 - check_level(level), method="wilson")
    return float(found.low), float(found.high)


def strata_of(first: Sample, second: Sample) -> list[tuple[Values, Values]]:
    """Return the values (n,) and (m,) of both sides, stratum by stratum.

    Raises:
        ValueError: the sides have different strata, or values outside [0, 1].
    """
    first, second = (side if isinstance(side, Mapping) else {"": side} for side in (first, second))
    if not first or first.keys() != second.keys():
        raise ValueError(f"both sides need the same strata, at least one; got {sorted(first)} and {sorted(second)}")
    return [(unit_values("first", first[key]), unit_values("second", second[key])) for key in first]


def paired_differences(first: Sample, second: Sample) -> Values:
    """Return first minus second of trials that share their seeds, (n,), in each stratum in the same order.

    Averaged over strata, since trials of one seed are not independent: on the twin they share all that it fixes.

    Raises:
        ValueError: values outside [0, 1], or sides or strata that do not pair up.
    """
    strata = strata_of(first, second)
    lengths = {len(side) for pair in strata for side in pair}
    if len(lengths) > 1:
        raise ValueError(f"pairs need as many values on both sides and in all strata, got {sorted(lengths)}")
    return np.mean([x - y for x, y in strata], axis=0)


def paired_test(first: Sample, second: Sample, *, seed: int = 0) -> float:
    """Return the two-sided p-value of the sign-flip test, for trials that share their seeds.

    Exact where at most 20 of the `paired_differences` are not zero, which raises its errors; beyond, signs are drawn.

    Args:
        first: values of one policy.
        second: values of another.
        seed: of the draws.
    """
    differences = paired_differences(first, second)
    differences = differences[differences != 0]  # flipping a zero changes nothing
    if len(differences) <= _EXACT_PAIRS:  # scipy's permutation_test takes seconds for these
        flipped = np.zeros(1)
        for difference in differences:
            flipped = np.concatenate([flipped + difference, flipped - difference])
        return float(_extreme(flipped, differences.sum()).mean())
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (_RESAMPLES, len(differences)))
    return float((_extreme(signs @ differences, differences.sum()).sum() + 1) / (_RESAMPLES + 1))


def _extreme(null: Values, observed: float) -> NDArray[np.bool_]:
    """Return which values under the null are at least as far from zero as the observed one, but for rounding."""
    return np.abs(null) >= abs(observed) * (1 - 1e-9) - 1e-12


def independent_test(first: Sample, second: Sample, *, resamples: int = _EXACT_SPLITS, seed: int = 0) -> float:
    """Return the two-sided p-value of the permutation test, for trials that share nothing.

    A single trial on a side says nothing: p = 1.

    Args:
        first: values of one policy.
        second: values of another; the numbers of trials may differ.
        resamples: permutations drawn. One stratum with fewer possible splits is tested exactly.
        seed: of the draws.

    Raises:
        ValueError: values outside [0, 1], or sides with different strata.
    """
    strata = strata_of(first, second)
    resamples = arguments.integer("resamples", resamples, 100)
    generator = np.random.default_rng(seed)
    if any(len(side) < 2 for pair in strata for side in pair):
        return 1.0
    found = [
        permutation_test(pair, _mean_difference, n_resamples=resamples, batch=4096, vectorized=True, rng=generator)
        for pair in strata
    ]
    if len(found) == 1:
        return float(found[0].pvalue)
    null = np.sum([generator.choice(one.null_distribution, resamples) for one in found], axis=0)
    extreme = _extreme(null, sum(one.statistic for one in found)).sum()
    return float((extreme + 1) / (resamples + 1))


def _mean_difference(first: Values, second: Values, axis: int) -> Values:
    return first.mean(axis=axis) - second.mean(axis=axis)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for all of them being tested (Holm, 1979), in the same order."""
    p = unit_values("p_values", p_values)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted.tolist()


def compact_letters(names: Sequence[str], differing: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return letters by name; two names share a letter unless they differ (Piepho, 2004).

    Args:
        names: best first, which get the first letters; at most 26 groups.
        differing: pairs of names that were told apart.

    Raises:
        ValueError: a pair has a name that is not among the names.
    """
    groups = [set(names)]
    for a, b in differing:
        if a == b or not {a, b} <= set(names):
            raise ValueError(f"pairs must be two different names of {', '.join(names)}, got {a!r} and {b!r}")
        split = [part for group in groups for part in ([group - {a}, group - {b}] if {a, b} <= group else [group])]
        groups = [g for k, g in enumerate(split) if not any(g < other for other in split) and g not in split[:k]]
    groups.sort(key=lambda group: [name not in group for name in names])
    return {name: "".join(chr(ord("a") + k) for k, group in enumerate(groups) if name in group) for name in names}
