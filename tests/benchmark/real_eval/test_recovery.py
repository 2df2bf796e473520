from __future__ import annotations

import numpy as np
import pytest

from benchmark.real_eval.recovery import TIME_ALLOWED, recovery, recovery_table, summarize_recovery
from benchmark.real_eval.recovery_picture import draw_recovery

PERIOD = 0.05


def turns_of(*pieces: tuple[float, float]) -> np.ndarray:
    """Turns that go on at these rates (1/s) for these times (s)."""
    rates = np.concatenate([np.full(round(seconds / PERIOD), rate) for seconds, rate in pieces])
    return np.cumsum(rates * PERIOD)


def test_a_policy_that_goes_on_has_recovered():
    found = recovery(turns_of((10, 0.1), (2, -0.2), (4, 0.0), (30, 0.1)), PERIOD, 10.0, 12.0)
    assert found["at_work"] and found["recovered"]
    assert found["seconds"] == pytest.approx(4 + 2.5, abs=0.11)


def test_too_late_is_not_recovered():
    found = recovery(turns_of((10, 0.1), (2, -0.2), (TIME_ALLOWED, 0.0), (30, 1.0)), PERIOD, 10.0, 12.0)
    assert found["at_work"] and not found["recovered"] and found["seconds"] is None


def test_what_stood_still_before_does_not_count():
    assert not recovery(turns_of((10, 0.0), (50, 0.1)), PERIOD, 10.0, 12.0)["at_work"]
    over = recovery(turns_of((8, 0.1)), PERIOD, 10.0, None)
    assert not over["at_work"] and not over["recovered"]


def test_a_trial_that_ends_with_its_perturbation_did_not_recover():
    for turns, ended in ((turns_of((12, 0.1)), 12.0), (turns_of((11, 0.1)), None)):
        found = recovery(turns, PERIOD, 10.0, ended)
        assert found["at_work"] and not found["recovered"]


def test_the_picture_shows_trials_that_were_at_work(tmp_path):
    one = {"began": 10.5, "ended": 11.0, "at_work": True, "recovered": True, "seconds": 4.0}
    trial = {"turns": [0.1 * k for k in range(41)], "seconds": 40.0, "recovery": one}
    idle = trial | {"recovery": one | {"at_work": False}}
    for name, trials in (("both", [trial, idle]), ("one", [trial]), ("none", [idle])):
        draw_recovery({"mine": {"cross": trials}}, "a title", tmp_path / f"{name}.png")
    both, alone, none = ((tmp_path / f"{name}.png").read_bytes() for name in ("both", "one", "none"))
    assert both == alone != none


def test_summary_and_table():
    one = {"began": 10.0, "ended": 11.0, "at_work": True, "recovered": True, "seconds": 4.0}
    trials = [{"recovery": one}, {"recovery": one | {"recovered": False, "seconds": None}},
              {"recovery": one | {"at_work": False}}]  # fmt: skip
    found = summarize_recovery({"mine": {"cross": trials, "square": trials[2:]}})
    assert found["mine"]["cross"] | {"interval": None} == {
        "perturbed": 2, "recovered": 1, "rate": 0.5, "interval": None, "seconds": 4.0
    }  # fmt: skip
    assert found["mine"]["square"]["rate"] is None
    table = recovery_table(found)
    assert "1 of 2" in table and "0 of 0" in table and "4.0" in table
