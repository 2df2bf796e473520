from __future__ import annotations

import numpy as np
import pytest

from benchmark.real_eval.failures import KINDS, WINDOW, classify

PERIOD = 0.05
STEPS = round(60 / PERIOD)
BOTH, NEITHER = np.ones((STEPS, 2), bool), np.zeros((STEPS, 2), bool)
STILL = np.full(STEPS, 3.0)
SAWTOOTH = 3 + 0.1 * (np.arange(STEPS) % 20 < 10)  # 0.1 turns forth and back every second


@pytest.mark.parametrize(
    ("ended_by", "turns", "touches", "kind"),
    [
        ("complete", STILL, BOTH, "complete"),
        ("trip", STILL, NEITHER, "safety trip"),
        ("lost", STILL, BOTH, "fell"),
        ("fault", STILL, BOTH, "fault"),
        ("time", np.linspace(0, 4, STEPS), BOTH, "time"),
        ("time", STILL, BOTH, "stagnation"),
        ("stagnation", STILL, NEITHER, "lost contact"),
        ("stagnation", SAWTOOTH, BOTH, "slip"),
        ("stagnation", np.minimum(np.linspace(0, 4, STEPS), 3.8), BOTH, "stagnation"),
        ("time", np.minimum(np.linspace(0, 9, STEPS), 4.0), BOTH, "stagnation"),
        ("time", np.zeros(0), np.zeros((0, 2), bool), "lost contact"),
    ],
)
def test_kinds(ended_by, turns, touches, kind):
    assert classify(ended_by, turns, touches, PERIOD) == kind
    assert kind in KINDS


def test_one_finger_alone_is_no_grip():
    alone = BOTH.copy()
    alone[:, 1] = False
    assert classify("time", STILL, alone, PERIOD) == "lost contact"


def test_only_the_last_seconds_count():
    touches = BOTH.copy()
    touches[-round(WINDOW / PERIOD) :] = False
    assert classify("time", STILL, touches, PERIOD) == "lost contact"
    assert classify("time", STILL, ~touches, PERIOD) == "stagnation"


def test_arrays_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="touches"):
        classify("time", STILL, BOTH[:-1], PERIOD)
    with pytest.raises(ValueError, match="finite"):
        classify("time", np.full(STEPS, np.nan), BOTH, PERIOD)
