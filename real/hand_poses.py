"""Poses of the hand at an object."""

from __future__ import annotations

import numpy as np

from dexscrew_envs.hands.hand import Hand
from real.robot import Vector

OPENING = 0.6
"""How far an open hand's joints are away from where they hold the object (rad)."""


def opened(hand: Hand, pose: Vector) -> Vector:
    """Return joint positions (J,) (rad) with the fingers taken away from the object that they are at in `pose`."""
    pose = np.array(pose, float)
    for finger in hand.fingers:
        for joint, direction in finger.opening.items():
            pose[hand.joints.index(joint)] += OPENING * direction
    return pose.clip(*hand.joint_range)
