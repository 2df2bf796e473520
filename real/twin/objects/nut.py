"""The nut: a body on a bolt's thread, with play, that goes down as it turns and is fast after some turns.

Right-hand thread: turning clockwise, seen from above, is positive and goes down. The nut can tilt and shift within its
play; lateral forces and tilting moments on those stops press on the flanks, and so brake it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from dexscrew_envs.shapes import convex_parts
from real.robot import Vector
from real.twin.fingertips import Fingertips
from real.twin.objects.kind import ObjectKind
from real.twin.objects.thread import FLANK, RIGID, STIFF, Ripple, ThreadFriction, ThreadGeometry, add_thread
from real.twin.parameters import Choice, LogUniform, Parameters, Uniform, parameter
from real.twin.solids import FIXED, THREADED, add_convex_parts, grip

SHAPES = ("triangle", "square", "hexagon", "cross")
HEIGHT = 0.014
"""Height of a nut (m)."""
START_HEIGHT = 0.066
"""Height of the nut's lower face over the object's base at the start (m): the start pose's fingertips are there."""
TURNS = 8.0
"""Turns until it sits tight. The paper's progress moves in eighths."""
BOLT_RADIUS = 0.0125
_ENGAGED_TURNS = 2.0
_TOLERANCE = 5 / 360
_PLAY_JOINTS = ("nut_x", "nut_y", "nut_roll", "nut_pitch")


@dataclass(frozen=True, kw_only=True)
class NutParameters(Parameters):
    """Nut and bolt: a thread of 24 mm in plastic."""

    lead: float = parameter(0.003, Choice((0.0015, 0.002, 0.003, 0.004), (0.1, 0.15, 0.6, 0.15)),
                            easy=Choice((0.0015, 0.002, 0.003), (0.1, 0.2, 0.7)),
                            extreme=Choice((0.003, 0.004), (0.5, 0.5)))  # fmt: skip
    """Axial motion of a turn (m). M24's coarse pitch, ISO 261; the paper does not give its. Confidence low."""
    clearance: float = parameter(2.5e-4, Uniform(1e-4, 4e-4), easy=Uniform(1.5e-4, 2.5e-4))
    """Radial clearance of the flanks on each side (m); axial play and tilt follow from it. Printed threads are offset
    by 0.2 to 0.4 mm in all. Confidence medium."""
    friction: float = parameter(0.2, Uniform(0.12, 0.3), easy=Uniform(0.12, 0.25), hard=Uniform(0.2, 0.5),
                                extreme=Uniform(0.35, 0.5))  # fmt: skip
    """Coefficient of friction of the flanks: steel 0.12 to 0.20 (VDI 2230), printed plastic on itself up to 0.5, below
    the 0.6 to 0.75 of pin-on-disc tests at higher speed. The paper's hand turns its nuts freely, so the hard stratum
    has those that it would not. Self-locking above 0.0375. Confidence low."""
    collar_factor: float = parameter(1.0, Uniform(0.8, 1.2))
    """Friction of the seat over that of the flanks; assumed."""
    running_torque: float = parameter(0.006, LogUniform(0.003, 0.012), easy=LogUniform(0.003, 0.015),
                                      hard=LogUniform(0.003, 0.06), extreme=LogUniform(0.015, 0.06))  # fmt: skip
    """Torque to turn the unloaded nut (N m): no measurement was found; a hand that turns it freely bounds it.
    Confidence low."""
    ripple: float = parameter(0.2, Uniform(0.0, 0.4), easy=Uniform(0.0, 0.2), extreme=Uniform(0.2, 0.4))
    """Share of the running torque that comes and goes once per turn; assumed."""
    ripple_noise: float = parameter(0.05)
    """Standard deviation of its factor between places 10 degrees apart; assumed."""
    breakaway: float = parameter(1.15, Uniform(1.0, 1.4), easy=Uniform(1.0, 1.15), extreme=Uniform(1.15, 1.4))
    """Friction at rest over that in motion; assumed."""
    viscous: float = parameter(2e-4, LogUniform(5e-5, 1e-3))
    """Viscous friction (N m s/rad); assumed."""
    mass: float = parameter(0.02, Uniform(0.012, 0.03))
    """Mass (kg). From the volume of plastic, with infill. Confidence medium."""
    grip_friction: float = parameter(0.8, Uniform(0.6, 1.0), easy=Uniform(0.7, 1.0), hard=Uniform(0.4, 1.0),
                                     extreme=Uniform(0.4, 0.7))  # fmt: skip
    """Coefficient of friction between the fingertips' elastomer and the nut. Confidence medium."""
    grip_torsion: float = parameter(0.0021, Uniform(0.001, 0.0035))
    """Torsional friction of a fingertip (m): 2/3 of friction times the radius of a Hertzian patch. Confidence
    medium."""

    @property
    def thread(self) -> ThreadGeometry:
        """The thread: pitch diameter by ISO 724, seat between bore and flats."""
        return ThreadGeometry(
            lead=self.lead, diameter=0.024 - 0.64952 * self.lead, length=HEIGHT, collar_radius=0.018
        )  # fmt: skip

    @property
    def axial_play(self) -> float:
        """Axial play (m), from the diametral clearance and the flanks' angle (ISO 965-1)."""
        return 2 * self.clearance * math.tan(FLANK)


