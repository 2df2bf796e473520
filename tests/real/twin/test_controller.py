from __future__ import annotations

import math

import numpy as np
import pytest

from real.twin.controller import MAX_ACCELERATION, TIMESTEP, ArmController


def settle(controller, limit=20.0):
    """Step until it rests; return positions and velocities on the way, a row each period."""
    rows = []
    while controller.moving and len(rows) * TIMESTEP < limit:
        rows.append((controller.step().copy(), controller.qd.copy()))
    assert not controller.moving
    return (np.array(part) for part in zip(*rows, strict=True))


@pytest.mark.parametrize(("gain", "lookahead"), [(100, 0.2), (300, 0.1), (1200, 0.03), (2000, 0.2)])
def test_servo_lags_a_ramp_by_the_lookahead(gain, lookahead):
    controller = ArmController(np.zeros(6))
    rate = 0.2
    for i in range(2000):
        controller.servo(np.full(6, rate * i * TIMESTEP), lookahead=lookahead, gain=gain)
        controller.step()
    lag = 1999 * TIMESTEP - controller.q / rate
    np.testing.assert_allclose(lag, lookahead, atol=1.01 * TIMESTEP)


@pytest.mark.parametrize(
    ("gain", "lookahead", "t63", "t90"),
    [(100, 0.2, 0.214, 0.389), (300, 0.1, 0.113, 0.188), (1200, 0.03, 0.045, 0.063)],
)
def test_servo_answers_a_step_as_its_equation(gain, lookahead, t63, t90):
    controller = ArmController(np.zeros(6))
    controller.servo(np.full(6, 1e-3), lookahead=lookahead, gain=gain)  # small: no limit is reached
    path = np.array([controller.step()[0] for _ in range(500)]) / 1e-3
    assert TIMESTEP * np.argmax(path > 1 - math.exp(-1)) == pytest.approx(t63, abs=0.004)
    assert TIMESTEP * np.argmax(path > 0.9) == pytest.approx(t90, abs=0.004)


def test_the_factors_change_how_servo_follows():
    nominal, soft = ArmController(np.zeros(6)), ArmController(np.zeros(6), gain_factor=0.7, lookahead_factor=1.1)
    for controller in (nominal, soft):
        controller.servo(np.full(6, 0.01), lookahead=0.2, gain=100)
        for _ in range(100):
            controller.step()
    assert (soft.q < 0.95 * nominal.q).all()


def test_servo_goes_on_to_its_last_target():
    controller = ArmController(np.zeros(6))
    target = np.linspace(-0.5, 0.5, 6)
    controller.servo(target)
    for _ in range(2000):
        controller.step()
    np.testing.assert_allclose(controller.q, target, atol=1e-6)


def test_servo_keeps_to_the_limits():
    controller = ArmController(np.zeros(6))
    controller.servo(np.full(6, 5.0), gain=2000, lookahead=0.05)
    speeds = []
    for _ in range(3000):
        controller.step()
        speeds.append(controller.qd.copy())
    assert np.abs(speeds).max() == pytest.approx(math.pi)
    assert np.abs(np.diff(speeds, axis=0)).max() <= MAX_ACCELERATION * TIMESTEP * (1 + 1e-9)


def test_move_arrives_with_all_joints_together():
    controller = ArmController(np.zeros(6))
    goal = np.array([0.5, -0.25, 0.1, 0.0, 0.05, -0.5])
    controller.move(goal, speed=0.5, acceleration=1.0)
    q, qd = settle(controller)
    np.testing.assert_allclose(controller.q, goal, atol=1e-12)
    assert len(q) * TIMESTEP == pytest.approx(0.5 / 0.5 + 0.5 / 1.0, abs=2 * TIMESTEP)  # distance / v + v / a
    assert np.abs(qd).max() == pytest.approx(0.5)
    np.testing.assert_allclose(q, np.outer(q[:, 0] / goal[0], goal), atol=1e-12)


def test_a_short_move_does_not_reach_its_speed():
    controller = ArmController(np.zeros(6))
    controller.move(np.full(6, 0.01), speed=1.0, acceleration=1.0)
    q, qd = settle(controller)
    assert np.abs(qd).max() == pytest.approx(math.sqrt(0.01), rel=0.02)
    assert len(q) * TIMESTEP == pytest.approx(0.2, abs=2 * TIMESTEP)


def test_a_move_to_where_it_is_ends():
    controller = ArmController(np.ones(6))
    controller.move(np.ones(6), 1.0, 1.0)
    settle(controller)
    np.testing.assert_array_equal(controller.q, np.ones(6))


def test_move_stops_before_it_begins():
    controller = ArmController(np.zeros(6))
    controller.speed(np.full(6, 1.0), 10.0)
    for _ in range(100):
        controller.step()
    controller.move(np.zeros(6), 1.0, 2.0)
    _, qd = settle(controller)
    np.testing.assert_allclose(controller.q, 0, atol=1e-12)
    assert np.abs(np.diff(qd, axis=0)).max() <= 2.0 * TIMESTEP * 1.01


def test_speed_and_stop():
    controller = ArmController(np.zeros(6))
    controller.speed(np.array([1.0, 0.5, 0, 0, 0, -1.0]), 2.0)
    for _ in range(round(1 / TIMESTEP)):
        controller.step()
    np.testing.assert_allclose(controller.qd, [1.0, 0.5, 0, 0, 0, -1.0])
    controller.stop(4.0)
    q, qd = settle(controller)
    assert len(q) * TIMESTEP == pytest.approx(1.0 / 4.0, abs=2 * TIMESTEP)
    np.testing.assert_allclose(qd[:, 1], qd[:, 0] / 2, atol=1e-12)


def test_freeze_holds_at_once():
    controller = ArmController(np.zeros(6))
    controller.servo(np.ones(6))
    for _ in range(50):
        controller.step()
    controller.freeze()
    here = controller.q.copy()
    for _ in range(50):
        controller.step()
    np.testing.assert_array_equal(controller.q, here)
    assert not controller.moving


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda c: c.servo(np.zeros(5)), "must be 6 finite numbers"),
        (lambda c: c.servo(np.full(6, np.nan)), "must be 6 finite numbers"),
        (lambda c: c.servo(np.zeros(6), gain=50), "gain of servoJ must be between 100 and 2000"),
        (lambda c: c.servo(np.zeros(6), lookahead=math.nan), "lookahead of servoJ must be between"),
        (lambda c: c.move(np.zeros(6), 0.0, 1.0), "speed of a motion must be a positive number"),
        (lambda c: c.move(np.zeros(6), 1.0, math.inf), "acceleration of a motion must be"),
        (lambda c: c.speed([1, 2, 3], 1.0), "must be 6 finite numbers"),
        (lambda c: c.stop(-1.0), "must be a positive number"),
    ],
)
def test_bad_commands_are_refused_and_change_nothing(act, message):
    controller = ArmController(np.zeros(6))
    with pytest.raises(ValueError, match=message):
        act(controller)
    np.testing.assert_array_equal(controller.step(), np.zeros(6))
