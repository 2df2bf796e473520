"""A robot without physics: it is where it was told to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dexscrew_envs.hands import XHAND_LEFT
from real.features import commanded, measured
from real.robot import ArmMode, ArmState, HandState, Progress, Reading, RobotError

ARM_Q = np.array([0.0, -1.6, 1.8, -1.8, -1.57, 0.0])
HAND_Q = np.array([0.0, 0.8, 0.4, 0.8, 0.4, 0.1, 0.1, 0.1, 0.1, 1.3, 0.3, 0.4])


class FakeRobot:
    """Keeps a reading that tests change, and what it was told; its clock moves when it waits."""

    observation_features = measured(XHAND_LEFT)
    action_features = commanded(XHAND_LEFT)

    def __init__(self) -> None:
        self.now = 100.0
        self.commands: list[tuple[np.ndarray, np.ndarray]] = []
        self.stops = 0
        self.recoveries = 0
        self.closed = False
        self.refuse: str | None = None
        self.overrides: dict[str, dict] = {"arm": {}, "hand": {}}
        self.lag = {"arm": 0.0, "hand": 0.0, "tactile": 0.0}
        self.q, self.arm_q = HAND_Q.copy(), ARM_Q.copy()
        self.turns: float | None = None
        self.real_time = True

    def check_task(self, task, shape) -> None:
        pass

    def connect(self) -> None:
        pass

    def start_trial(self, seed) -> None:
        self.recover()

    def sight(self) -> None:
        pass

    def render_state(self) -> None:
        pass

    def read(self) -> Reading:
        arm = ArmState(
            self.now - self.lag["arm"], self.arm_q.copy(), np.zeros(6), np.zeros(6), np.zeros(6), ArmMode.RUNNING
        )
        hand = HandState(
            self.now - self.lag["hand"], self.q.copy(), np.zeros(12), np.zeros((5, 120, 3), np.int16),
            np.zeros((5, 3), np.int16), self.now - self.lag["tactile"],
        )  # fmt: skip
        progress = None if self.turns is None else Progress(self.turns)
        return Reading(
            self.now, replace(arm, **self.overrides["arm"]), replace(hand, **self.overrides["hand"]), progress
        )

    def command(self, hand, arm) -> None:
        if self.refuse is not None:
            raise RobotError(self.refuse)
        self.commands.append((hand.copy(), arm.copy()))
        self.q, self.arm_q = hand.copy(), arm.copy()

    def wait(self, seconds: float) -> float:
        self.now += seconds
        return seconds

    def stop(self) -> None:
        self.stops += 1

    def recover(self) -> None:
        self.recoveries += 1

    def close(self) -> None:
        self.closed = True
