"""What a robot measures and what it takes, by name: type, shape, unit and range of each quantity.

Recorders and environments build themselves from these, so none of them lists a robot's quantities again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box

from dexscrew_envs.hands import Hand
from real.robot import TAXELS

ARM_JOINTS = 6


@dataclass(frozen=True)
class Feature:
    """One quantity, measured or commanded."""

    dtype: str
    """NumPy's name of its type, such as float64."""
    shape: tuple[int, ...]
    unit: str
    """SI, or "" for raw counts."""
    low: float | tuple[float, ...]
    """Smallest value, of all numbers or of each."""
    high: float | tuple[float, ...]
    """Largest value."""

    def space(self) -> Box:
        """Return the space of its values."""
        low, high = (np.broadcast_to(np.array(end, self.dtype), self.shape) for end in (self.low, self.high))
        return Box(low, high, self.shape, np.dtype(self.dtype).type)


Features = Mapping[str, Feature]


def measured(hand: Hand) -> dict[str, Feature]:
    """Return what a UR5e with this hand measures: the entries of `Reading.values`."""
    joints, tips, turn = (len(hand.joints),), len(hand.fingers), 2 * math.pi
    arm = (ARM_JOINTS,)
    return {
        "hand_q": Feature("float64", joints, "rad", -math.pi, math.pi),
        "hand_current": Feature("float64", joints, "mA", -1e4, 1e4),
        "arm_q": Feature("float64", arm, "rad", -turn, turn),
        "arm_qd": Feature("float64", arm, "rad/s", -turn, turn),
        "tcp_pose": Feature("float64", (6,), "m, rad", -turn, turn),
        "tcp_force": Feature("float64", (6,), "N, N m", -1e4, 1e4),
        "tactile": Feature("int16", (tips, TAXELS, 3), "", -128, 255),
        "resultant": Feature("int16", (tips, 3), "", -(2**15), 2**15 - 1),
    }


def commanded(hand: Hand) -> dict[str, Feature]:
    """Return what a UR5e with this hand takes: the arguments of `Robot.command`."""
    lower, upper = hand.joint_range
    return {
        "hand": Feature("float64", (len(hand.joints),), "rad", lower, upper),
        "arm": Feature("float64", (ARM_JOINTS,), "rad", -2 * math.pi, 2 * math.pi),
    }


__all__ = ["ARM_JOINTS", "Feature", "Features", "commanded", "measured"]
