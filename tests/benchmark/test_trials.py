from __future__ import annotations

import json

import pytest

from benchmark.trials import ALL_SHAPES, Trial, check_results, contrasts, letters, summarize
from dexscrew_envs.files import to_json

LIMIT = 100.0


def trials(progress, seconds=40.0, first_seed=0):
    return [
        Trial(first_seed + k, value, value == 1, seconds, "complete" if value == 1 else "slip")
        for k, value in enumerate(progress)
    ]


GOOD, BAD = [1.0] * 8, [0.25] * 7 + [1.0]
RESULTS = {
    "good": {"square": trials(GOOD), "cross": trials(GOOD)},
    "bad": {"square": trials(BAD), "cross": trials(BAD)},
    "as good": {"square": trials(GOOD, 45.0), "cross": trials(GOOD, 45.0)},
}


def test_the_summary():
    found = summarize(RESULTS, LIMIT)["bad"]["square"]
    assert found["progress_mean"] == pytest.approx(2.75 / 8)
    assert found["progress_std"] == pytest.approx(0.2652, abs=1e-4)
    assert found["interval"][0] < found["progress_mean"] < found["interval"][1]
    assert (found["trials"], found["complete"], found["time_mean"], found["time_std"]) == (8, 1, 40.0, None)
    assert found["restricted_time_mean"] == pytest.approx((40 + 7 * 100) / 8)
    assert found["median_time"] is None
    assert found["ended_by"] == {"slip": 7, "complete": 1}
    assert json.loads(to_json(found))["progress"] == BAD


def test_one_failed_trial_has_no_deviation_and_no_time():
    found = summarize({"a": {"square": trials([0.5])}}, LIMIT)["a"]["square"]
    assert (found["progress_std"], found["time_mean"], found["time_std"]) == (None, None, None)
    assert found["restricted_time_mean"] == LIMIT


def test_pairs_are_compared_on_each_shape_and_on_all():
    found = {(one.first, one.second, one.shape): one for one in contrasts(RESULTS, LIMIT)}
    assert len(found) == 3 * 3
    one = found["good", "bad", "square"]
    assert one.progress.p == pytest.approx(2 / 2**7)
    assert one.adjusted_p == pytest.approx(3 * 2 / 2**7)
    assert one.verdict == "better"
    assert one.time_p == pytest.approx(2 / 2**7)
    together = found["good", "bad", ALL_SHAPES]
    assert together.progress.p == pytest.approx(2 / 2**7) and together.progress.trials == 8  # seeds, not trials
    assert together.time_p == pytest.approx(2 / 2**7) and together.logrank_p is None
    assert one.logrank_p is not None and one.logrank_p < 0.01
    assert found["good", "as good", "cross"].verdict.startswith("cannot tell at n = 8")
    assert found["good", "as good", "cross"].time_p == pytest.approx(2 / 2**8)
    assert found["bad", "as good", "square"].verdict == "worse"
    assert json.loads(to_json(one.as_dict()))["progress"]["p"] == pytest.approx(2 / 2**7)


def test_a_single_pair_needs_no_adjustment():
    (found,) = contrasts({name: {"cross": RESULTS[name]["cross"]} for name in RESULTS}, LIMIT, pairs=[("good", "bad")])
    assert found.adjusted_p == found.progress.p
    assert contrasts({"good": RESULTS["good"]}, LIMIT) == []


def test_trials_are_paired_by_seed_not_by_order():
    shuffled = {name: {shape: list(reversed(found)) for shape, found in RESULTS[name].items()} for name in ("bad",)}
    progress = [0.5, 0.75, 1.0, 0.25, 0.5, 0.75, 1.0, 0.875]
    better = {"a": {"x": trials(progress)}, "b": {"x": list(reversed(trials([p - 0.125 for p in progress])))}}
    assert contrasts(better, LIMIT)[0].progress.p == pytest.approx(2 / 2**8)
    assert summarize(shuffled, LIMIT)["bad"]["square"]["complete"] == 1


def test_letters_group_what_was_not_told_apart():
    found = contrasts(RESULTS, LIMIT)
    assert letters(RESULTS, found, "square") == {"good": "a", "as good": "a", "bad": "b"}
    assert letters(RESULTS, found, ALL_SHAPES) == {"good": "a", "as good": "a", "bad": "b"}


def test_other_seeds_are_compared_only_as_independent():
    other = {"a": {"x": trials(GOOD)}, "b": {"x": trials(BAD, first_seed=8)}}
    with pytest.raises(ValueError, match="b has other seeds on the x than a on the x"):
        contrasts(other, LIMIT)
    assert contrasts(other, LIMIT, paired=False)[0].verdict == "better"


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ({}, "at least one policy"),
        ({"a": {}}, "at least one policy"),
        ({"a": {"x": []}}, "a has no trials of the x"),
        ({"a": {"x": trials([1]), "y": trials([1], first_seed=1)}}, "a has other seeds on the y than a on the x"),
        ({"a": {"x": trials([1])}, "b": {"y": trials([1])}}, "every policy needs the shapes x; b has y"),
        ({"a": {"x": trials([1]) * 2}}, "two trials of one seed"),
        ({"a": {"x": trials([1], LIMIT + 1)}}, "within 0 to 100 s"),
    ],
)
def test_results_that_cannot_be_compared_are_an_error(results, told):
    for call in (check_results, contrasts):
        with pytest.raises(ValueError, match=told):
            call(results, LIMIT)


@pytest.mark.parametrize("numbers", [(1.1, 5.0), (-0.1, 5.0), (float("nan"), 5.0), (0.5, -1.0), (0.5, float("inf"))])
def test_a_trial_without_sense_is_an_error(numbers):
    with pytest.raises(ValueError, match="progress of 0 to 1"):
        Trial(0, numbers[0], False, numbers[1], "slip")


def test_an_unknown_pair_is_an_error():
    for pair in (("good", "gone"), ("good", "good")):
        with pytest.raises(ValueError, match="two of the policies good, bad, as good"):
            contrasts(RESULTS, LIMIT, pairs=[pair])


def test_the_trials_needed_allow_for_all_pairs():
    near = [1.0, 1.0, 0.5, 1.0, 0.75, 1.0], [0.75, 1.0, 0.75, 0.5, 0.75, 1.0], [0.5] * 6
    results = {name: {"x": trials(progress)} for name, progress in zip("abc", near, strict=True)}
    among, alone = (contrasts(results, LIMIT, pairs=pairs)[0].progress for pairs in (None, [("a", "b")]))
    assert among.needed is not None and alone.needed is not None
    assert among.needed > 1.1 * alone.needed
