"""The twin's plant: arm, hand, taxels and one nut or screw, stepped together every 2 ms.

Everything is drawn from one seed, and the same seed and commands give the same states, bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dexscrew_envs.hands.xhand import FINGERS, JOINTS
from dexscrew_envs.scene import Scene
from dexscrew_envs.scene import build_scene as build_simplified_scene
from dexscrew_envs.start_states import build_start_states
from dexscrew_envs.tasks import TASKS, Task, make_task
from real.hand_poses import opened
from real.kinematics import forward, inverse
from real.robot import Vector
from real.twin.arm import Arm, ArmParameters
from real.twin.controller import TIMESTEP, ArmController
from real.twin.fingertips import Fingertips
from real.twin.hand import POSITION, Hand, HandParameters, check_command, clear_of_contact
from real.twin.objects import OBJECTS
from real.twin.objects.kind import Fastened
from real.twin.parameters import STRATA, Parameters, Uniform, errors, parameter
from real.twin.scene import START_ARM, add_pedestal, build_scene
from real.twin.taxels import TaxelParameters, Taxels

EDITION = 2
"""Of the twin: raised whenever a seed gives another trial. Results of different editions do not compare."""
FARTHEST_ABOVE = 0.1
"""Largest height of the hand above where it holds the object, at the start (m)."""
SHAPES = {task: kind.shapes for task, kind in OBJECTS.items()}
"""Shapes of each task; the first is the default."""


@dataclass(frozen=True, kw_only=True)
class PlacementParameters(Parameters):
    """Where the object stands."""

    x: float = parameter(0.0, Uniform(-0.00375, 0.00375), hard=Uniform(-0.006, 0.006))
    """Position along the task frame's x axis, from the middle of the simplified task's range (m)."""
    y: float = parameter(0.0, Uniform(-0.00375, 0.00375), hard=Uniform(-0.006, 0.006))
    """The same along y (m)."""


@dataclass(frozen=True, kw_only=True)
class CalibrationParameters(Parameters):
    """How the hand differs from the one that policies were trained with. All sizes are assumed."""

    zero_offset: tuple[float, ...] = errors(0.01, len(JOINTS))
    """What each joint reads where it should read zero, policy order (rad); targets are off by as much."""
    mount_position: tuple[float, ...] = errors(0.001, 3)
    """Position of the palm in the flange's frame (m)."""
    mount_rotation: tuple[float, ...] = errors(math.radians(0.5), 3)
    """Its rotation, about the flange's axes (rad)."""
    pad_thickness: tuple[float, ...] = errors(0.0003, len(FINGERS))
    """What each fingertip's elastomer is thicker than the model's (m)."""


@dataclass(frozen=True)
class PlantParameters:
    """All parameters of a trial."""

    object: Parameters
    placement: PlacementParameters
    arm: ArmParameters
    hand: HandParameters
    taxels: TaxelParameters
    calibration: CalibrationParameters = field(default_factory=CalibrationParameters)

    @classmethod
    def nominal(cls, task: str) -> PlantParameters:
        """Return the nominal values of a task."""
        return cls(
            OBJECTS[task].parameters(), PlacementParameters(), ArmParameters(), HandParameters(), TaxelParameters()
        )

    @classmethod
    def draw(cls, task: str, rng: np.random.Generator, stratum: str) -> PlantParameters:
        """Draw all parameters of a trial from a stratum."""
        return cls(
            OBJECTS[task].parameters.draw(rng, stratum), PlacementParameters.draw(rng, stratum),
            ArmParameters.draw(rng, stratum), HandParameters.draw(rng, stratum), TaxelParameters.draw(rng, stratum),
            CalibrationParameters.draw(rng, stratum),
        )  # fmt: skip


@lru_cache(maxsize=8)
def _simplified(task: str, shape: str) -> tuple[Task, Scene]:
    """Return the simplified task without noise, its nut where the twin's is, and its scene."""
    found = make_task(task, randomize=False, shape=shape, **OBJECTS[task].simplified)
    found = replace(found, reset_distance=found.student_reset_distance)
    return found, build_simplified_scene(found)


def _raised(arm: Vector, height: float) -> Vector:
    """Return joint positions (6,) of the arm (rad) with the flange so much higher (m)."""
    return inverse(forward(arm) + np.array([0.0, 0.0, height, 0.0, 0.0, 0.0]), arm)


