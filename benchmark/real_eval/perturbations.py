"""What disturbs a policy at work, as in Fig. 6 of the paper: fingers dragged away, object turned back, table bumped.

Sizes and durations are ours; the paper gives none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from dexscrew_envs.hands import XHAND_LEFT
from real.robot import Vector
from real.twin.objects import OBJECTS
from real.twin.plant import Plant
from real.twin.robot import TwinConfig, TwinRobot
from real.twin.scene import HAND

EARLIEST, LATEST = 10.0, 20.0
"""Between these times a perturbation begins (s); its seed draws when."""
_DRAG_FORCE = 6.0  # on each of the two fingertips that turn the object (N)
_DRAG_SECONDS = 1.0
_TURN_BACK = 0.5  # turns
_TURN_BACK_TORQUE = 0.2  # at rest (N m); it falls to zero at the speed
_TURN_BACK_SPEED = 2.0  # rad/s
_TURN_BACK_SECONDS = 3.0  # at the longest
_BUMP_DISTANCE = 0.005  # of table and object against the arm (m)
_BUMP_SECONDS = 0.3
LONGEST = max(_DRAG_SECONDS, _TURN_BACK_SECONDS, _BUMP_SECONDS)
"""Time that a perturbation takes at most (s)."""


class Perturbation(Protocol):
    """One push, from its begin to its end."""

    def step(self, plant: Plant, elapsed: float) -> bool:
        """Act on the next physics step.

        Args:
            plant: of the twin.
            elapsed: time since the push began (s).

        Returns:
            Whether the push goes on; if not, nothing of it is left.
        """


class Drag:
    """A person takes the thumb and the finger opposite by their tips and drags them away from the object.

    Args:
        plant: of the twin.
        rng: draws nothing.
    """

    def __init__(self, plant: Plant, rng: np.random.Generator) -> None:
        grip, axis = plant.object.grip()
        self._forces = []
        for finger in _turning_fingers():
            body = int(plant.model.site(HAND + finger).bodyid[0])
            away = plant.data.site(HAND + finger).xpos - grip
            away -= axis * (away @ axis)
            self._forces.append((body, _DRAG_FORCE * away / np.linalg.norm(away)))

    def step(self, plant: Plant, elapsed: float) -> bool:
        """See `Perturbation.step`."""
        on = elapsed < _DRAG_SECONDS
        for body, force in self._forces:
            plant.data.xfrc_applied[body, :3] = force if on else 0.0
        return on


class TurnBack:
    """A person turns the nut or screwdriver back by half a turn, against the fingers.

    Args:
        plant: of the twin.
        rng: draws nothing.
    """

    def __init__(self, plant: Plant, rng: np.random.Generator) -> None:
        self._dof = int(plant.model.joint(OBJECTS[plant.task].joint).dofadr[0])
        self._damping = float(plant.model.dof_damping[self._dof])
        self._until = plant.turns - _TURN_BACK

    def step(self, plant: Plant, elapsed: float) -> bool:
        """See `Perturbation.step`."""
        on = plant.turns > self._until and elapsed < _TURN_BACK_SECONDS
        # The torque that falls with speed is damping, which MuJoCo integrates implicitly: a nut has little inertia.
        plant.data.qfrc_applied[self._dof] = on * _TURN_BACK_TORQUE
        plant.model.dof_damping[self._dof] = self._damping + on * _TURN_BACK_TORQUE / _TURN_BACK_SPEED
        return on


class Bump:
    """The table with the object on it is bumped sideways against the arm, and swings back.

    Args:
        plant: of the twin.
        rng: draws the direction.
    """

    def __init__(self, plant: Plant, rng: np.random.Generator) -> None:
        angle = rng.uniform(0, 2 * math.pi)
        self._body = plant.model.body("object").id
        self._rest: Vector = plant.model.body_pos[self._body].copy()
        self._aside = _BUMP_DISTANCE * np.array([math.cos(angle), math.sin(angle), 0.0])

    def step(self, plant: Plant, elapsed: float) -> bool:
        """See `Perturbation.step`."""
        on = elapsed < _BUMP_SECONDS
        share = math.sin(math.pi * elapsed / _BUMP_SECONDS) if on else 0.0
        plant.model.body_pos[self._body] = self._rest + share * self._aside
        return on


PERTURBATIONS: Mapping[str, type[Drag] | type[TurnBack] | type[Bump]] = MappingProxyType(
    {"drag": Drag, "turn-back": TurnBack, "bump": Bump}
)
"""Perturbations by name."""


def _turning_fingers() -> list[str]:
    """Return the sites of the fingertips that turn the object: the thumb's, and that of the finger opposite."""
    return [finger.tip for finger in XHAND_LEFT.fingers[:2]]


@dataclass(frozen=True, kw_only=True)
class PerturbedTwinConfig(TwinConfig):
    """A twin that is perturbed once a trial.

    Raises:
        ValueError: the perturbation is unknown, or as for `TwinConfig`.
    """

    perturbation: str
    """One of `PERTURBATIONS`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_perturbation(self.perturbation)

    def robot(self, task: str, shape: str | None) -> PerturbedTwin:
        """Return a twin with this object; a shape of None is the task's first."""
        return PerturbedTwin(Plant(task, shape, stratum=self.stratum), self)


class PerturbedTwin(TwinRobot):
    """A twin that is perturbed once a trial, at a time that the trial's seed draws.

    Args:
        plant: what it moves.
        config: with the perturbation.
    """

    def __init__(self, plant: Plant, config: PerturbedTwinConfig) -> None:
        super().__init__(plant, config)
        self._kind = PERTURBATIONS[config.perturbation]

    def start_trial(self, seed: int) -> Vector:
        """See `Robot.start_trial`."""
        self._rng = np.random.default_rng([seed, 0xF16])
        self._push: Perturbation | None = None
        self.began: float = float(self._rng.uniform(EARLIEST, LATEST))
        """When the perturbation begins (s)."""
        self.ended: float | None = None
        """When it ended (s); None before."""
        return super().start_trial(seed)

    def wait(self, seconds: float) -> float:
        """See `Robot.wait`; a perturbation acts on single physics steps."""
        plant, began = self.plant, self._waited_until
        while self.ended is None and plant.time + plant.TIMESTEP / 2 < began + seconds:
            if plant.time >= self.began:
                self._push = self._push or self._kind(plant, self._rng)
                if not self._push.step(plant, plant.time - self.began):
                    self.ended = plant.time
                    break
            plant.step()
        return super().wait(seconds)


def check_perturbation(name: str) -> None:
    """Raise ValueError unless there is a perturbation of this name."""
    if name not in PERTURBATIONS:
        raise ValueError(f"unknown perturbation {name!r}; choose from {', '.join(PERTURBATIONS)}")
