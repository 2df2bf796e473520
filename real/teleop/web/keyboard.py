"""The keyboard, and the buttons on the page, which send the code of their key.

Codes name places on the keyboard, not letters, so the map is the same on every layout.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from real.teleop.web.wish import Action, Wish, velocity

MOTION: dict[str, tuple[int, int]] = {
    "KeyD": (0, 1), "KeyA": (0, -1), "KeyW": (1, 1), "KeyS": (1, -1), "KeyE": (2, 1), "KeyQ": (2, -1),
    "ArrowUp": (3, 1), "ArrowDown": (3, -1), "KeyX": (4, 1), "KeyZ": (4, -1), "ArrowLeft": (5, 1),
    "ArrowRight": (5, -1),
}  # fmt: skip
"""Entry of the nudge, and its sign: x right, y ahead, z up, then turns about them."""
FAST = ("ShiftLeft", "ShiftRight")
BUTTONS: dict[str, Action] = {
    "Space": "skill", "KeyG": "grasp", "KeyR": "release", "Enter": "success", "KeyF": "failure",
    "Backspace": "discard", "KeyN": "next",
}  # fmt: skip

HELP = (
    ("W A S D", "wrist ahead, left, back, right"),
    ("E Q", "wrist up, down"),
    ("← →", "yaw left, right"),
    ("↑ ↓", "pitch up, down"),
    ("Z X", "roll left, right"),
    ("Shift", "faster"),
    ("Esc", "disarm: everything holds"),
)
"""Keys and what they do, besides those of `BUTTONS`."""
LABELS = {"Space": "Space", "Enter": "Enter", "Backspace": "Backspace"}


def buttons(keys: Collection[str]) -> frozenset[Action]:
    """Return what the keys that are down do, but for motion."""
    return frozenset(BUTTONS[key] for key in keys if key in BUTTONS)


def decode(keys: Collection[str]) -> Wish:
    """Return what the keys that are down ask for."""
    directions = np.zeros(6)
    for key in MOTION.keys() & set(keys):
        entry, sign = MOTION[key]
        directions[entry] += sign
    return Wish(nudge=velocity(directions, fast=any(key in keys for key in FAST)), pressed=buttons(keys))
