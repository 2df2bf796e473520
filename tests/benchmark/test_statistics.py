"""The methods themselves; tests/benchmark/test_paper.py applies them to the paper's results."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control, permutation_test

from benchmark.statistics import compact_letters, holm, independent_test, mean_interval, paired_test, share_interval


@pytest.mark.parametrize("count", [0, 3, 9, 10])
def test_on_zeros_and_ones_the_interval_is_that_of_clopper_and_pearson(count):
    exact = binomtest(count, 10).proportion_ci(method="exact")
    found = mean_interval([1] * count + [0] * (10 - count), draws=100_000)
    assert found == pytest.approx((exact.low, exact.high), abs=0.005)


def test_ten_of_ten_are_no_proof_of_always():
    assert mean_interval([1.0] * 10) == pytest.approx((0.69, 1.0), abs=0.005)
    assert share_interval(10, 10) == pytest.approx((0.72, 1.0), abs=0.005)


def test_the_interval_is_symmetric_and_does_not_depend_on_order():
    values = [0.9, 0.2, 0.4, 1.0]
    low, high = mean_interval(values)
    mirrored = mean_interval([1 - value for value in values])
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)
    assert mean_interval(values[::-1]) == (low, high)
    assert low < np.mean(values) < high


@pytest.mark.parametrize("count", [2, 7, 13])
def test_the_paired_test_is_scipys(count):
    rng = np.random.default_rng(count)
    x, y = rng.integers(0, 9, (2, count)) / 8
    known = permutation_test((x - y,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert paired_test(x, y) == pytest.approx(known.pvalue)


def test_many_pairs_are_tested_by_drawn_signs_to_the_same_effect():
    rng = np.random.default_rng(0)
    x = rng.random(20)
    y = np.clip(x - rng.normal(0.08, 0.2, 20), 0, 1)
    exact = paired_test(x, y)
    assert 0.01 < exact < 0.5
    more = [*x, 0.5, 0.6], [*y, 0.5 + 1e-9, 0.6 - 1e-9]  # 22 pairs differ
    assert paired_test(*more) == pytest.approx(exact, abs=0.015)
    assert paired_test(*more) == paired_test(*more)


@pytest.mark.parametrize(("differing", "p"), [(0, 1.0), (1, 1.0), (5, 2 / 2**5), (6, 2 / 2**6)])
def test_only_pairs_that_differ_count(differing, p):
    first = [1.0] * 10
    second = [0.5] * differing + [1.0] * (10 - differing)
    assert paired_test(first, second) == pytest.approx(p)


def test_a_seed_counts_once_whatever_the_strata():
    x, y = np.random.default_rng(0).integers(0, 9, (2, 2, 9)) / 8
    strata = {"a": x[0], "b": x[1]}, {"a": y[0], "b": y[1]}
    assert paired_test(*strata) == pytest.approx(paired_test(x.mean(axis=0), y.mean(axis=0)))
    copied = {name: x[0] for name in "abcd"}, {name: y[0] for name in "abcd"}
    assert paired_test(*copied) == pytest.approx(paired_test(x[0], y[0]))


def test_the_independent_test_is_exact_for_few_trials():
    assert independent_test([1.0] * 5, [0.0] * 5) == pytest.approx(2 / 252)
    assert independent_test([1.0, 0.5], [1.0, 0.5, 0.75]) == pytest.approx(1.0)
    assert independent_test([1.0], [0.0] * 100) == 1.0


def test_strata_are_shuffled_within():
    first, second = {"a": [1.0] * 4, "b": [0.4] * 4}, {"a": [0.6] * 4, "b": [0.0] * 4}
    p = independent_test(first, second, resamples=20_000)
    assert p == pytest.approx(2 / 70**2, abs=0.0004)
    pooled = independent_test([*first["a"], *first["b"]], [*second["a"], *second["b"]], resamples=2000)
    assert p < pooled / 20


def test_tests_are_wrong_no_more_often_than_they_say():
    rng = np.random.default_rng(3)
    population = np.array([1.0, 1.0, 1.0, 0.75, 0.25])
    wrong = [paired_test(*rng.choice(population, (2, 12))) < 0.05 for _ in range(400)]
    assert np.mean(wrong) < 0.07


def test_strata_that_share_their_seeds_are_no_more_often_wrong():
    rng = np.random.default_rng(4)
    wrong = []
    for _ in range(400):  # half of the variance is the seed's, on every shape
        own = rng.normal(0, 0.1, (2, 4, 12)) + rng.normal(0, 0.1, (2, 1, 12))
        first, second = ({str(k): row for k, row in enumerate(np.clip(0.5 + side, 0, 1))} for side in own)
        wrong.append(paired_test(first, second) < 0.05)
    assert np.mean(wrong) < 0.07


def test_holm_on_a_known_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    p = [0.001, 0.2, 0.03]
    assert all(ours >= theirs for ours, theirs in zip(holm(p), false_discovery_control(p), strict=True))


def test_names_share_a_letter_unless_they_differ():
    assert compact_letters("abc", [("a", "c")]) == {"a": "a", "b": "ab", "c": "b"}
    assert compact_letters("abc", []) == dict.fromkeys("abc", "a")
    assert compact_letters("ab", [("a", "b"), ("b", "a")]) == {"a": "a", "b": "b"}
    names, differing = "pqrst", {("p", "s"), ("p", "t"), ("q", "t"), ("r", "s")}
    found = compact_letters(names, sorted(differing))
    for k, one in enumerate(names):
        for other in names[k + 1 :]:
            assert bool(set(found[one]) & set(found[other])) == ((one, other) not in differing)


@pytest.mark.parametrize("values", [[], [0.5, 1.1], [-0.1], [float("nan")], [[0.5]], ["x"], 0.5, None])
def test_what_is_not_in_the_unit_interval_is_an_error(values):
    for call in (mean_interval, holm, lambda v: paired_test(v, v), lambda v: independent_test(v, v)):
        with pytest.raises(ValueError, match=r"numbers of 0 to 1"):
            call(values)


def test_other_bad_input_is_an_error():
    with pytest.raises(ValueError, match=r"as many values on both sides and in all strata, got \[1, 2\]"):
        paired_test([1, 0], [1])
    with pytest.raises(ValueError, match=r"same strata.*\['a'\] and \['b'\]"):
        independent_test({"a": [1.0]}, {"b": [1.0]})
    with pytest.raises(ValueError, match="same strata"):
        paired_test({}, {})
    for level in (0, 1, "0.05", True, float("nan")):
        with pytest.raises(ValueError, match="level must be a number between 0 and 1"):
            mean_interval([0.5], level=level)
    for count, trials in ((11, 10), (-1, 10), (0, 0), (1.0, 2)):
        with pytest.raises(ValueError, match=r"must be"):
            share_interval(count, trials)
    with pytest.raises(ValueError, match="draws must be"):
        mean_interval([0.5], draws=0)
    with pytest.raises(ValueError, match="two different names of a, b"):
        compact_letters(["a", "b"], [("a", "c")])
