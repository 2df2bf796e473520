from __future__ import annotations

from benchmark.real_eval.until_decided import decisions, decisions_text
from benchmark.trials import Trial


def trials(progress):
    return [Trial(seed, p, p == 1, 60.0, "time") for seed, p in enumerate(progress)]


def test_a_clear_difference_is_decided_and_none_is_not():
    many = 40
    results = {
        "good": {"cross": trials([1.0] * many), "square": trials([1.0] * many)},
        "bad": {"cross": trials([0.3] * many), "square": trials([0.5] * many)},
        "same": {"cross": trials([1.0] * many), "square": trials([1.0] * many)},
    }
    found = decisions(results)
    assert found["same"] is None and 2 < found["bad"] < many
    pair = decisions({name: results[name] for name in ("good", "bad")})
    assert pair["bad"] < found["bad"]  # one pair needs no share of the level for another
    text = decisions_text(found, "good", many)
    assert f"bad: decided after {found['bad']} seeds" in text and "same: not decided in 40 seeds" in text


def test_seeds_are_paired_whatever_their_order():
    good, bad = trials([1.0, 0.2] * 20), trials([0.5, 0.0] * 20)
    found = decisions({"good": {"cross": good}, "bad": {"cross": bad}})
    assert found == decisions({"good": {"cross": good[::-1]}, "bad": {"cross": bad}})
