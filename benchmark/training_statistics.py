"""Statistics of few training runs with many episodes each (Agarwal et al., 2021, "Deep RL at the edge")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import trim_mean

Scores = NDArray[np.float64]


def interquartile_mean(scores: Scores) -> float:
    """Return the mean of the middle half of scores (S, E) of S training seeds with E episodes each."""
    return float(trim_mean(scores, 0.25, axis=None))


def confidence_interval(
    scores: Scores, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return a bootstrap interval of the interquartile mean.

    Seeds are drawn with replacement, then episodes within each: episodes of one run are not independent runs.

    Args:
        scores: (S, E) scores of S training seeds with E episodes each.
        level: share of resampled means inside the interval.
        resamples: how many times to resample.
        seed: of the resampling.

    Raises:
        ValueError: the scores are not a non-empty matrix.
    """
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores must be a non-empty matrix of seeds by episodes, got shape {scores.shape}")
    rng = np.random.default_rng(seed)
    seeds, episodes = scores.shape
    rows = rng.integers(seeds, size=(resamples, seeds, 1))
    columns = rng.integers(episodes, size=(resamples, seeds, episodes))
    means = trim_mean(scores[rows, columns].reshape(resamples, -1), 0.25, axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