def add_nut(spec: mujoco.MjSpec, base: Any, shape: str, parameters: NutParameters) -> None:
    """Add bolt and nut.

    Args:
        spec: what to add to.
        base: fixed body that they stand on, z up.
        shape: of the nut, one of `SHAPES`.
        parameters: of both.
    """
    depth = TURNS * parameters.lead
    geom, joint = mujoco.mjtGeom, mujoco.mjtJoint
    seat, top = START_HEIGHT - depth, START_HEIGHT + _ENGAGED_TURNS * parameters.lead
    base.add_geom(
        name="bolt", type=geom.mjGEOM_CAPSULE, size=[BOLT_RADIUS, 0, 0], fromto=[0, 0, 0, 0, 0, top - BOLT_RADIUS],
        material="metal", **FIXED,
    )  # fmt: skip
    base.add_geom(
        name="seat", type=geom.mjGEOM_CYLINDER, size=[0.018, 0, 0], fromto=[0, 0, 0, 0, 0, seat], material="fixture",
        **FIXED,
    )  # fmt: skip
    nut = base.add_body(name="nut", pos=[0, 0, START_HEIGHT])
    outer = 0.02  # a ring: the shapes' moments of inertia differ less than their infill
    axial = parameters.mass * (outer**2 + BOLT_RADIUS**2) / 2
    nut.mass, nut.ipos, nut.explicitinertial = parameters.mass, [0, 0, HEIGHT / 2], True
    nut.inertia = [axial / 2 + parameters.mass * HEIGHT**2 / 12] * 2 + [axial]
    tilt = parameters.axial_play / parameters.thread.diameter
    for name, kind, axis, reach, damping in (
        ("nut_x", joint.mjJNT_SLIDE, [1, 0, 0], parameters.clearance, 0.5),
        ("nut_y", joint.mjJNT_SLIDE, [0, 1, 0], parameters.clearance, 0.5),
        ("nut_roll", joint.mjJNT_HINGE, [1, 0, 0], tilt, 1e-4),
        ("nut_pitch", joint.mjJNT_HINGE, [0, 1, 0], tilt, 1e-4),
    ):
        nut.add_joint(
            name=name, type=kind, axis=axis, pos=[0, 0, HEIGHT / 2], range=[-reach, reach],
            limited=mujoco.mjtLimited.mjLIMITED_TRUE, damping=[damping, 0, 0], solref_limit=STIFF, solimp_limit=RIGID,
        )  # fmt: skip
        spec.add_sensor(
            name=name, type=mujoco.mjtSensor.mjSENS_JOINTLIMITFRC, objtype=mujoco.mjtObj.mjOBJ_JOINT, objname=name
        )
    nut.add_joint(name="nut_z", type=joint.mjJNT_SLIDE, axis=[0, 0, 1])
    nut.add_joint(
        name="nut", type=joint.mjJNT_HINGE, axis=[0, 0, 1], armature=1e-5, damping=[parameters.viscous, 0, 0],
        frictionloss=parameters.running_torque,
    )  # fmt: skip
    add_thread(spec, "nut_thread", "nut_z", "nut", lead=parameters.lead, play=parameters.axial_play, seat_depth=depth)
    parts = [np.column_stack([v[:, :2], HEIGHT * (v[:, 2] > 0.005)]) for v in convex_parts(shape)]
    add_convex_parts(
        spec, nut, "nut", parts, material="nut", **THREADED, **grip(parameters.grip_friction, parameters.grip_torsion)
    )


