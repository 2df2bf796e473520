from __future__ import annotations

import numpy as np
import pytest

from benchmark.decisions import MOST_TRIALS, Comparison, compare, decided_after, e_values
from benchmark.statistics import paired_test


def test_words():
    found = Comparison(difference=0.2, p=0.03, trials=10, needed=40)
    assert found.verdict() == "better"
    assert found.verdict(0.06) == "cannot tell at n = 10; about 40 would be needed"
    assert Comparison(-0.2, 0.03, 10, 40).verdict() == "worse"
    assert Comparison(0.0, 1.0, 10, None).verdict() == "cannot tell at n = 10; more than 2000 would be needed"
    with pytest.raises(ValueError, match="level"):
        found.verdict(level=2)


def test_five_differing_seeds_decide_nothing():
    first = [1.0] * 10
    five, six = ([0.0] * count + [1.0] * (10 - count) for count in (5, 6))
    assert compare(first, five).verdict().startswith("cannot tell at n = 10; about 1")
    assert compare(first, six).verdict() == "better"
    assert compare(six, first).verdict() == "worse"


@pytest.mark.slow
def test_the_trials_needed_do_decide_four_times_of_five():
    rng = np.random.default_rng(0)
    pairs = np.array([[1.0, 0.75], [1.0, 1.0], [0.75, 1.0], [1.0, 0.5], [1.0, 1.0], [0.5, 0.75], [1.0, 0.75]])
    found = compare(*pairs.T)
    assert found.needed is not None and found.p > 0.05
    for trials, least, most in ((found.needed, 0.65, 0.95), (found.needed // 2, 0.2, 0.65)):
        drawn = pairs[rng.integers(len(pairs), size=(50, trials))]
        power = np.mean([paired_test(x[:, 0], x[:, 1]) < 0.05 for x in drawn])
        assert least < power < most


def test_more_tests_need_more_trials():
    first, second = [1.0, 1.0, 0.5, 1.0, 0.75, 1.0], [0.75, 1.0, 0.75, 0.5, 0.75, 1.0]
    one, six = compare(first, second), compare(first, second, tests=6)
    assert one.p == six.p and one.needed is not None and six.needed is not None
    assert six.needed > 1.3 * one.needed


def test_no_number_of_trials_tells_apart_what_does_not_differ():
    found = compare([1.0] * 10, [1.0] * 10)
    assert (found.p, found.difference, found.needed) == (1.0, 0.0, None)
    assert str(MOST_TRIALS) in found.verdict()


def test_independent_trials_and_strata():
    first, second = {"a": [1.0] * 6, "b": [0.5] * 4}, {"a": [0.0] * 5, "b": [0.25] * 9}
    found = compare(first, second, paired=False)
    assert found.verdict() == "better"
    assert found.difference == pytest.approx((1.0 + 0.25) / 2)
    assert found.trials == 4
    with pytest.raises(ValueError, match="as many values on both sides"):
        compare(first, second)


def test_e_values_by_hand():
    # One pair with d = 1: the mean over bets of 1 + bet and 1 - bet, whose mean is 0.5.
    assert e_values([1.0]) == pytest.approx(np.array([[1.5, 0.5]]))
    assert e_values([0.0, 0.0]) == pytest.approx(np.ones((2, 2)))
    bets = np.linspace(0.05, 0.95, 19)
    assert e_values([1.0, -0.5])[1, 0] == pytest.approx(np.mean((1 + bets) * (1 - 0.5 * bets)))
    assert np.isfinite(e_values(np.ones(5000))).all()


def test_a_clear_difference_is_decided_early_and_none_never():
    assert decided_after([1.0] * 20) == decided_after([-1.0] * 20) == 8
    assert decided_after([1.0] * 7) is None
    assert decided_after([1.0] * 20, level=0.5) < 8
    assert decided_after([0.0] * 200) is None
    after = [1.0] * 8 + [-1.0] * 8  # once decided, it stays so
    assert decided_after(after) == 8


def test_looking_after_every_pair_is_wrong_no_more_often_than_said():
    rng = np.random.default_rng(0)
    population = np.array([1.0, 1.0, 0.75, 0.25, 0.0])
    wrong = [decided_after(np.subtract(*rng.choice(population, (2, 300)))) is not None for _ in range(400)]
    assert 0.0 < np.mean(wrong) <= 0.05


@pytest.mark.parametrize("differences", [[], [1.1], [float("nan")], ["x"], [[0.1]]])
def test_differences_outside_their_range_are_an_error(differences):
    for call in (e_values, decided_after):
        with pytest.raises(ValueError, match="numbers of -1 to 1"):
            call(differences)


def test_other_bad_input_is_an_error():
    with pytest.raises(ValueError, match="paired must be True or False"):
        compare([1.0], [1.0], paired="no")
    with pytest.raises(ValueError, match="tests must be"):
        compare([1.0], [1.0], tests=0)
    with pytest.raises(ValueError, match="level must be"):
        decided_after([0.1], level=0)


def test_strata_of_the_same_seeds_save_no_trials_unless_they_differ():
    first, second = [1.0, 1.0, 0.5, 1.0, 0.75, 1.0], [0.75, 1.0, 0.75, 0.5, 0.75, 1.0]
    one = compare(first, second)
    copies = compare(dict.fromkeys("abcd", first), dict.fromkeys("abcd", second))
    assert copies == one
    turned = [(first[k:] + first[:k], second[k:] + second[:k]) for k in range(4)]
    other = compare(*({str(k): pair[side] for k, pair in enumerate(turned)} for side in (0, 1)))
    assert one.needed is not None and other.needed is not None
    assert other.needed < 0.6 * one.needed


def test_independent_trials_needed_are_those_of_each_stratum():
    first, second = [1.0, 1.0, 0.5, 1.0, 0.75, 1.0], [0.75, 1.0, 0.75, 0.5, 0.75, 1.0]
    one = compare(first, second, paired=False)
    four = compare(dict.fromkeys("abcd", first), dict.fromkeys("abcd", second), paired=False)
    assert one.needed is not None and four.needed is not None
    assert four.needed < 0.45 * one.needed


def test_trials_needed_make_six_pairs_differ():
    found = compare([1.0] + [0.5] * 9, [0.0] + [0.5] * 9)  # one pair in ten differs
    assert found.needed is not None and found.needed > 60
