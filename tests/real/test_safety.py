from __future__ import annotations

import time

import numpy as np
import pytest
from robot_fakes import ARM_Q, HAND_Q, FakeRobot

from real.kinematics import forward
from real.robot import ArmMode, RobotError
from real.safety import SafetyLayer, SafetyLimits, SafetyTrip, limit_motion

DT = 0.05
HERE = forward(ARM_Q)[:3]


def layer(robot, real_time=False, **limits):
    guard = SafetyLayer(robot, SafetyLimits(**limits), DT, real_time)
    guard.reset()
    return guard


@pytest.fixture
def robot():
    return FakeRobot()


def pressed(counts, finger=1):
    """Return resultants of fingertips, one of which presses."""
    resultant = np.zeros((5, 3), np.int16)
    resultant[finger, 2] = counts
    return resultant


def follow(goals, speed, acceleration, lower=-10.0, upper=10.0):
    """Let a limited target follow goals; return its positions and velocities."""
    position, velocity = np.zeros(1), np.zeros(1)
    positions, velocities = [], []
    for goal in goals:
        position, velocity = limit_motion(
            np.array([goal]), position, velocity, np.array([lower]), np.array([upper]), speed, acceleration, DT
        )
        positions.append(position[0])
        velocities.append(velocity[0])
    return np.array(positions), np.array(velocities)


def test_small_motions_pass_unchanged():
    goals = np.cumsum(np.random.default_rng(0).uniform(-0.005, 0.005, 100))
    positions, _ = follow(goals, speed=2.0, acceleration=60.0)
    np.testing.assert_array_equal(positions, goals)


@pytest.mark.parametrize("goal", [3.0, -0.7, 0.004])
def test_a_jump_keeps_speed_and_acceleration_and_does_not_overshoot(goal):
    positions, velocities = follow([goal] * 400, speed=0.5, acceleration=2.0)
    assert np.abs(velocities).max() <= 0.5 + 1e-9
    assert np.abs(np.diff(velocities, prepend=0)).max() <= 2.0 * DT + 1e-9
    assert positions[-1] == goal
    assert np.abs(positions).max() <= abs(goal) + 1e-12


def test_a_goal_that_reverses_keeps_the_acceleration():
    goals = [1.0] * 20 + [-1.0] * 200
    _, velocities = follow(goals, speed=0.5, acceleration=2.0)
    assert np.abs(np.diff(velocities, prepend=0)).max() <= 2.0 * DT + 1e-9
    assert velocities.min() < -0.4


def test_targets_stop_at_the_joint_range():
    positions, velocities = follow([9.0] * 200, speed=0.5, acceleration=2.0, upper=0.3)
    assert positions.max() == 0.3
    assert np.abs(np.diff(velocities, prepend=0)).max() <= 2.0 * DT + 1e-9


def test_a_target_outside_the_range_comes_back_and_is_not_thrown():
    position, _ = limit_motion(
        np.array([0.5]), np.array([1.4]), np.zeros(1), np.array([-1.0]), np.array([1.0]), 0.5, 2.0, DT
    )
    assert 1.4 - 0.5 * DT <= position[0] < 1.4


def test_what_was_sent_is_returned(robot):
    guard = layer(robot)
    hand, arm = guard.command(HAND_Q + 1.0, ARM_Q + 0.5)
    np.testing.assert_array_equal(robot.commands[-1][0], hand)
    np.testing.assert_array_equal(robot.commands[-1][1], arm)
    assert np.abs(arm - ARM_Q).max() <= 0.5 * DT + 1e-9
    assert (hand <= np.array(guard.limits.hand_upper)).all()


VIOLATIONS = {
    "wrist_force": ("arm", {"tcp_force": np.array([0, 0, 51.0, 0, 0, 0])}, "51.0 N, limit 50 N"),
    "wrist_torque": ("arm", {"tcp_force": np.array([0, 0, 0, 9.0, 0, 0])}, "9.00 N m, limit 8"),
    "fingertip_peak": ("hand", {"resultant": pressed(251)}, "index fingertip is 25.1 N, limit 25 N"),
    "finite": ("hand", {"q": np.full(12, np.nan)}, "not finite"),
    "arm mode": ("arm", {"mode": ArmMode.PROTECTIVE_STOP}, "protective stop"),
}


@pytest.mark.parametrize("limit", VIOLATIONS)
def test_a_reading_beyond_a_limit_stops_the_robot(robot, limit):
    guard = layer(robot)
    guard.command(HAND_Q, ARM_Q)
    part, changes, words = VIOLATIONS[limit]
    robot.overrides[part] = changes
    sent = len(robot.commands)
    with pytest.raises(SafetyTrip, match=words) as error:
        guard.command(HAND_Q, ARM_Q)
    assert error.value.trip.limit == limit
    assert robot.stops == 1 and len(robot.commands) == sent


