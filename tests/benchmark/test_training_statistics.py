from __future__ import annotations

import numpy as np
import pytest

from benchmark.training_statistics import confidence_interval, interquartile_mean


def test_the_interquartile_mean_leaves_out_the_lowest_and_highest_quarter():
    scores = np.array([[-1000.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 1000.0]])
    assert interquartile_mean(scores) == pytest.approx((2 + 3 + 4 + 5) / 4)


@pytest.mark.slow
def test_the_interval_holds_the_mean_and_shrinks_with_more_seeds():
    rng = np.random.default_rng(0)
    widths = []
    for seeds in (5, 80):
        scores = rng.normal(10, 2, size=(seeds, 1)) + rng.normal(0, 1, size=(seeds, 50))
        low, high = confidence_interval(scores)
        assert low < interquartile_mean(scores) < high
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]


def test_episodes_of_one_seed_do_not_make_up_for_seeds():
    rng = np.random.default_rng(0)
    offsets = rng.normal(0, 3, size=(5, 1))
    few, many = (confidence_interval(offsets + rng.normal(0, 1, size=(5, count))) for count in (20, 200))
    assert many[1] - many[0] > 0.6 * (few[1] - few[0]) > 1


def test_about_nineteen_of_twenty_intervals_hold_the_truth():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        low, high = confidence_interval(rng.normal(5, 1, size=(20, 1)) + np.zeros((20, 10)), resamples=300)
        hits += low <= 5 <= high
    assert 48 <= hits <= 60


def test_the_interval_is_repeatable():
    scores = np.random.default_rng(0).normal(size=(4, 10))
    assert confidence_interval(scores) == confidence_interval(scores)


@pytest.mark.parametrize("shape", [(0, 5), (5,)])
def test_scores_of_another_shape_are_an_error(shape):
    with pytest.raises(ValueError, match="matrix of seeds by episodes"):
        confidence_interval(np.zeros(shape))
