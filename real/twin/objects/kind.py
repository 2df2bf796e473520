"""What the plant must know of an object that it fastens: a record for each kind, and what a built one offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import mujoco
import numpy as np

from real.robot import Vector
from real.twin.fingertips import Fingertips
from real.twin.parameters import Parameters


class Fastened(Protocol):
    """A nut or screw of a compiled scene."""

    turns_needed: float
    """Turns until it sits tight."""
    released: float | None
    """When the person who holds a driver at the start let go of it (s), or None: not yet, or nobody holds one."""

    def before_step(self) -> None:
        """Set the friction of the next physics step."""

    def after_step(self, fingertips: Fingertips) -> None:
        """Look at what the physics step did."""

    def grip(self) -> tuple[Vector, Vector]:
        """Return the middle of what the fingers grip (3,) (m), and its axis (3,), upward, both in the base frame."""

    @property
    def turns(self) -> float:
        """Turns since the start, positive when it goes down."""

    @property
    def depth(self) -> float:
        """How far it has gone down since the start (m)."""

    @property
    def finished(self) -> bool:
        """Whether it sits tight."""

    @property
    def lost(self) -> str | None:
        """Why it cannot be fastened any more, in words, or None."""


@dataclass(frozen=True, kw_only=True)
class ObjectKind:
    """A kind of object, under the name of the task that fastens it."""

    task: str
    """The task's name."""
    shapes: tuple[str, ...]
    """Its shapes; the first is the default."""
    parameters: type[Parameters]
    """What is drawn for it."""
    add: Callable[[mujoco.MjSpec, Any, str, Any], None]
    """Adds one to a spec: spec, fixed body that it stands on, shape, parameters."""
    build: Callable[[mujoco.MjModel, mujoco.MjData, Any, np.random.Generator], Fastened]
    """Makes the object of a compiled scene: model, data, the parameters that were added, generator for its noise."""
    joint: str
    """The hinge that counts its turns, by its name in the scene."""
    turns: float
    """Turns until it sits tight, where nothing is drawn."""
    pedestal: Callable[[Any], float]
    """Height of the pedestal's top over the object's base (m), from the parameters."""
    turn: int = 1
    """The direction that counts, as in its `Task`: 1 is clockwise seen from above, which fastens."""
    stays: bool = False
    """Whether it stays where it is when the hand lets go of it."""
    seconds: float = 300.0
    """Longest time of an episode or a trial (s)."""
    from_above: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that have a value of their own where the hand begins above the object and has to come to it."""
    simplified: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the simplified task that put its object where this one begins."""