def press(guard, robot, counts):
    """Send a command at each control step, while the index fingertip presses with so many counts."""
    for newtons in counts:
        robot.overrides["hand"] = {"resultant": pressed(newtons)}
        guard.command(HAND_Q, ARM_Q)
        robot.wait(DT)


def test_a_fingertip_may_press_hard_for_a_moment(robot):
    guard = layer(robot)
    press(guard, robot, [*[200] * 5, 150, *[250] * 5, 0])  # a quarter of a second has begun six times, ended never
    assert robot.stops == 0


@pytest.mark.parametrize(("period", "seconds"), [(0.05, 0.25), (0.1, 0.3)])
def test_a_fingertip_that_goes_on_to_press_stops_the_robot(robot, period, seconds):
    guard = layer(robot)
    robot.overrides["hand"] = {"resultant": pressed(151)}
    begun = robot.now
    with pytest.raises(SafetyTrip, match=r"index fingertip is 15\.1 N, limit 15 N for more than 0.25 s") as error:
        for _ in range(100):
            guard.command(HAND_Q, ARM_Q)
            robot.wait(period)
    assert error.value.trip.limit == "fingertip_force"
    assert robot.now - begun == pytest.approx(seconds)
    assert robot.stops == 1


def test_fingertips_that_take_turns_press_on(robot):
    guard = layer(robot)
    with pytest.raises(SafetyTrip, match=r"thumb fingertip is 16\.0 N"):
        for step in range(100):
            robot.overrides["hand"] = {"resultant": pressed(160, finger=1 - step % 2)}
            guard.command(HAND_Q, ARM_Q)
            robot.wait(DT)


def test_a_reset_forgets_how_long_a_fingertip_pressed(robot):
    guard = layer(robot)
    for _ in range(3):
        press(guard, robot, [200] * 5)
        guard.reset()
    assert robot.stops == 0


@pytest.mark.parametrize("part", ["arm", "hand", "tactile"])
def test_a_stale_reading_stops_the_robot(robot, part):
    guard = layer(robot)
    robot.lag[part] = 0.101
    with pytest.raises(SafetyTrip, match=f"newest {part} reading is 101 ms old, limit 100 ms"):
        guard.command(HAND_Q, ARM_Q)
    assert robot.stops == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_command_that_is_not_finite_stops_the_robot(robot, bad):
    guard = layer(robot)
    hand = HAND_Q.copy()
    hand[3] = bad
    with pytest.raises(SafetyTrip, match="hand targets are not finite"):
        guard.command(hand, ARM_Q)
    assert robot.stops == 1 and not robot.commands


def test_a_command_of_the_wrong_shape_stops_the_robot(robot):
    with pytest.raises(SafetyTrip, match=r"arm targets have shape \(5,\), expected \(6,\)"):
        layer(robot).command(HAND_Q, ARM_Q[:5])


def test_a_command_out_of_the_workspace_stops_the_robot(robot):
    guard = layer(robot, workspace=((-2, 2), (-2, 2), (HERE[2] - 0.01, HERE[2] + 0.01)))
    goal = ARM_Q + np.array([0, 0.5, 0, 0, 0, 0])
    with pytest.raises(SafetyTrip, match="the wrist would go to z"):
        for _ in range(100):
            guard.command(HAND_Q, goal)
            robot.wait(DT)
    assert robot.stops == 1
    assert abs(forward(robot.arm_q)[2] - HERE[2]) <= 0.01


def test_silence_of_the_policy_stops_the_robot(robot):
    guard = layer(robot)
    guard.command(HAND_Q, ARM_Q)
    robot.wait(0.26)
    with pytest.raises(SafetyTrip, match="no command came for 260 ms, limit 250 ms"):
        guard.command(HAND_Q, ARM_Q)
    assert robot.stops == 1


def test_a_released_robot_may_wait(robot):
    guard = layer(robot)
    guard.command(HAND_Q, ARM_Q)
    guard.release()
    robot.wait(10.0)
    guard.command(HAND_Q, ARM_Q)
    assert guard.trip is None


def test_a_trip_stays_latched_until_reset(robot):
    guard = layer(robot)
    robot.overrides["arm"] = {"mode": ArmMode.LOST}
    with pytest.raises(SafetyTrip, match="connection lost"):
        guard.command(HAND_Q, ARM_Q)
    robot.overrides["arm"] = {}
    for _ in range(3):
        with pytest.raises(SafetyTrip, match="connection lost"):
            guard.command(HAND_Q, ARM_Q)
    assert not robot.commands and robot.stops == 1
    guard.reset()
    guard.command(HAND_Q, ARM_Q)
    assert len(robot.commands) == 1


