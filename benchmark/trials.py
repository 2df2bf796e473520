"""Trials of policies on one task: what is kept of each, what they come to, and how policies compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from benchmark.completion_times import CompletionTimes, logrank_test
from benchmark.decisions import Comparison, compare
from benchmark.statistics import compact_letters, holm, independent_test, mean_interval, paired_test, share_interval


@dataclass(frozen=True)
class Trial:
    """One trial. It counts as it stands, also where the safety layer ended it."""

    seed: int
    """Fixes start pose and all that is drawn; the same for every policy. On hardware the number of the trial."""
    progress: float
    """Turns made over turns needed, 0 to 1."""
    complete: bool
    """Whether the work was done."""
    seconds: float
    """When the trial ended (s)."""
    ended_by: str
    """"complete", or the kind of failure."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: progress outside [0, 1], or no time.
        """
        if not (0 <= self.progress <= 1 and 0 <= self.seconds < np.inf):
            raise ValueError(f"a trial needs progress of 0 to 1 and seconds of at least 0, got {self}")


Results: TypeAlias = Mapping[str, Mapping[str, Sequence[Trial]]]
"""Trials by policy and shape."""


def check_results(results: Results, limit: float, *, paired: bool = True) -> None:
    """Refuse results that cannot be compared.

    Args:
        results: by policy and shape.
        limit: time allowed for a trial (s).
        paired: whether trials share their seeds.

    Raises:
        ValueError: no policy, policies with different shapes, no trials, a seed twice, a complete trial beyond the
            limit or, where paired, different seeds of policies or shapes.
    """
    if not results or not all(results.values()):
        raise ValueError("results need at least one policy, and one shape of each")
    one = next(iter(results))
    shapes = list(results[one])
    reference = sorted(trial.seed for trial in results[one][shapes[0]])
    for policy, by_shape in results.items():
        if set(by_shape) != set(shapes):
            raise ValueError(f"every policy needs the shapes {', '.join(shapes)}; {policy} has {', '.join(by_shape)}")
        for shape, trials in by_shape.items():
            if not trials:
                raise ValueError(f"{policy} has no trials of the {shape}")
            times(trials, limit)
            seeds = sorted(trial.seed for trial in trials)
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"{policy} has two trials of one seed on the {shape}")
            if paired and seeds != reference:
                raise ValueError(f"{policy} has other seeds on the {shape} than {one} on the {shapes[0]}")


def times(trials: Sequence[Trial], limit: float) -> CompletionTimes:
    """Return when trials were complete."""
    return CompletionTimes([trial.seconds for trial in trials], [trial.complete for trial in trials], limit)


def summarize(results: Results, limit: float) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what trials come to, by policy and shape, as plain values for JSON.

    Args:
        results: by policy and shape.
        limit: time allowed for a trial (s).

    Returns:
        For each policy and shape: `progress_mean`, `progress_std` (n - 1), `interval` (95 %, of the mean) and
        `progress` of each trial, all as ratios of 0 to 1; `trials`, `complete`, `complete_interval` (Wilson, ratios);
        `time_mean` and `time_std` of complete trials, `restricted_time_mean` and `median_time` of all trials (s);
        `ended_by`, counts by kind. What needs more trials than there are is None.
    """
    check_results(results, limit, paired=False)
    return {
        policy: {shape: _summarize(trials, limit) for shape, trials in by_shape.items()}
        for policy, by_shape in results.items()
    }


def _summarize(trials: Sequence[Trial], limit: float) -> dict[str, Any]:
    progress = [trial.progress for trial in trials]
    when = times(trials, limit)
    done = when.of_complete
    return {
        "progress_mean": float(np.mean(progress)),
        "progress_std": _deviation(progress),
        "interval": mean_interval(progress),
        "progress": progress,
        "trials": len(trials),
        "complete": len(done),
        "complete_interval": share_interval(len(done), len(trials)),
        "time_mean": float(done.mean()) if len(done) else None,
        "time_std": _deviation(done),
        "restricted_time_mean": when.restricted_mean,
        "median_time": when.median,
        "ended_by": dict(Counter(trial.ended_by for trial in trials).most_common()),
    }


