"""The paper's tables, and what can and cannot be concluded from them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmark import paper
from benchmark.completion_times import CompletionTimes
from benchmark.decisions import decided_after
from benchmark.paper import DIRECT, FULL, HISTORY, NEITHER, NUT_SHAPES, REPLAY, TABLE_1, TABLE_2, TOUCH
from benchmark.statistics import independent_test, mean_interval, paired_test

SOLUTIONS = {(policy, shape): paper.reconstruct(TABLE_1[policy][shape]) for policy in TABLE_1 for shape in NUT_SHAPES}
RESAMPLES = 4000


def pooled(policy):
    """Return one solution of each nut together, as a population to draw trials from."""
    return np.concatenate([SOLUTIONS[policy, shape][0] for shape in NUT_SHAPES])


def p_values(first, second, shape):
    """Return the p-values of all outcomes of one policy that fit against all of the other."""
    return [
        independent_test(x, y, resamples=RESAMPLES)
        for x, y in product(SOLUTIONS[first, shape], SOLUTIONS[second, shape])
    ]


def test_single_trials_are_known_where_touch_and_history_are_seen():
    eighths = {shape: (8 * SOLUTIONS[FULL, shape]).tolist() for shape in NUT_SHAPES}
    assert eighths == {
        "square": [[6, *[8] * 9]],
        "triangle": [[6, 7, *[8] * 8]],
        "hexagon": [[6, 6, *[8] * 8]],
        "cross": [[7, *[8] * 9]],
    }
    assert (8 * SOLUTIONS[NEITHER, "triangle"]).tolist() == [[0, 0, 0, 0, 0, 1, 3, 5, 7, 8]]


def test_every_nut_has_outcomes_that_fit_and_no_screwdriver_has():
    assert {len(found) for found in SOLUTIONS.values()} <= set(range(1, 20))
    for (policy, shape), found in SOLUTIONS.items():
        cell = TABLE_1[policy][shape]
        assert np.allclose(100 * found.mean(axis=1), cell.progress, atol=0.0051)
        assert np.allclose(100 * found.std(axis=1, ddof=1), cell.progress_std, atol=0.0051)
    assert not len(paper.reconstruct(TABLE_2[TOUCH]))


def test_a_printed_time_bounds_the_complete_trials():
    assert TABLE_1[NEITHER]["triangle"].complete == (1, 1)
    assert TABLE_2[DIRECT].complete == (0, 0)
    cell = TABLE_1[FULL]["square"]
    never = paper.Published("", cell.progress, cell.progress_std)
    assert not len(paper.reconstruct(never))


EXACT = {
    (FULL, NEITHER): [(0.0031, 0.0108), (0.0003, 0.0003), (0.0442, 0.0954), (0.0007, 0.0108)],
    (FULL, TOUCH): [(0.0025, 0.0108), (0.0025, 0.0084), (0.0099, 0.0147), (0.0019, 0.0019)],
    (FULL, HISTORY): [(0.2105, 0.2647), (0.1951, 0.2554), (0.4737, 0.5279), (1.0, 1.0)],
}
"""Least and largest p-value over all outcomes that fit, for each nut, from all 184,756 splits of 20 trials."""


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), EXACT)
def test_with_ten_trials_history_alone_is_not_told_apart(first, second):
    for shape, (low, high) in zip(NUT_SHAPES, EXACT[first, second], strict=True):
        p = p_values(first, second, shape)
        for found, known in ((min(p), low), (max(p), high)):
            assert found == pytest.approx(known, abs=4 * np.sqrt(known / RESAMPLES) + 1e-3)


@pytest.mark.slow
def test_ten_against_ten_is_exact_by_default():
    p = independent_test(SOLUTIONS[FULL, "triangle"][0], SOLUTIONS[NEITHER, "triangle"][0])
    assert p == pytest.approx(62 / 184_756)


def test_all_nuts_together_just_tell_touch_and_history_from_history():
    sides = [{shape: SOLUTIONS[policy, shape][0] for shape in NUT_SHAPES} for policy in (FULL, HISTORY)]
    assert 0.03 < independent_test(*sides, resamples=RESAMPLES) < 0.055


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(FULL, HISTORY, 0.31), (FULL, TOUCH, 0.043), (FULL, NEITHER, 0.052), (NEITHER, REPLAY, 0.17),
     (HISTORY, NEITHER, 0.17), (REPLAY, DIRECT, 0.38)],
)  # fmt: skip
def test_screwdriver_by_welch(first, second, p):
    assert paper.welch_test(TABLE_2[first], TABLE_2[second]) == pytest.approx(p, abs=0.006)
    assert paper.welch_test(TABLE_2[FULL], TABLE_2[REPLAY]) < 0.001


def test_times_of_complete_trials_hide_failures():
    means = {}
    for policy in (FULL, HISTORY):
        cell = TABLE_1[policy]["square"]
        assert cell.seconds is not None
        means[policy] = [
            CompletionTimes([cell.seconds] * 10, outcome == 1, 300.0).restricted_mean
            for outcome in SOLUTIONS[policy, "square"]
        ]
    assert means[FULL] == [pytest.approx(142, abs=0.5)]
    assert (min(means[HISTORY]), max(means[HISTORY])) == (pytest.approx(181, abs=0.5), pytest.approx(198, abs=0.5))


@pytest.mark.parametrize(
    ("population", "trials", "width"),
    [(pooled(FULL), 10, 0.33), (SOLUTIONS[FULL, "cross"][0], 10, 0.32), (pooled(NEITHER), 10, 0.48),
     (pooled(FULL), 20, 0.19)],
    ids=["0.97", "0.99", "0.58", "0.97 of 20"],
)  # fmt: skip
def test_the_interval_covers_the_mean(population, trials, width):
    rng = np.random.default_rng(0)
    samples = rng.choice(population, (200, trials))
    found = np.array([mean_interval(sample, draws=2000) for sample in samples])
    covered = (found[:, 0] <= population.mean()) & (population.mean() <= found[:, 1])
    assert covered.mean() >= 0.95
    assert (found[:, 1] - found[:, 0]).mean() == pytest.approx(width, abs=0.015)


@pytest.mark.parametrize(("population", "coverage"), [(pooled(FULL), 0.79), (SOLUTIONS[FULL, "cross"][0], 0.65)])
def test_a_bootstrap_would_not_cover_it(population, coverage):
    rng = np.random.default_rng(0)
    samples = rng.choice(population, (200, 10))
    means = samples[:, rng.integers(10, size=(1000, 10))].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    covered = (low <= population.mean()) & (population.mean() <= high)
    assert covered.mean() == pytest.approx(coverage, abs=0.08)


@pytest.mark.parametrize(("trials", "power"), [(10, 0.02), (30, 0.35), (50, 0.65), (100, 0.96)])
def test_a_hundred_trials_tell_touch_and_history_from_history(trials, power):
    rng = np.random.default_rng(1)
    decided = [
        paired_test(rng.choice(pooled(FULL), trials), rng.choice(pooled(HISTORY), trials)) < 0.05 for _ in range(60)
    ]
    assert np.mean(decided) == pytest.approx(power, abs=0.12)


@pytest.mark.parametrize(("other", "median"), [(NEITHER, 19), (HISTORY, 87)])
def test_trials_until_the_better_one_is_known(other, median):
    rng = np.random.default_rng(0)
    ends = [decided_after(rng.choice(pooled(FULL), 400) - rng.choice(pooled(other), 400)) or 400 for _ in range(200)]
    assert np.median(ends) == pytest.approx(median, rel=0.12)


def test_what_stands_beside_ours():
    assert paper.published("nut", FULL, "square") is TABLE_1[FULL]["square"]
    assert paper.published("screwdriver", FULL, "octagon") is TABLE_2[FULL]
    assert paper.published("nut", DIRECT, "square") is None
    assert paper.published("nut", FULL, "star") is None
    assert paper.published("lid", FULL, "square") is None


def test_means_of_the_tables_are_those_of_the_text():
    assert np.mean([TABLE_1[FULL][shape].progress for shape in NUT_SHAPES]) == pytest.approx(96.875)
    assert TABLE_1[NEITHER]["triangle"].place == "Table I, neither, triangle"
    assert TABLE_2[REPLAY].place == "Table II, expert replay"