def test_reset_does_not_release_what_still_holds(robot):
    guard = layer(robot)
    robot.lag["hand"] = 1.0
    for _ in range(2):
        with pytest.raises(SafetyTrip, match="hand reading"):
            guard.reset()
        with pytest.raises(SafetyTrip, match="hand reading"):
            guard.command(HAND_Q, ARM_Q)


def test_reset_begins_where_the_robot_stands(robot):
    guard = layer(robot)
    robot.q, robot.arm_q = HAND_Q + 0.1, ARM_Q + 0.1
    guard.reset()
    np.testing.assert_array_equal(guard.hand_target, HAND_Q + 0.1)
    np.testing.assert_array_equal(guard.arm_target, ARM_Q + 0.1)


def test_a_refused_command_trips(robot):
    guard = layer(robot)
    robot.refuse = "another client commands the hand"
    with pytest.raises(SafetyTrip, match="another client commands the hand"):
        guard.command(HAND_Q, ARM_Q)
    assert robot.stops == 1


def test_command_before_reset_is_refused(robot):
    with pytest.raises(RuntimeError, match=r"call reset\(\)"):
        SafetyLayer(robot, SafetyLimits(), DT, False).command(HAND_Q, ARM_Q)


class RealTimeRobot(FakeRobot):
    """Its clock is the wall's, and its readings are fresh."""

    def read(self):
        self.now = time.monotonic()
        return super().read()


@pytest.mark.parametrize("cause", ["silence", "force"])
def test_a_robot_in_real_time_is_watched_between_commands(cause):
    robot = RealTimeRobot()
    guard = layer(robot, real_time=True, dead_man=0.3)
    try:
        guard.command(HAND_Q, ARM_Q)
        if cause == "force":
            robot.overrides["arm"] = {"tcp_force": np.array([0, 0, 99.0, 0, 0, 0])}
        deadline = time.monotonic() + 10
        while not robot.stops and time.monotonic() < deadline:
            time.sleep(0.005)
        assert guard.trip is not None
        assert guard.trip.limit == {"silence": "dead_man", "force": "wrist_force"}[cause]
    finally:
        guard.close()


@pytest.mark.parametrize("fault", [OSError("closed"), ValueError("odd"), RobotError("gone")], ids=repr)
def test_a_fault_while_watching_stops_the_robot_and_trips(fault):
    robot = RealTimeRobot()
    guard = layer(robot, real_time=True, dead_man=60.0)
    try:
        guard.command(HAND_Q, ARM_Q)

        def read():
            raise fault

        robot.read = read
        deadline = time.monotonic() + 10
        while not robot.stops and time.monotonic() < deadline:
            time.sleep(0.005)
        assert guard.trip is not None and guard.trip.limit == "watch"
        assert str(fault) in guard.trip.message
        del robot.read
        assert guard.reset() and guard.trip is None
        robot.stops = 0
        guard.command(HAND_Q, ARM_Q)
        robot.overrides["arm"] = {"tcp_force": np.array([0, 0, 99.0, 0, 0, 0])}
        while not robot.stops and time.monotonic() < deadline:
            time.sleep(0.005)
        assert guard.trip.limit == "wrist_force", "it goes on watching"
    finally:
        guard.close()


def test_whatever_a_driver_raises_trips(robot):
    guard = layer(robot)
    robot.command = lambda hand, arm: 1 / 0
    with pytest.raises(SafetyTrip, match=r"did not take a command: ZeroDivisionError"):
        guard.command(HAND_Q, ARM_Q)
    assert robot.stops == 1


def test_a_stop_that_fails_is_told_and_latched_all_the_same(robot):
    guard = layer(robot)
    robot.overrides["arm"] = {"mode": ArmMode.LOST}
    robot.stop = lambda: 1 / 0
    with pytest.raises(SafetyTrip, match=r"connection lost; stopping it failed, too: ZeroDivisionError"):
        guard.command(HAND_Q, ARM_Q)
    with pytest.raises(SafetyTrip, match="connection lost"):
        guard.command(HAND_Q, ARM_Q)


