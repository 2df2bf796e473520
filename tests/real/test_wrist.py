from __future__ import annotations

import numpy as np
import pytest

from real.kinematics import forward
from real.robot import RobotError
from real.twin.scene import START_ARM
from real.wrist import DELAY, NUDGE, PATIENCE, ScriptedWrist

START = np.array(START_ARM)
STEP = 0.05


def wrist() -> ScriptedWrist:
    return ScriptedWrist(START, np.random.default_rng(0))


def offsets(found: ScriptedWrist, turns, seconds: float) -> np.ndarray:
    """Return how far from its start the flange is sent (steps, 3), of a nut with 3 mm per turn (m)."""
    times = np.arange(0.0, seconds, STEP)
    sent = [forward(found.act(t, turns(t), 0.003 * turns(t))) for t in times]
    assert all(np.allclose(pose[3:], forward(START)[3:], atol=1e-6) for pose in sent)
    return np.array([pose[:3] for pose in sent]) - forward(START)[:3]


def test_it_follows_the_nut_down_late():
    moved = offsets(wrist(), lambda t: 0.2 * t, 10.0)
    times = np.arange(0.0, 10.0, STEP)
    np.testing.assert_allclose(
        moved[:, 2], -0.003 * 0.2 * np.maximum(times - DELAY, 0.0), atol=0.21 * 0.003 * STEP
    )  # a step late at most
    np.testing.assert_allclose(moved[:, :2], 0.0, atol=1e-6)


def test_it_sees_nothing_before_its_delay_is_over():
    moved = offsets(wrist(), lambda t: 1.0 if t > 1.0 else 0.0, 1.0 + DELAY)
    np.testing.assert_allclose(moved, 0.0, atol=1e-6)


def test_it_nudges_by_at_most_five_millimetres_when_nothing_turns():
    found = wrist()
    moved = np.linalg.norm(offsets(found, lambda t: 0.0, 20.0), axis=1)
    assert found.nudges == 6
    first = round(PATIENCE / STEP)
    assert (moved[:first] < 1e-6).all() and (moved[first + 2 :] > 1e-5).all()
    assert moved.max() <= NUDGE + 1e-6


def test_progress_puts_nudges_off_and_a_turn_back_is_none():
    turning, back = wrist(), wrist()
    offsets(turning, lambda t: 0.05 * t, 20.0)
    offsets(back, lambda t: -0.05 * t, 20.0)
    assert turning.nudges == 0 and back.nudges == 6


def test_the_same_seed_nudges_alike():
    first, second = (offsets(wrist(), lambda t: 0.0, 8.0) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_place_out_of_reach_is_an_error():
    found = wrist()
    with pytest.raises(RobotError, match="no joint positions"):
        for time in np.arange(0.0, 2.0, STEP):
            found.act(time, time, 5.0)
