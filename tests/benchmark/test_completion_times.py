from __future__ import annotations

import numpy as np
import pytest

from benchmark.completion_times import CompletionTimes, logrank_test


def test_a_failure_counts_as_the_limit_whenever_it_happened():
    early, late = (CompletionTimes([100.0, 50.0, end], [True, True, False], 240.0) for end in (1.0, 240.0))
    for found in (early, late):
        assert found.restricted.tolist() == [100.0, 50.0, 240.0]
        assert found.restricted_mean == pytest.approx(130.0)
        assert found.of_complete.tolist() == [50.0, 100.0]
        assert found.median == 100.0
    assert logrank_test(early, late) == pytest.approx(1.0)


def test_survival_falls_with_each_complete_trial_and_not_at_the_limit():
    seconds, left = CompletionTimes([30.0, 10.0, 0.0, 20.0], [True, True, False, True], 60.0).survival()
    assert seconds[:3].tolist() == [10.0, 20.0, 30.0]
    assert left == pytest.approx([0.75, 0.5, 0.25, 0.25][: len(left)])


def test_there_is_no_median_where_fewer_than_half_complete():
    assert CompletionTimes([10.0, 20.0, 5.0], [True, False, False], 60.0).median is None
    assert CompletionTimes([10.0, 20.0], [True, False], 60.0).median == 10.0


def test_the_log_rank_test_tells_fast_from_slow():
    fast = CompletionTimes(np.linspace(20, 40, 10), [True] * 10, 100.0)
    slow = CompletionTimes(np.linspace(60, 90, 10), [True] * 8 + [False] * 2, 100.0)
    assert logrank_test(fast, slow) < 1e-4
    assert logrank_test(fast, fast) > 0.9
    never = CompletionTimes([5.0, 6.0], [False, False], 100.0)
    assert logrank_test(never, never) == 1.0
    at_once = CompletionTimes([60.0, 60.0], [True, True], 100.0)
    assert logrank_test(at_once, at_once) == 1.0


@pytest.mark.parametrize(
    ("seconds", "complete", "limit", "told"),
    [
        ([1.0], [True], 0, "limit must be a positive number"),
        ([1.0], [True], float("nan"), "limit must be a positive number"),
        ([], [], 60.0, "non-empty list of booleans"),
        ([1.0], [1], 60.0, "non-empty list of booleans"),
        ([1.0, 2.0], [True], 60.0, "seconds must be 1 numbers"),
        (["1"], [True], 60.0, "seconds must be 1 numbers"),
        ([61.0], [True], 60.0, "within 0 to 60 s"),
        ([float("nan")], [True], 60.0, "within 0 to 60 s"),
    ],
)
def test_bad_input_is_an_error(seconds, complete, limit, told):
    with pytest.raises(ValueError, match=told):
        CompletionTimes(seconds, complete, limit)
