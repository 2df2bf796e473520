"""A firmer grip than the skill's: the fingers close further, and each gives way where its tip is pressed hard.

A skill eases a grip that is firmer than it wants, so it must not see what is added here. A thumb that the object holds
back is not wound up: let go by the fingers, it would spring to its target, and be caught there.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from dexscrew_envs.hands.hand import Hand
from dexscrew_envs.mdp.observations import HISTORY_STEPS, PROPRIO_STEPS
from real.hand_poses import inward
from real.robot import Vector

GIVES_WAY = 8.0
"""Force on a fingertip from which its finger gives way (N). A finger is rated at 12 N, the safety layer allows 15."""
_YIELD = 0.01
"""How much further it opens in a control step for each newton more (rad/N)."""
_FASTEST, _FASTEST_CLOSING = 0.05, 0.01
"""Largest change in a control step, and that of a finger that closes again after it gave way (rad). The first, with the
skill's own motion, stays within what the safety layer lets through."""
_FARTHEST = 0.3
"""How far a finger gives way at most (rad)."""
THUMB_AHEAD = 0.4
"""How far the targets of the thumb's joints are ahead of them at most (rad)."""


class Grip:
    """What is added to the fingers' targets.

    Args:
        hand: whose fingers they are.
        press: how much further each finger closes while the skill runs (rad); with 0 nothing is ever added.
    """

    def __init__(self, hand: Hand, press: float) -> None:
        self._press, self._inward = press, inward(hand)
        self._thumb = [hand.joints.index(joint) for joint in hand.thumb]
        self.reset()

    def reset(self) -> None:
        """Begin an episode: nothing is added."""
        self._closed, self._yielded = 0.0, np.zeros(len(self._inward))
        self._added = deque([np.zeros(self._inward.shape[1])] * HISTORY_STEPS, HISTORY_STEPS)

    @property
    def added(self) -> Vector:
        """What the targets sent last have of it (J,) (rad)."""
        return self._added[-1]

    def step(self, forces: Vector, *, on: bool, pose: str) -> Vector:
        """Return what the targets of the step that begins should have of it (J,) (rad).

        Args:
            forces: (F,) on the fingertips (N).
            on: whether the skill runs.
            pose: what the fingers do if not: with "hold" their targets stay as they are.
        """
        if not self._press or (not on and pose == "hold"):
            self._added.append(self.added)
            return self.added
        self._closed += float(np.clip((self._press if on else 0.0) - self._closed, -_FASTEST, _FASTEST))
        change = (_YIELD * (forces - GIVES_WAY)).clip(-_FASTEST_CLOSING, _FASTEST)
        if not on and pose == "release":  # a tip that is pressed as it leaves is caught, and pulled all the more
            change[:] = -_FASTEST_CLOSING
        self._yielded = (self._yielded + change).clip(0.0, _FARTHEST)
        self._added.append((self._closed - self._yielded) @ self._inward)
        return self.added

    def unwound(self, targets: Vector, q: Vector) -> Vector:
        """Return targets (J,) with those of the thumb near its joints' positions, `q` (J,) (rad)."""
        if not self._press:
            return targets
        near = targets.copy()
        near[self._thumb] = near[self._thumb].clip(q[self._thumb] - THUMB_AHEAD, q[self._thumb] + THUMB_AHEAD)
        return near

    def correct(self, added: Vector) -> None:
        """Say what the newest targets really have of it (J,) (rad), where something was taken from them."""
        if self._press:
            self._added[-1] = added

    def forget(self) -> None:
        """Say that something else moved the fingers in the newest step, which did not give way."""
        self._yielded[:] = 0.0
        self._added[-1] = np.full(len(self._inward), self._closed) @ self._inward

    def without(self, key: str, pairs: Vector, delay: int) -> Vector:
        """Return what a skill observes (rows, 2 J) as if nothing had been added before this step.

        Args:
            key: `proprio` or `history`.
            pairs: positions and targets (rad), the oldest first.
            delay: of `proprio`, in control steps.
        """
        if not self._press:
            return pairs
        rows = np.array(self._added)
        if key == "proprio":
            rows = rows[len(rows) - delay - PROPRIO_STEPS : len(rows) - delay]
        return pairs - np.pad(rows, ((0, 0), (pairs.shape[1] - rows.shape[1], 0))).astype(pairs.dtype)
