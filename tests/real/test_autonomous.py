from __future__ import annotations

import math
from contextlib import closing

import numpy as np
import pytest
from robot_fakes import FakeRobot

from real.autonomous import run_trial
from real.env import DexScrewRealEnv
from real.robot import Progress, RobotError


class Turning(FakeRobot):
    """A robot on which the nut turns by a tenth at each step, until it is told otherwise."""

    real_time = False

    def __init__(self, **changes):
        super().__init__()
        self.real_time = False
        self.steps, self.changes = 0, changes

    def start_trial(self, seed):
        self.steps = 0
        return self.q

    def wait(self, seconds):
        self.steps += seconds > 0
        if self.changes.get("fails") == self.steps:
            raise RobotError("the physics diverged")
        return super().wait(seconds)

    def read(self):
        made = 0.1 * min(self.steps, self.changes.get("stuck", math.inf))
        progress = Progress(made, 2.0, made >= 2.0, "fell" if self.steps >= self.changes.get("falls", math.inf) else "")
        reading = super().read()
        return type(reading)(reading.time, reading.arm, reading.hand, progress)


class Still:
    name, task = "still", "nut"

    def reset(self, env):
        self.resets = getattr(self, "resets", 0) + 1

    def act(self, env, observation):
        return env.safety.hand_target, env.safety.arm_target


class Wild(Still):
    def act(self, env, observation):
        return np.full(12, np.nan), env.safety.arm_target


class Short(Still):
    def act(self, env, observation):
        return env.safety.hand_target[1:], env.safety.arm_target


class Broken(Still):
    def act(self, env, observation):
        return {}["hand"]


def trial(robot, policy=None, steps=200, **options):
    with closing(DexScrewRealEnv("nut", robot=robot, action="full", episode_steps=steps)) as env:
        return run_trial(env, policy or Still(), 7, **options)


def test_a_complete_trial():
    seen = []
    found = trial(Turning(), watch=lambda observation, info: seen.append(info["rotations"]))
    assert (found.ended_by, found.complete, found.progress, found.seconds) == ("complete", True, 1.0, 1.0)
    assert found.turns == (0.0, 2.0) and found.needed == 2.0 and found.seed == 7 and found.policy == "still"
    assert len(seen) == 20


@pytest.mark.parametrize(
    ("changes", "options", "ended", "reason", "progress"),
    [
        ({"falls": 5}, {}, "lost", "fell", 0.25),
        ({"stuck": 4}, {"stagnation": 1.0}, "stagnation", "nothing turned for 1 s", 0.2),
        ({"stuck": 4}, {"steps": 30}, "time", "time is over", 0.2),
        ({"fails": 6}, {}, "fault", "the physics diverged", 0.25),
    ],
)
def test_each_way_to_end_is_told(changes, options, ended, reason, progress):
    robot = Turning(**changes)
    found = trial(robot, **options)
    assert (found.ended_by, found.reason, found.complete) == (ended, reason, False)
    assert found.progress == pytest.approx(progress)
    assert robot.stops > 0


def test_turns_are_those_of_each_second_and_the_last():
    found = trial(Turning(stuck=3), steps=50)
    assert found.turns == (0.0, 0.3, 0.3, 0.3) and found.seconds == 2.5


def test_a_robot_that_does_not_measure_turns():
    robot = FakeRobot()
    robot.real_time = False
    found = trial(robot, steps=5)
    assert (found.progress, found.turns, found.ended_by) == (None, (), "time")


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Wild(), "targets that are not finite: [nan"),
        (Short(), "targets of the shape (17,), and hand and arm together have (18,)"),
        (Broken(), "still failed: KeyError: 'hand' (test_autonomous.py, line"),
    ],
)
def test_a_policy_that_fails_or_asks_for_the_impossible_ends_the_trial_and_nothing_is_sent(policy, words):
    robot = Turning()
    found = trial(robot, policy)
    assert found.ended_by == "fault" and words in found.reason
    assert not robot.commands and robot.stops > 0


def test_what_does_not_fit_is_refused():
    policy = Still()
    policy.task = "screwdriver"
    with pytest.raises(ValueError, match="made for the task 'screwdriver', and this is 'nut'"):
        trial(Turning(), policy)
    with pytest.raises(ValueError, match="stagnation must be a positive time"):
        trial(Turning(), stagnation=0.0)
    with closing(DexScrewRealEnv("nut", robot=Turning())) as env, pytest.raises(ValueError, match="action='full'"):
        run_trial(env, Still(), 0)
