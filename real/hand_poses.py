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
    """Return how each finger closes on the object (F, J): how far its joints turn for a radian."""
    moved = np.zeros((len(hand.fingers), len(hand.joints)))
    for finger, row in zip(hand.fingers, moved, strict=True):
        for joint, direction in finger.opening.items():
            row[hand.joints.index(joint)] = -direction
    return moved


def _moved(hand: Hand, pose: Vector, away: float) -> Vector:
    return (np.array(pose, float) - away * inward(hand).sum(0)).clip(*hand.joint_range)
