"""What a frame of input asks for, whatever device it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from real.robot import Vector

Action = Literal["skill", "grasp", "release", "success", "failure", "discard", "next"]
ACTIONS: dict[Action, str] = {
    "skill": "finger skill on or off",
    "grasp": "grasp, while held",
    "release": "open the hand, while held",
    "success": "keep the episode as a success",
    "failure": "keep the episode as a failure",
    "discard": "discard the episode",
    "next": "next episode",
}
"""What buttons do, in words."""
assert set(ACTIONS) == set(get_args(Action))

SLOW, FAST = 0.009, 0.036
"""Speeds of the wrist (m/s): what the authors' buttons amount to, without and with the grip."""
TURN_SLOW, TURN_FAST = 0.1, 0.4
"""Its turning speeds (rad/s); ours."""


@dataclass(frozen=True)
class Wish:
    """What a frame of input asks for."""

    nudge: Vector = field(default_factory=lambda: np.zeros(6))
    """(6,) velocity of the wrist in the room frame (m/s, rad/s)."""
    pressed: frozenset[Action] = frozenset()
    """Buttons that are down, by what they do."""
    clutch: bool = False
    """Whether the button that couples the wrist is down."""
    pose: Vector | None = None
    """(4, 4) pose of the controller in the room frame (m), if there is one and it is tracked."""
    problem: str = ""
    """Why the device that moves the wrist cannot, in words."""


def stick(value: float) -> float:
    """Return a stick's deflection (-1 to 1) without its dead zone, fine in the middle."""
    dead = 0.15
    beyond = max(0.0, abs(value) - dead) / (1 - dead)
    return beyond**2 if value > 0 else -(beyond**2)


def at(values: list[float], index: int) -> float:
    """Return a button or an axis, 0 where the device has none of this number."""
    return values[index] if index < len(values) else 0.0


def velocity(directions: Vector, *, fast: bool) -> Vector:
    """Return a nudge (6,) (m/s, rad/s) from directions (6,) between -1 and 1."""
    move, turn = (FAST, TURN_FAST) if fast else (SLOW, TURN_SLOW)
    return np.clip(directions, -1, 1) * np.repeat([move, turn], 3)
