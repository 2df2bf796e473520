"""What an operator is: a device, a person's page or a program that says in every control step what it wants.

To add a device, implement `Operator` in one file. The *room frame* is the operator's: x to the right, y straight ahead,
z up, metres. Its origin does not matter, since only motion counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

import numpy as np

from real.robot import Sight, Vector

HandPose = Literal["hold", "grasp", "squeeze", "release"]
Mark = Literal["", "success", "failure", "discard", "next"]

PERIOD = 0.05
"""Time between orders (s): the tasks' control step."""
_ROTATION_ERROR = 1e-3


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What an operator wants in one control step.

    Raises:
        ValueError: a value has a wrong shape, is not finite, or is not known.
    """

    clutch: bool = False
    """Whether the wrist follows `wrist`. Where it becomes true, the wrist and `wrist` are the new reference."""
    wrist: Vector = field(default_factory=lambda: np.eye(4))
    """(4, 4) pose of what the operator holds, in the room frame (m). Only its motion since the reference counts."""
    nudge: Vector = field(default_factory=lambda: np.zeros(6))
    """(6,) velocity of the wrist in the room frame, from keys or sticks (m/s, rad/s); it needs no clutch."""
    skill: bool = False
    """Whether the finger skill runs."""
    hand: HandPose = "hold"
    """Pose that the fingers move to in this step while the skill is off; "hold" keeps their targets."""
    mark: Mark = ""
    """What the operator says of the episode, in one step only; "next" begins the next one."""
    fresh: bool = True
    """Whether the input is there and new. If not, everything holds and the skill is off; a mark still counts."""
    note: str = ""
    """Why the input is not fresh, or what the operator should do, in words."""

    def __post_init__(self) -> None:
        wrist, nudge = np.asarray(self.wrist), np.asarray(self.nudge)
        if wrist.shape != (4, 4) or wrist.dtype.kind != "f" or not np.isfinite(wrist).all():
            raise ValueError(f"wrist must be a finite (4, 4) array, a pose in the room frame, got {self.wrist!r}")
        if np.abs(wrist[:3, :3] @ wrist[:3, :3].T - np.eye(3)).max() > _ROTATION_ERROR:
            raise ValueError(f"wrist must have a rotation matrix in its upper left, got {self.wrist!r}")
        if nudge.shape != (6,) or nudge.dtype.kind != "f" or not np.isfinite(nudge).all():
            raise ValueError(f"nudge must be a finite (6,) array, a velocity in m/s and rad/s, got {self.nudge!r}")
        for name, value, known in (("hand", self.hand, get_args(HandPose)), ("mark", self.mark, get_args(Mark))):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; choose from {', '.join(map(repr, known))}")
        if not self.fresh and (self.moves_wrist or self.skill or self.hand != "hold"):
            raise ValueError("orders that are not fresh must hold: no clutch, no nudge, no skill, and hand 'hold'")

    @property
    def moves_wrist(self) -> bool:
        """Whether the wrist moves, by the clutch or by keys and sticks."""
        return self.clutch or bool(self.nudge.any())

    @classmethod
    def hold(cls, note: str, mark: Mark = "") -> Orders:
        """Return orders that hold everything, for input that is lost.

        Args:
            note: why, in words.
            mark: what the operator says of the episode nevertheless.
        """
        return cls(fresh=False, note=note, mark=mark)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a person at the scene sees. Friction and forces are not among it."""

    time: float
    """Time since the episode began (s)."""
    wrist: Vector
    """(6,) pose of the flange in the arm's base frame (m, rotation vector)."""
    sight: Sight | None = None
    """What an eye sees of object and fingertips, where something looks: on a twin."""
    turns: float | None = None
    """Turns so far, where they are known."""
    needed: float | None = None
    """Turns after which it is fastened, where that is known."""
    finished: bool = False
    """Whether it is fastened."""
    lost: str = ""
    """Why the episode cannot be finished any more, in words."""
    trip: str = ""
    """Why the safety layer stopped the robot, in words."""
    ended: str = ""
    """Why the episode is over and waits for a mark, in words."""
    skill: bool = False
    """Whether the finger skill runs."""
    episode: int = 1
    """Number of the episode, from 1."""
    kept: int = 0
    """Episodes kept so far."""

    @property
    def over(self) -> bool:
        """Whether nothing moves any more before the next episode."""
        return bool(self.finished or self.lost or self.trip or self.ended)


class Operator(Protocol):
    """Someone or something that gives orders."""

    name: str
    """Recorded with every episode."""

    def start(self) -> None:
        """Get ready; raise `RobotError` or ValueError with what to do if that fails."""

    def orders(self, scene: Scene) -> Orders:
        """Return what is wanted now; never block. Called once a control step."""

    def close(self) -> None:
        """Let go of everything; safe to call twice."""