class Nut:
    """The nut of a compiled scene: sets its friction, and knows how far it is.

    Args:
        model: compiled from a spec that `add_nut` added to.
        data: its state.
        parameters: those that were added.
        rng: draws the ripple of the running torque.
    """

    turns_needed = TURNS
    released: float | None = None

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, parameters: NutParameters, rng: np.random.Generator
    ) -> None:
        self._data = data
        self._angle = int(model.joint("nut").qposadr[0])
        self._slide = int(model.joint("nut_z").qposadr[0])
        first, last = (int(model.sensor(name).adr[0]) for name in (_PLAY_JOINTS[0], _PLAY_JOINTS[-1]))
        self._stops = data.sensordata[first : last + 1]
        self._body = data.body("nut")
        self._running_torque = parameters.running_torque
        self._ripple = Ripple(parameters.ripple, parameters.ripple_noise, rng)
        self._friction = ThreadFriction(
            model, data, "nut_thread", "nut", parameters.thread, friction=parameters.friction,
            collar_friction=parameters.collar_factor * parameters.friction, breakaway=parameters.breakaway,
        )  # fmt: skip
        data.qpos[model.joint("nut_z").qposadr[0]] = -parameters.axial_play / 2  # rests on the lower flank

    def before_step(self) -> None:
        """Set the friction of the next physics step."""
        x, y, roll, pitch = self._stops.tolist()
        running = self._running_torque * self._ripple(self._data.qpos.item(self._angle))
        self._friction.update(running, math.hypot(x, y), math.hypot(roll, pitch))

    def after_step(self, fingertips: Fingertips) -> None:
        """Nothing happens between steps: a nut stays on its bolt."""

    def grip(self) -> tuple[Vector, Vector]:
        """See `Fastened.grip`."""
        axis = self._body.xmat.reshape(3, 3)[:, 2].copy()
        return self._body.xpos + HEIGHT / 2 * axis, axis

    @property
    def turns(self) -> float:
        """Turns since the start, positive when it goes down."""
        return float(-self._data.qpos[self._angle]) / (2 * math.pi)

    @property
    def depth(self) -> float:
        """How far it has gone down since the start (m)."""
        return float(-self._data.qpos[self._slide])

    @property
    def finished(self) -> bool:
        """Whether it sits tight."""
        return self.turns >= TURNS - _TOLERANCE

    @property
    def lost(self) -> str | None:
        """Why it cannot be fastened any more, or None."""
        return "the nut came off the bolt" if self.turns < -_ENGAGED_TURNS else None


OBJECT = ObjectKind(
    task="nut",
    shapes=SHAPES,
    parameters=NutParameters,
    add=add_nut,
    build=Nut,
    joint="nut",
    turns=TURNS,
    pedestal=lambda parameters: 0.0,
    stays=True,
    seconds=240.0,  # the paper names no limit; its complete trials took up to 229 s
    simplified={"joint_height": START_HEIGHT, "bolt_height": START_HEIGHT + HEIGHT},
)
