"""A gamepad with the browser's standard layout; indices are those of the W3C's Gamepad specification."""

from __future__ import annotations

import numpy as np

from real.teleop.web.message import Gamepad
from real.teleop.web.wish import Action, Wish, at, stick, velocity

BUTTONS: dict[int, Action] = {
    0: "skill", 1: "discard", 2: "success", 3: "failure", 9: "next", 12: "grasp", 13: "release",
}  # fmt: skip
FAST, DOWN, UP, ENABLE = 4, 6, 7, 5
"""Left bumper, left and right trigger, right bumper."""

HELP = (
    ("RB, held", "enables the sticks"),
    ("left stick", "wrist ahead, back, left, right"),
    ("RT LT", "wrist up, down"),
    ("right stick", "yaw and pitch"),
    ("LB", "faster"),
    ("A", "finger skill on or off"),
    ("D-pad ↑ ↓", "grasp, open the hand, while held"),
    ("X", "keep as a success"),
    ("Y", "keep as a failure"),
    ("B", "discard"),
    ("Start", "next episode"),
)


def decode(pad: Gamepad | None) -> Wish:
    """Return what a gamepad asks for; None means that none is there."""
    if pad is None:
        return Wish(problem="there is no gamepad: plug it in, and press a button on it")
    if not pad.standard:
        return Wish(problem="the browser does not know this gamepad's layout: use another gamepad, or the keyboard")
    pressed = frozenset(action for index, action in BUTTONS.items() if at(pad.buttons, index) > 0.5)
    if at(pad.buttons, ENABLE) <= 0.5:
        return Wish(pressed=pressed)
    x, y, yaw, pitch = (stick(at(pad.axes, axis)) for axis in range(4))
    lift = at(pad.buttons, UP) - at(pad.buttons, DOWN)
    directions = np.array([x, -y, stick(lift), -pitch, 0.0, -yaw])
    return Wish(nudge=velocity(directions, fast=at(pad.buttons, FAST) > 0.5), pressed=pressed)