class Plant:
    """A UR5e with an XHand at a nut or screw.

    Args:
        task: "nut" or "screwdriver".
        shape: shape of the nut or handle; by default the task's first.
        stratum: what parameters are drawn from: easy, nominal, hard or extreme.
        parameters: if given, these are taken at every reset, and nothing is drawn but noise.
        above: if positive, the hand begins open and so far above where it holds the object (m), at most
            `FARTHEST_ABOVE`.
        seed: of the first trial.

    Raises:
        ValueError: task, shape or stratum is unknown, or the hand would begin too far above.
    """

    TIMESTEP = TIMESTEP

    model: mujoco.MjModel
    """MuJoCo's model; a reset makes a new one."""
    data: mujoco.MjData
    """Its state."""
    arm: ArmController
    """Command the arm through it; the arm's body tracks it."""
    hand: Hand
    """The hand's controller."""
    fingertips: Fingertips
    """The fingertips and their taxels."""
    object: Fastened
    """What is fastened."""
    parameters: PlantParameters
    """Those of this trial."""

    def __init__(
        self,
        task: str,
        shape: str | None = None,
        *,
        stratum: str = "nominal",
        parameters: PlantParameters | None = None,
        above: float = 0.0,
        seed: int = 0,
    ) -> None:
        if task not in SHAPES:
            hint = "; the twin has no object for that task, see docs/extend.md" if task in TASKS else ""
            raise ValueError(f"unknown task {task!r}; choose from {', '.join(SHAPES)}{hint}")
        shape = SHAPES[task][0] if shape is None else shape
        if shape not in SHAPES[task]:
            raise ValueError(f"unknown shape {shape!r} of the {task}; choose from {', '.join(SHAPES[task])}")
        if stratum not in STRATA:
            raise ValueError(f"unknown stratum {stratum!r}; choose from {', '.join(STRATA)}")
        if not 0 <= above <= FARTHEST_ABOVE:
            raise ValueError(f"the hand begins 0 to {FARTHEST_ABOVE:g} m above the object, got {above!r}")
        self._kind = OBJECTS[task]
        if (turn := make_task(task).turn) != self._kind.turn:
            raise ValueError(
                f"the task {task!r} counts turns in the direction {turn}, and its object on the twin those in the "
                f"direction {self._kind.turn}: give the object a `build` that counts as the task does, and its `turn`"
            )
        if parameters is not None and not isinstance(parameters.object, self._kind.parameters):
            raise ValueError(f"parameters of the {task} must hold {self._kind.parameters.__name__}, got "
                             f"{type(parameters.object).__name__}")  # fmt: skip
        self.task, self.shape, self.stratum = task, shape, stratum
        self._given, self._above = parameters, above
        self._seed = seed
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """Begin another trial: draw parameters, and put everything at the start.

        Args:
            seed: of the trial; by default one more than the last trial's.

        Raises:
            ValueError: the seed is negative.
        """
        if seed is not None and seed < 0:
            raise ValueError(f"the seed must not be negative, got {seed}")
        self._seed = self._seed + 1 if seed is None else seed
        drawing, *others = (np.random.default_rng(s) for s in np.random.SeedSequence(self._seed).spawn(5))
        parameters = self._given or PlantParameters.draw(self.task, drawing, self.stratum)
        if self._above:
            parameters = replace(parameters, object=replace(parameters.object, **self._kind.from_above))
        self.parameters = parameters
        task, simplified = _simplified(self.task, self.shape)
        x, y, z = task.object_position
        task = replace(task, object_position=(x + parameters.placement.x, y + parameters.placement.y, z))

        gap = parameters.calibration
        spec, base = build_scene(
            task, self.TIMESTEP, mount_position=gap.mount_position, mount_rotation=gap.mount_rotation,
            pad_thickness=gap.pad_thickness,
        )  # fmt: skip
        add_pedestal(base, self._kind.pedestal(parameters.object))
        self._kind.add(spec, base, self.shape, parameters.object)
        self.model = model = spec.compile()
        self.data = data = mujoco.MjData(model)
        self.start_arm_q = np.array(START_ARM)
        self.start_hand_q = build_start_states(task, simplified, 1).joint_pos[0].astype(np.float64)
        if self._above:
            self.start_arm_q = _raised(self.start_arm_q, self._above)
            self.start_hand_q = opened(task.hand, self.start_hand_q)
        joints = self.start_hand_q - gap.zero_offset
        data.qpos[:6], data.ctrl[:6] = self.start_arm_q, self.start_arm_q
        data.ctrl[6:18] = joints
        self.object = self._kind.build(model, data, parameters.object, others[3])
        data.qpos[6:18] = clear_of_contact(model, data, joints)

        self.arm = ArmController(
            self.start_arm_q, gain_factor=parameters.arm.gain_factor, lookahead_factor=parameters.arm.lookahead_factor
        )
        self._arm = Arm(model, data, parameters.arm, others[0])
        self.fingertips = Fingertips(model, data, Taxels(parameters.taxels, others[1]))
        self.hand = Hand(model, data, parameters.hand, self.fingertips, others[2], np.array(gap.zero_offset))
        self.protective_stop = False
        self._diverged = data.warning[mujoco.mjtWarning.mjWARN_BADQACC]
        self._cached: dict[str, Vector] = {}
        mujoco.mj_forward(model, data)
        guess = data.qacc_warmstart.copy()
        self._arm.track(self.arm.q, self.arm.qd)  # else the wrist would read the arm's fall at first
        mujoco.mj_forward(model, data)
        data.qacc_warmstart[:] = guess

    def step(self, count: int = 1) -> None:
        """Take physics steps of 2 ms: arm controller, hand controller, physics, taxels.

        Raises:
            RuntimeError: the physics diverged.
        """
        for _ in range(count):
            self._step()

    def _step(self) -> None:
        model, data, arm = self.model, self.data, self.arm
        if not self.protective_stop:
            arm.step(TIMESTEP)
        self._arm.track(arm.q, arm.qd)
        self.hand.before_step()
        self.object.before_step()
        mujoco.mj_step(model, data)
        if self._diverged.number:
            raise RuntimeError(f"the twin's physics diverged at {self.time:.3f} s of trial {self._seed}; reset it")
        self._cached.clear()
        self._arm.after_step()
        self.fingertips.note()
        self.hand.after_step()
        self.object.after_step(self.fingertips)
        if self._arm.raw_force > self.parameters.arm.protective_force:
            self.trigger_protective_stop()

    def command_hand(
        self, position: ArrayLike, kp: int = 100, ki: int = 0, kd: int = 1, tor_max: int = 100, mode: int = POSITION
    ) -> None:
        """Send joint targets to the hand, as the vendor's interface does.

        Args:
            position: (12,) in policy order (rad).
            kp: proportional gain, vendor's units.
            ki: integral gain; must be 0.
            kd: derivative gain, vendor's units.
            tor_max: current limit (mA).
            mode: 3 for position control, 0 for none.

        Raises:
            ValueError: it is no command that the hand can follow; the message says why.
        """
        q = check_command(position, kp, ki, kd, tor_max, mode)
        self.hand.configure(kp, kd, tor_max, mode)
        self.hand.command(q)

    def zero_tactile(self) -> None:
        """Set the taxels' present readings to zero, up to the error that the vendor's reset leaves."""
        self.fingertips.zero()

    def trigger_protective_stop(self) -> None:
        """Stop the arm as its controller does when it meets a force; it stays stopped until `unlock`."""
        self.arm.freeze()
        self.protective_stop = True

    def unlock(self) -> None:
        """End a protective stop; the arm stays where it is until it is commanded."""
        self.arm.freeze()
        self.protective_stop = False

    @property
    def time(self) -> float:
        """Time since the start of the trial (s)."""
        return float(self.data.time)

    @property
    def arm_q(self) -> Vector:
        """(6,) measured joint positions of the arm (rad)."""
        return self._arm.q

    @property
    def arm_qd(self) -> Vector:
        """(6,) measured joint velocities of the arm (rad/s)."""
        return self._arm.qd

    @property
    def tcp_pose(self) -> Vector:
        """(6,) pose of the flange in the base frame, as the controller computes it (m, rotation vector)."""
        if "pose" not in self._cached:
            self._cached["pose"] = forward(self._arm.q)
        return self._cached["pose"]

    @property
    def tcp_force(self) -> Vector:
        """(6,) external force and torque at the flange in the base frame, as the sensor measures it (N, N m)."""
        if "force" not in self._cached:
            self._cached["force"] = self._arm.tcp_force
        return self._cached["force"]

    @property
    def hand_time(self) -> float:
        """When the newest joint reading of the hand was taken (s)."""
        return self.hand.reading.time

    @property
    def hand_q(self) -> Vector:
        """(12,) newest joint positions of the hand, quantised (rad)."""
        return self.hand.reading.q

    @property
    def hand_current(self) -> Vector:
        """(12,) newest motor currents (mA)."""
        return self.hand.reading.current

    @property
    def tactile_time(self) -> float:
        """When the newest tactile frame was taken (s)."""
        return self.hand.reading.time

    @property
    def tactile(self) -> NDArray[np.int16]:
        """(5, 120, 3) newest counts of the taxels: two shear axes and the normal one."""
        return self.hand.reading.tactile

    @property
    def resultant(self) -> NDArray[np.int16]:
        """(5, 3) newest counts of the force on each fingertip."""
        return self.hand.reading.resultant

    @property
    def turns(self) -> float:
        """Turns of the nut or screw since the start, positive when it goes down."""
        return self.object.turns

    @property
    def turns_needed(self) -> float:
        """Turns until it sits tight."""
        return self.object.turns_needed

    @property
    def finished(self) -> bool:
        """Whether it sits tight."""
        return self.object.finished

    @property
    def lost(self) -> str | None:
        """Why it cannot be fastened any more, in words, or None."""
        return self.object.lost

    @property
    def depth(self) -> float:
        """How far the nut or screw has gone down since the start (m)."""
        return self.object.depth

    @property
    def released(self) -> float | None:
        """When the person who holds a driver at the start let go of it (s), or None: not yet, or it is a nut."""
        return self.object.released