def test_closing_ends_the_watching_thread_even_if_stopping_fails():
    robot = RealTimeRobot()
    guard = layer(robot, real_time=True)
    thread = guard._thread
    robot.stop = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        guard.close()
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_age": 0.0}, "max_age must be positive"),
        ({"wrist_force": np.inf}, "wrist_force must be positive and finite"),
        ({"hand_lower": (0.0,) * 11}, "hand_lower must have 12 entries, all numbers"),
        ({"hand_upper": ("a",) * 12}, "hand_upper must have 12 entries, all numbers"),
        ({"arm_lower": 3}, "arm_lower must have 6 entries, all numbers"),
        ({"arm_upper": (np.nan,) * 6}, "arm_upper must have 6 entries, all numbers"),
        ({"workspace": ((0, 1), (0, 1))}, "workspace must have 3 entries, all pairs of numbers"),
        ({"workspace": ((0, 1), (0, 1), (np.nan, 1))}, "workspace must have 3 entries, all pairs of numbers"),
        ({"workspace": ((0, 1), (0, 1), (0,))}, "workspace must have 3 entries, all pairs of numbers"),
        ({"workspace": ((0, 1), (0, 1), (1, 1))}, "every range of workspace must be"),
        ({"hand_velocity": "2"}, "hand_velocity must be positive and finite, got '2'"),
        ({"dead_man": True}, "dead_man must be positive and finite, got True"),
        ({"dead_man": None}, "dead_man must be positive and finite, got None"),
        ({"max_age": np.nan}, "max_age must be positive and finite"),
        ({"fingertip_force": 26.0}, r"fingertip_peak must be at least fingertip_force \(26 N\), got 25"),
        ({"arm_upper": (-7.0,) * 6}, "every arm_lower must be below"),
        ({"workspace": ((0, 1), (1, 0), (0, 1))}, "every range of workspace"),
    ],
)
def test_impossible_limits_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        SafetyLimits(**fields)


def test_other_limits_have_another_fingerprint():
    assert SafetyLimits().fingerprint == SafetyLimits().fingerprint != SafetyLimits(fingertip_peak=15.0).fingerprint
    assert len(SafetyLimits().fingerprint) == 8


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.02])
def test_commands_that_come_faster_than_the_period_move_no_faster(robot, pause):
    guard = layer(robot)
    hand, arm = HAND_Q + 0.4, ARM_Q + 0.1
    began, sent = robot.now, []
    guard.command(hand, arm)
    for _ in range(10):
        robot.now += pause
        sent.append(guard.command(hand, arm))
    allowed = DT + robot.now - began
    assert np.abs(sent[-1][0] - HAND_Q).max() <= guard.limits.hand_velocity * allowed + 1e-9
    assert np.abs(sent[-1][1] - ARM_Q).max() <= guard.limits.arm_velocity * allowed + 1e-9
    if pause:
        assert np.abs(sent[-1][0] - sent[0][0]).max() > 0, "they do move"
    else:
        np.testing.assert_array_equal(sent[-1][0], sent[0][0])


def test_after_a_pause_targets_move_by_a_period_at_most(robot):
    guard = layer(robot)
    guard.command(HAND_Q, ARM_Q)
    robot.now += 4 * DT
    hand, _ = guard.command(HAND_Q + 0.4, ARM_Q)
    assert np.abs(hand - HAND_Q).max() <= guard.limits.hand_velocity * DT + 1e-9


@pytest.mark.parametrize(
    "target", [np.full(12, np.nan), np.full(12, 50.0), np.zeros(11), np.full(12, "a"), np.zeros((1, 12))]
)
def test_reset_refuses_what_cannot_be_targets_of_the_hand(robot, target):
    guard = SafetyLayer(robot, SafetyLimits(), DT, False)
    with pytest.raises(ValueError, match="hand_target must be 12 joint targets within a turn"):
        guard.reset(target)
    with pytest.raises(RuntimeError, match="reset"):
        guard.command(HAND_Q, ARM_Q)


@pytest.mark.parametrize(
    ("part", "values", "words"),
    [
        ("hand", {"time": 200.0}, "the newest hand reading is from 100000 ms ahead"),
        ("hand", {"resultant": np.full((5, 3), np.nan)}, "fingertips is not finite"),
        ("hand", {"resultant": np.zeros((4, 3))}, "fingertips has 12 numbers, expected 15"),
        ("hand", {"q": np.full(12, 100.0)}, "a joint of the hand cannot be where it reads"),
        ("hand", {"q": np.zeros(11)}, "hand has 11 numbers, expected 12"),
        ("arm", {"q": np.full(6, 7.0)}, "a joint of the arm cannot be where it reads"),
    ],
)
def test_a_reading_that_cannot_be_stops_the_robot(robot, part, values, words):
    guard = layer(robot)
    robot.overrides[part] = values
    with pytest.raises(SafetyTrip, match=words):
        guard.command(HAND_Q, ARM_Q)
    assert robot.stops == 1 and not robot.commands
