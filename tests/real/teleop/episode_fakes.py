"""Operators, a skill and a watcher for episodes with a robot without physics."""

from __future__ import annotations

from contextlib import closing

import numpy as np
from robot_fakes import FakeRobot

from real.env import DexScrewRealEnv
from real.teleop.episode import Episode, Step
from real.teleop.finger_skill import FingerSkill, Noise
from real.teleop.operator import Orders
from real.teleop.setup import GRIP_POINT
from real.teleop.wrist import Wrist

JOINTS = 12


class Half:
    """A skill whose every action is one half."""

    observe = ("proprio",)

    def __init__(self):
        self.resets = 0

    def reset(self):
        self.resets += 1

    def act(self, batch):
        import torch

        return torch.full((1, JOINTS), 0.5)


class Script:
    """An operator who gives orders in turn, the last one for ever."""

    name = "script"

    def __init__(self, *orders):
        self.orders_left = list(orders)
        self.scenes = []

    def start(self):
        pass

    def orders(self, scene):
        self.scenes.append(scene)
        return self.orders_left.pop(0) if len(self.orders_left) > 1 else self.orders_left[0]

    def close(self):
        pass


class Seen:
    def __init__(self):
        self.steps: list[Step] = []

    def show(self, step):
        self.steps.append(step)


ON = Orders(skill=True)
DONE = Orders(mark="success")


def run(*orders, noise=None, robot=None, policy=None, watcher=None, prepare=None, seed=3, press=0.0):
    robot = robot or FakeRobot()
    robot.real_time = False
    env = DexScrewRealEnv("nut", robot=robot, action="full")
    with closing(env):
        operator = Script(*orders)
        skill = FingerSkill(policy or Half(), env, np.random.default_rng(0), press)
        wrist = Wrist(np.array(env.limits.workspace), np.array(GRIP_POINT))
        episode = Episode(env, operator, skill, wrist, watcher=watcher)
        episode.reset(seed, noise or Noise())
        if prepare is not None:
            prepare(robot)
        rows = []
        ending = episode.run(rows.append)
        return rows, ending, operator, env


def stacked(rows, key):
    return np.array([row[key] for row in rows])
