"""Poses of the hand at an object."""

from __future__ import annotations

import numpy as np

from dexscrew_envs.hands.hand import Hand
from real.robot import Vector

OPENING = 0.6
"""How far an open hand's joints are away from where they hold the object (rad)."""

SQUEEZE = 0.1
"""How far beyond there a hand that squeezes closes them (rad)."""


def opened(hand: Hand, pose: Vector) -> Vector:
    """Return joint positions (J,) (rad) with the fingers taken away from the object that they are at in `pose`."""
    return _moved(hand, pose, OPENING)


def squeezed(hand: Hand, pose: Vector) -> Vector:
    """Return joint positions (J,) (rad) with the fingers pressed on the object that they are at in `pose`."""
    return _moved(hand, pose, -SQUEEZE)


def inward(hand: Hand) -> Vector:
    """Return how much of a radian each joint (J,) turns where the fingers close by one, towards the object."""
    moved = np.zeros(len(hand.joints))
    for finger in hand.fingers:
        for joint, direction in finger.opening.items():
            moved[hand.joints.index(joint)] -= direction
    return moved


def _moved(hand: Hand, pose: Vector, away: float) -> Vector:
    return (np.array(pose, float) - away * inward(hand)).clip(*hand.joint_range)
