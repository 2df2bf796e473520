"""Stops an evaluation as soon as it is known which policies are better, at any number of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.decisions import decided_after
from benchmark.statistics import LEVEL, paired_differences
from benchmark.trials import Results, Trial


def decisions(results: Results) -> dict[str, int | None]:
    """Return after how many seeds the first policy and each other one were told apart; None while they are not.

    A seed's difference is the mean over shapes. The share of wrong decisions, ever and over all pairs, is at most 5 %.

    Args:
        results: trials with the same seeds for all policies, at least two.
    """
    first, *others = results
    reference = _progress(results[first])
    return {
        other: decided_after(paired_differences(reference, _progress(results[other])), level=LEVEL / len(others))
        for other in others
    }


def _progress(by_shape: Mapping[str, Sequence[Trial]]) -> dict[str, list[float]]:
    """Return progress by shape, in the order of the seeds."""
    return {
        shape: [trial.progress for trial in sorted(trials, key=lambda trial: trial.seed)]
        for shape, trials in by_shape.items()
    }


def decisions_text(found: Mapping[str, int | None], first: str, trials: int) -> str:
    """Return what was decided, as Markdown."""
    lines = [
        f"- {first} against {other}: " + (f"decided after {after} seeds" if after else f"not decided in {trials} seeds")
        for other, after in found.items()
    ]
    return (
        "Trials went on until these pairs were decided, which is valid at any number of trials (e-values). The "
        "p-values below take the number of trials as fixed beforehand, so here they are too small:\n\n"
        + "\n".join(lines)
    )
