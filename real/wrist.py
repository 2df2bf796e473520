"""A scripted wrist: what a person does who lets a skill turn a nut or screw, in its simplest form.

It follows the nut down by what it saw a moment ago, and nudges the hand when nothing turns. It knows nothing that a
person at the scene would not see: no force, no friction.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from real.kinematics import forward, inverse
from real.robot import Vector

DELAY = 0.3
"""Time from what happens to what the wrist does about it (s): a person's reaction."""
PATIENCE = 3.0
"""Time without progress after which it nudges (s)."""
NUDGE = 0.005
"""Largest distance of a nudge from the pose that follows the nut (m); it stays there until the next one."""
PROGRESS = 0.02
"""Turns that a person sees as progress: 7 degrees."""


class ScriptedWrist:
    """Follows a nut or screw with the arm.

    Args:
        arm: (6,) joint positions of the arm at the start (rad).
        rng: draws the nudges.
    """

    def __init__(self, arm: Vector, rng: np.random.Generator) -> None:
        self._start = forward(arm)
        self._arm = arm.copy()
        self._rng = rng
        self._seen: deque[tuple[float, float, float]] = deque()
        self._turns = self._depth = self._progressed = 0.0
        self._aside = np.zeros(3)
        self.nudges = 0
        """How often it nudged."""

    def act(self, time: float, turns: float, depth: float) -> Vector:
        """Return where the arm should go (6,) (rad).

        Args:
            time: since the trial began (s).
            turns: of the nut or screw now, seen only after `DELAY`.
            depth: how far it has gone down by now, likewise (m).

        Raises:
            RobotError: no joint positions put the flange there.
        """
        self._seen.append((time, turns, depth))
        while self._seen and self._seen[0][0] <= time - DELAY:
            _, turns, self._depth = self._seen.popleft()
            if turns > self._turns + PROGRESS:
                self._turns, self._progressed = turns, time
        if time - self._progressed > PATIENCE:
            direction = self._rng.standard_normal(3)
            self._aside = NUDGE * self._rng.uniform() ** (1 / 3) * direction / np.linalg.norm(direction)
            self._progressed = time
            self.nudges += 1
        pose = self._start.copy()
        pose[:3] += self._aside
        pose[2] -= self._depth
        self._arm = inverse(pose, self._arm)
        return self._arm