def _deviation(values: Sequence[float] | np.ndarray) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class Contrast:
    """Two policies compared, on one shape or on several together."""

    first: str
    second: str
    shape: str
    """A shape, or `ALL_SHAPES`."""
    progress: Comparison
    adjusted_p: float
    """Of the progress, for all pairs compared on the same shape (Holm)."""
    verdict: str
    """About the first policy's progress."""
    time_p: float
    """Of the times, with failures at the limit; same test as for the progress, not adjusted."""
    logrank_p: float | None
    """Of the times, log-rank test, which ignores pairs; None on several shapes, whose trials share their seeds."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)


ALL_SHAPES = "all shapes"


def contrasts(
    results: Results, limit: float, *, pairs: Sequence[tuple[str, str]] | None = None, paired: bool = True
) -> list[Contrast]:
    """Compare policies, on each shape and on all together.

    Args:
        results: by policy and shape.
        limit: time allowed for a trial (s).
        pairs: of policies to compare, by default all. Asking for one pair, named before the trials, costs nothing for
            multiplicity.
        paired: whether trials share their seeds.

    Returns:
        One for each pair and shape, and where there are several shapes one for each pair on all of them. Paired trials
        of one seed then count as one, by their mean: a seed fixes the same twin for every shape.

    Raises:
        ValueError: results as in `check_results`, or a pair of policies that there are not.
    """
    check_results(results, limit, paired=paired)
    pairs = list(combinations(results, 2)) if pairs is None else list(pairs)
    for pair in pairs:
        if len(set(pair)) != 2 or not set(pair) <= set(results):
            raise ValueError(f"a pair must be two of the policies {', '.join(results)}, got {pair!r}")
    shapes = list(next(iter(results.values())))
    groups = {shape: [shape] for shape in shapes} | ({ALL_SHAPES: shapes} if len(shapes) > 1 else {})
    return [found for name, group in groups.items() for found in _contrasts(results, limit, pairs, paired, name, group)]


def _contrasts(
    results: Results, limit: float, pairs: list[tuple[str, str]], paired: bool, name: str, shapes: list[str]
) -> list[Contrast]:
    ordered = {
        policy: {shape: sorted(results[policy][shape], key=lambda trial: trial.seed) for shape in shapes}
        for policy in results
    }
    progress = {p: {s: [t.progress for t in trials] for s, trials in ordered[p].items()} for p in ordered}
    when = {p: times([t for trials in ordered[p].values() for t in trials], limit) for p in ordered}
    restricted = {p: {s: times(trials, limit).restricted / limit for s, trials in ordered[p].items()} for p in ordered}
    test = paired_test if paired else independent_test
    several = paired and len(shapes) > 1
    found = [compare(progress[a], progress[b], paired=paired, tests=len(pairs)) for a, b in pairs]
    adjusted = holm([one.p for one in found]) if found else []
    return [
        Contrast(
            first=a,
            second=b,
            shape=name,
            progress=one,
            adjusted_p=p,
            verdict=one.verdict(p),
            time_p=test(restricted[a], restricted[b]),
            logrank_p=None if several else logrank_test(when[a], when[b]),
        )
        for (a, b), one, p in zip(pairs, found, adjusted, strict=True)
    ]


def letters(results: Results, found: Sequence[Contrast], shape: str) -> dict[str, str]:
    """Return compact letters by policy: on this shape, policies that share a letter were not told apart.

    Args:
        results: by policy and shape.
        found: the contrasts of all pairs.
        shape: one of the results, or `ALL_SHAPES`.
    """
    shapes = [shape] if shape != ALL_SHAPES else list(next(iter(results.values())))
    mean = {p: np.mean([np.mean([t.progress for t in results[p][s]]) for s in shapes]) for p in results}
    differing = [(c.first, c.second) for c in found if c.shape == shape and c.verdict in ("better", "worse")]
    return compact_letters(sorted(results, key=lambda policy: -mean[policy]), differing)
