"""What is added to the fingers' targets for a firmer grip, and taken back where a tip is pressed hard."""

from __future__ import annotations

import numpy as np
import pytest

from dexscrew_envs.hands import XHAND_LEFT
from dexscrew_envs.mdp.observations import HISTORY_STEPS, PROPRIO_STEPS
from real.teleop.grip import GIVES_WAY, Grip

HAND, PRESS = XHAND_LEFT, 0.075
FINGERS, JOINTS = len(HAND.fingers), len(HAND.joints)
LIGHT = np.full(FINGERS, 1.0)


def of_finger(added, number):
    """How far a finger is closed by what was added (rad)."""
    joint, direction = next(iter(HAND.fingers[number].opening.items()))
    return -added[HAND.joints.index(joint)] / direction


def hard(number, force):
    forces = LIGHT.copy()
    forces[number] = force
    return forces


def test_the_fingers_close_further_while_the_skill_runs_and_no_longer():
    grip = Grip(HAND, PRESS)
    assert not grip.added.any() and not grip.step(LIGHT, on=False, pose="grasp").any()
    first = of_finger(grip.step(LIGHT, on=True, pose="hold"), 0)
    added = grip.step(LIGHT, on=True, pose="hold")
    assert first == pytest.approx(0.05)  # no faster than the safety layer lets it
    assert [of_finger(added, k) for k in range(FINGERS)] == pytest.approx([PRESS] * FINGERS)
    moved = {joint for finger in HAND.fingers for joint in finger.opening}
    assert {joint for joint, value in zip(HAND.joints, added, strict=True) if value} == moved
    np.testing.assert_array_equal(grip.step(LIGHT, on=False, pose="hold"), added)  # off, the targets stay as they are
    assert of_finger(grip.step(LIGHT, on=False, pose="squeeze"), 0) == pytest.approx(PRESS - 0.05)
    assert not grip.step(LIGHT, on=False, pose="squeeze").any()
    grip.step(LIGHT, on=True, pose="hold")
    grip.reset()
    assert not grip.added.any()


def test_a_finger_gives_way_where_its_tip_is_pressed_hard_and_comes_back():
    grip = Grip(HAND, PRESS)
    for _ in range(2):
        grip.step(LIGHT, on=True, pose="hold")
    way = [of_finger(grip.step(hard(1, GIVES_WAY + 3), on=True, pose="hold"), 1) for _ in range(3)]
    assert way == pytest.approx([PRESS - 0.03, PRESS - 0.06, PRESS - 0.09])
    assert of_finger(grip.added, 0) == pytest.approx(PRESS)  # the others hold on
    back = [of_finger(grip.step(LIGHT, on=True, pose="hold"), 1) for _ in range(12)]
    assert back[0] == pytest.approx(PRESS - 0.08) and back[-1] == pytest.approx(PRESS) and max(back) <= PRESS
    fast = of_finger(grip.step(hard(1, 100.0), on=True, pose="hold"), 1)
    assert fast == pytest.approx(PRESS - 0.05)
    for _ in range(20):
        grip.step(hard(1, 100.0), on=True, pose="hold")
    assert of_finger(grip.added, 1) == pytest.approx(PRESS - 0.3)


def test_it_gives_way_in_a_squeeze_and_not_where_a_tip_is_caught_as_it_leaves():
    grip = Grip(HAND, PRESS)
    assert of_finger(grip.step(hard(0, GIVES_WAY + 2), on=False, pose="squeeze"), 0) == pytest.approx(-0.02)
    assert of_finger(grip.step(hard(0, GIVES_WAY + 2), on=False, pose="release"), 0) == pytest.approx(-0.01)


def test_without_a_press_nothing_is_ever_added():
    grip, pairs = Grip(HAND, 0.0), np.ones((HISTORY_STEPS, 2 * JOINTS), np.float32)
    for on in (True, False):
        assert not grip.step(hard(0, 20.0), on=on, pose="squeeze").any()
    assert grip.without("history", pairs, 1) is pairs


@pytest.mark.parametrize("delay", [0, 1])
def test_the_skill_observes_targets_as_if_nothing_was_added(delay):
    grip, rng = Grip(HAND, PRESS), np.random.default_rng(0)
    pairs = rng.normal(size=(HISTORY_STEPS, 2 * JOINTS)).astype(np.float32)
    added = [grip.step(rng.uniform(0, 12, FINGERS), on=k % 7 > 2, pose="squeeze") for k in range(HISTORY_STEPS + 5)]
    for key, end, rows in (("history", 0, HISTORY_STEPS), ("proprio", delay, PROPRIO_STEPS)):
        last = len(added) - end
        seen = grip.without(key, pairs[-rows:], delay)
        assert seen.dtype == np.float32
        np.testing.assert_array_equal(seen[:, :JOINTS], pairs[-rows:, :JOINTS])  # what is measured stays
        expected = pairs[-rows:, JOINTS:] - np.array(added[last - rows : last])
        np.testing.assert_allclose(seen[:, JOINTS:], expected, atol=1e-6)
