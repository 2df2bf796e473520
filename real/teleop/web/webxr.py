"""Tracked WebXR controllers with the "xr-standard" layout, such as those of a Quest 2 or 3.

Source of the layout: WebXR Gamepads Module, and the profiles oculus-touch-v3 and meta-quest-touch-plus: buttons are
trigger, grip, touchpad (none), stick, A or X, B or Y; the stick's axes are the third and fourth.
"""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from real.robot import Vector
from real.teleop.web.message import Controller, Side
from real.teleop.web.wish import Action, Wish, at, stick, velocity

CLUTCH = 0
"""Trigger of the right controller."""
BUTTONS: dict[Side, dict[int, Action]] = {
    "right": {1: "grasp", 3: "skill", 4: "success", 5: "discard"},
    "left": {1: "release", 3: "failure", 4: "skill", 5: "next"},
}
_STICK = 2, 3

HELP = (
    ("right trigger, held", "the wrist follows the controller"),
    ("right stick", "yaw and pitch"),
    ("left stick", "wrist left, right, up, down"),
    ("X, or press the right stick", "finger skill on or off"),
    ("right grip, left grip", "grasp, open the hand, while held"),
    ("A", "keep as a success"),
    ("press the left stick", "keep as a failure"),
    ("B", "discard"),
    ("Y", "next episode"),
)

_TO_ROOM = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""From WebXR's axes (x right, y up, z backward) to those of the room (x right, y ahead, z up)."""


def decode(hands: Mapping[Side, Controller]) -> Wish:
    """Return what the controllers that are tracked ask for."""
    pressed = frozenset(
        action
        for side, controller in hands.items()
        for index, action in BUTTONS[side].items()
        if at(controller.buttons, index) > 0.5
    )
    directions = np.zeros(6)
    if (left := hands.get("left")) is not None:
        x, y = (stick(at(left.axes, axis)) for axis in _STICK)
        directions[0], directions[2] = x, -y
    right = hands.get("right")
    if right is None:
        return Wish(pressed=pressed, problem="the right controller is not tracked: bring it into view")
    if right.emulated:
        return Wish(pressed=pressed, problem="the headset guesses where the right controller is: bring it into view")
    yaw, pitch = (stick(at(right.axes, axis)) for axis in _STICK)
    directions[5], directions[3] = -yaw, -pitch
    return Wish(
        nudge=velocity(directions, fast=True),
        pressed=pressed,
        clutch=at(right.buttons, CLUTCH) > 0.5,
        pose=pose_in_room(right),
    )


def pose_in_room(controller: Controller) -> Vector:
    """Return the pose (4, 4) of a controller in the room frame (m)."""
    x, y, z, w = np.array(controller.q) / np.linalg.norm(controller.q)
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, np.array([w, x, y, z]))
    pose = np.eye(4)
    pose[:3, :3] = _TO_ROOM @ rotation.reshape(3, 3)
    pose[:3, 3] = _TO_ROOM @ np.array(controller.p)
    return pose
