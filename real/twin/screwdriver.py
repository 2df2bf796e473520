"""The screwdriver: a free body whose tip stands in the recess of a screw.

Nothing but the recess and the hand holds it: it tilts, slips, cams out when the torque exceeds what the axial force
holds, and falls. Tip and recess floor are one contact whose torsional friction is the recess's capacity: torque up to
`capacity` times the axial force, less under tilt. Turning clockwise, seen from above, is positive and drives the screw
down.

The recess's walls are an equality, not contacts: while the tip is in, it is joined to a guide that is free along the
axis. A contact acts only from the step in which it is met; the tip's effective lateral mass is 6.5 g, so a force of
2 N moves it by 1 mm in a step of 2 ms: through any wall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from dexscrew_envs.shapes import convex_parts
from real.twin.fingertips import Fingertips
from real.twin.parameters import Choice, LogUniform, Parameters, Uniform, parameter
from real.twin.solids import MOVING, VISUAL, add_convex_parts, grip
from real.twin.thread import RIGID, STIFF, Ripple, ThreadFriction, ThreadGeometry, add_thread

SHAPES = ("octagon", "dodecagon", "spheres")
FLOOR_HEIGHT = -0.03
"""Height of the recess's floor over the object's base at the start (m); the handle begins 50 mm above it."""
CENTER_OF_MASS = 0.09
"""Height of the driver's centre of mass over its tip (m)."""
HANDLE_TOP = 0.15
"""Height of the driver's top over its tip (m)."""
_HANDLE_OFFSET = 0.04  # of the handle's frame over the tip
_TIP_RADIUS = 0.0015
_TIP_CLEARANCE = 0.0005  # of a tip that comes back to a recess, in which it then centres itself
_SLOT_LENGTH = 0.006
_GUIDE_MASS = 0.01
_TOLERANCE = 5 / 360
_SLIP_MARGIN = math.radians(10.0)
_SEATING_FORCE = 1.0
_SEATING_TILT = math.radians(4.0)
_LIFTED_TIME = 0.3
_HOLD_DAMPING = 50.0
_FRICTION_STIFFNESS = 100.0
_FALLEN_TILT = math.radians(30.0)
_GRIP_FORCE = 1.0
_GRIP_TIME = 0.25


@dataclass(frozen=True)
class Recess:
    """A form of tip and recess."""

    capacity: float
    """Torque held per axial force (m)."""
    slip_pitch: float
    """Angle from one seat of the tip to the next (rad)."""
    critical_tilt: float
    """Tilt at which nothing is held any more (rad)."""


RECESSES = {
    "phillips": Recess(0.012, math.radians(90), math.radians(12)),
    "torx": Recess(0.100, math.radians(60), math.radians(6)),
    "hex": Recess(0.100, math.radians(60), math.radians(6)),
    "slotted": Recess(0.015, math.radians(180), math.radians(6)),
}
"""Wedge statics: capacity = mean radius / tan(flank angle - friction angle), with flanks made effective by wear."""


@dataclass(frozen=True, kw_only=True)
class ScrewdriverParameters(Parameters):
    """Driver, tip and screw: PH2 on an M5 machine screw."""

    recess: str = parameter("phillips", easy=Choice(("torx", "hex", "phillips"), (0.3, 0.3, 0.4)),
                            hard=Choice(("phillips", "slotted"), (0.7, 0.3)))  # fmt: skip
    """Form of the recess; the paper does not name its. One of phillips, torx, hex, slotted."""
    capacity_factor: float = parameter(1.0, LogUniform(0.42, 2.1), easy=LogUniform(1.0, 2.1),
                                       hard=LogUniform(0.42, 1.0))  # fmt: skip
    """Capacity over the nominal one of its form: fit and wear; for phillips 5 to 25 mm. Confidence low."""
    tilt_factor: float = parameter(1.0, Uniform(0.7, 1.3))
    """Critical tilt over the nominal one of its form. Confidence low."""
    tip_friction: float = parameter(0.15, Uniform(0.1, 0.25))
    """Coefficient of friction between tip and recess: steel on steel (VDI 2230). Confidence high."""
    tip_contact_radius: float = parameter(0.0016, Uniform(0.0013, 0.002))
    """Mean radius of the contact of tip and flanks (m): PH2. Confidence medium."""
    recess_depth: float = parameter(0.002, Uniform(0.0015, 0.0028))
    """Depth of the recess, and so the lift that frees the tip (m). Confidence low."""
    backlash: float = parameter(math.radians(3), Uniform(math.radians(1), math.radians(6)))
    """Free turning of the tip to either side (rad): taper and clearance. Confidence low."""
    mass: float = parameter(0.05, Uniform(0.04, 0.06))
    """Mass of the driver (kg); the authors' range. Confidence medium."""
    grip_friction: float = parameter(0.8, Uniform(0.5, 1.1), easy=Uniform(0.8, 1.4), hard=Uniform(0.5, 0.8))
    """Coefficient of friction between the fingertips' elastomer and the handle; rubber reaches 1.4. Confidence
    medium."""
    grip_torsion: float = parameter(0.0021, Uniform(0.001, 0.0035))
    """Torsional friction of a fingertip (m): 2/3 of friction times the radius of a Hertzian patch. Confidence
    medium."""
    lead: float = parameter(8e-4, Choice((7e-4, 8e-4, 1e-3), (0.25, 0.5, 0.25)),
                            hard=Choice((8e-4, 1e-3, 1.8e-3, 2.5e-3), (0.4, 0.3, 0.2, 0.1)))  # fmt: skip
    """Axial motion of a turn (m): machine screws to M6; hard includes wood screws. Confidence medium."""
    turns: float = parameter(25.0, easy=Choice((8.0, 16.0), (0.5, 0.5)))
    """Turns until the screw sits tight. The paper's results are all multiples of 0.4 %, so of a 25th in 10 trials; its
    number is not given. Confidence low."""
    running_torque: float = parameter(0.008, LogUniform(0.003, 0.025), easy=LogUniform(0.003, 0.008),
                                      hard=LogUniform(0.008, 0.025))  # fmt: skip
    """Torque to turn the screw at the start (N m). Confidence low."""
    torque_rise: float = parameter(0.0, hard=Uniform(0.0, 0.06))
    """What is added to it up to the last turn (N m): none for machine screws, up to 85 mN m in wood. Confidence low."""
    thread_friction: float = parameter(0.15, Uniform(0.12, 0.2))
    """Coefficient of friction of the screw's flanks and head: steel (VDI 2230). Confidence high."""
    ripple: float = parameter(0.1, Uniform(0.0, 0.2))
    """Share of the running torque that comes and goes once per turn; assumed."""
    breakaway: float = parameter(1.15, Uniform(1.0, 1.4))
    """Friction at rest over that in motion; assumed."""
    start_tilt: float = parameter(math.radians(0.5), Uniform(0.0, math.radians(1.0)))
    """Tilt at which the driver stands at the start (rad); ours. Unheld, it falls from any above 0.1 to 0.2 degrees."""
    start_direction: float = parameter(0.0, Uniform(0.0, 2 * math.pi))
    """Direction of that tilt, from the base's x axis (rad)."""
    hold_time: float = parameter(3.0)
    """Longest time for which a person holds the driver upright by its top, until the fingers grip it (s); ours."""
    hold_force: float = parameter(5.0)
    """Force with which that person presses the tip into the recess (N); ours: a fingertip of 3.3 N lifts by friction
    with up to 2.6 N, and two fingers with 5."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recess not in RECESSES:
            raise ValueError(f"unknown recess {self.recess!r}; choose from {', '.join(RECESSES)}")

    @property
    def capacity(self) -> float:
        """Torque that the upright tip holds per axial force (m)."""
        return self.capacity_factor * RECESSES[self.recess].capacity

    @property
    def critical_tilt(self) -> float:
        """Tilt at which nothing is held any more (rad)."""
        return self.tilt_factor * RECESSES[self.recess].critical_tilt

    @property
    def thread(self) -> ThreadGeometry:
        """The screw's thread: M5's pitch diameter, and the mean radius under its head."""
        return ThreadGeometry(lead=self.lead, diameter=0.00448, length=0.01, collar_radius=0.0036)


def add_screwdriver(spec: mujoco.MjSpec, base: Any, shape: str, parameters: ScrewdriverParameters) -> None:
    """Add the screw and the driver on it.

    Args:
        spec: what to add to.
        base: fixed body of the world that the screw is in, z up.
        shape: of the handle, one of `SHAPES`.
        parameters: of both.
    """
    # Friction creeps in inverse proportion to this: at the scene's 10, 1.5 N slide a driver at 0.6 mm/s out of a grip
    # that holds 8 N, and what presses on the tip is gone within a second; at 100 it is 0.07 mm/s.
    spec.option.impratio = _FRICTION_STIFFNESS
    _add_screw(spec, base, parameters)
    geom = mujoco.mjtGeom
    tilt, direction, quat = parameters.start_tilt, parameters.start_direction, np.zeros(4)
    mujoco.mju_axisAngle2Quat(quat, np.array([-math.sin(direction), math.cos(direction), 0.0]), tilt)
    mujoco.mju_mulQuat(quat, base.quat, quat)
    driver = spec.worldbody.add_body(name="driver", pos=np.add(base.pos, [0, 0, FLOOR_HEIGHT]), quat=quat)
    driver.add_freejoint(name="driver")
    driver.mass, driver.ipos, driver.explicitinertial = parameters.mass, [0, 0, CENTER_OF_MASS], True
    slender, axial = parameters.mass * 0.12**2 / 12, parameters.mass * 0.011**2 / 2
    driver.inertia = [slender, slender, axial]
    driver.add_geom(
        name="tip", type=geom.mjGEOM_SPHERE, size=[_TIP_RADIUS, 0, 0], pos=[0, 0, _TIP_RADIUS], material="metal",
        **VISUAL,
    )  # fmt: skip
    driver.add_geom(
        name="shaft", type=geom.mjGEOM_CAPSULE, size=[0.003, 0, 0], fromto=[0, 0, 0.005, 0, 0, 0.06],
        material="metal", **MOVING,
    )  # fmt: skip
    parts = [np.add(vertices, [0, 0, _HANDLE_OFFSET]) for vertices in convex_parts(shape)]
    add_convex_parts(
        spec,
        driver,
        "handle",
        parts,
        material="nut",
        **MOVING,
        **grip(parameters.grip_friction, parameters.grip_torsion),
    )
    _guide(spec, driver, base, "held", HANDLE_TOP, FLOOR_HEIGHT, damping=_HOLD_DAMPING)
    _guide(spec, driver, spec.body("screw"), "seated", _TIP_RADIUS, 0.0, solref=STIFF, solimp=RIGID)
    if parameters.recess == "slotted":
        slot = spec.body("seated_guide")
        slot.add_joint(name="seated_slot", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0])
    friction = parameters.tip_friction
    spec.add_pair(
        name="tip", geomname1="tip", geomname2="floor", condim=4, friction=[friction, friction, 1e-4, 1e-4, 1e-4],
        solref=STIFF, solimp=RIGID,
    )  # fmt: skip
    fields = mujoco.mjtConDataField
    wanted = (1 << fields.mjCONDATA_FORCE.value) | (1 << fields.mjCONDATA_TORQUE.value)
    kind = mujoco.mjtObj.mjOBJ_GEOM
    spec.add_sensor(
        name="tip", type=mujoco.mjtSensor.mjSENS_CONTACT, objtype=kind, objname="tip", reftype=kind, refname="floor",
        intprm=[wanted, 2, 1],
    )  # fmt: skip


def _guide(
    spec: mujoco.MjSpec, driver: Any, parent: Any, name: str, height: float, floor: float, *, damping: float = 0.0,
    **softness: Any,
) -> None:  # fmt: skip
    """Join a point of the driver's axis to a light body that slides along the parent's z axis.

    Args:
        spec: what to add to.
        driver: the driver.
        parent: body in which the guide slides.
        name: of the equality; the joint of the guide is `<name>_z`, its body `<name>_guide`.
        height: of the point over the tip (m).
        floor: height of the tip at the start in the parent's frame (m).
        damping: of the slide (N s/m).
        softness: solref and solimp of the equality.
    """
    guide = parent.add_body(name=f"{name}_guide", pos=[0, 0, floor + height])
    guide.mass, guide.inertia, guide.explicitinertial, guide.gravcomp = _GUIDE_MASS, [1e-7] * 3, True, 1.0
    guide.add_joint(name=f"{name}_z", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 0, 1], damping=[damping, 0, 0])
    ends = f"{name}_guide", f"{name}_driver"
    guide.add_site(name=ends[0], group=4)
    driver.add_site(name=ends[1], pos=[0, 0, height], group=4)
    spec.add_equality(
        name=name, type=mujoco.mjtEq.mjEQ_CONNECT, objtype=mujoco.mjtObj.mjOBJ_SITE, name1=ends[0], name2=ends[1],
        **softness,
    )  # fmt: skip


def _add_screw(spec: mujoco.MjSpec, base: Any, parameters: ScrewdriverParameters) -> None:
    geom, joint = mujoco.mjtGeom, mujoco.mjtJoint
    screw = base.add_body(name="screw", pos=[0, 0, FLOOR_HEIGHT])
    screw.mass, screw.inertia, screw.explicitinertial = 0.005, [1e-7] * 3, True
    screw.add_joint(name="screw_z", type=joint.mjJNT_SLIDE, axis=[0, 0, 1])
    # Dry friction creeps in proportion to the inverse inertia; with this one by less than 2 degrees in 3 minutes.
    screw.add_joint(
        name="screw", type=joint.mjJNT_HINGE, axis=[0, 0, 1], armature=1e-4, frictionloss=parameters.running_torque
    )
    depth = parameters.turns * parameters.lead
    add_thread(spec, "screw_thread", "screw_z", "screw", lead=parameters.lead, play=2e-5, seat_depth=depth)
    for name, size, height in (("head", 0.0045, -0.0015), ("shank", 0.0025, -0.003 - depth / 2)):
        half = 0.0015 if name == "head" else depth / 2
        screw.add_geom(
            name=name, type=geom.mjGEOM_CYLINDER, size=[size, half, 0], pos=[0, 0, height], material="metal", **VISUAL
        )
    screw.add_geom(
        name="floor", type=geom.mjGEOM_BOX, size=[0.003, 0.003, 0.001], pos=[0, 0, -0.001], material="metal", **VISUAL
    )


class Screwdriver:
    """Driver and screw of a compiled scene: sets what the recess holds and how the screw resists, and judges.

    Args:
        model: compiled from a spec that `add_screwdriver` added to.
        data: its state.
        parameters: those that were added.
        rng: draws the ripple of the running torque.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, parameters: ScrewdriverParameters, rng: np.random.Generator
    ) -> None:
        self._data, self._timestep = data, model.opt.timestep
        self.parameters = parameters
        self.turns_needed = parameters.turns
        self.lost: str | None = None
        """Why the screw cannot be fastened any more, or None."""
        self.tilt = 0.0
        """Angle between driver and screw (rad)."""
        self.ahead = 0.0
        """How far the driver has turned over its seat in the recess, clockwise (rad)."""
        self.slips = 0
        """How often the tip slipped to another seat of the recess."""
        self._pitch = RECESSES[parameters.recess].slip_pitch
        self._loose = parameters.tip_friction * parameters.tip_contact_radius
        self._body = model.body("driver").id
        self._angle = int(model.joint("screw").qposadr[0])
        self._slide = int(model.joint("screw_z").qposadr[0])
        self._free = int(model.joint("driver").qposadr[0])
        self._tip = int(model.sensor("tip").adr[0])
        self._capacity = model.pair_friction[model.pair("tip").id]
        self._hold, self._seated = model.equality("held").id, model.equality("seated").id
        self._holding = int(model.joint("held_z").dofadr[0])
        data.qfrc_applied[self._holding] = -parameters.hold_force
        guide, count = model.joint("seated_z"), int(model.body("seated_guide").dofnum[0])
        self._guide = slice(int(guide.qposadr[0]), int(guide.qposadr[0]) + count)
        self._guide_dofs = slice(int(guide.dofadr[0]), int(guide.dofadr[0]) + count)
        self._screw, self._tip_site = model.body("screw").id, model.site("seated_driver").id
        self._height = float(model.body("driver").pos[2])
        self._ripple = Ripple(parameters.ripple, 0.0, rng)
        self._friction = ThreadFriction(
            model, data, "screw_thread", "screw", parameters.thread, friction=parameters.thread_friction,
            collar_friction=parameters.thread_friction, breakaway=parameters.breakaway,
        )  # fmt: skip
        self._yaw = self._seat = self._lifted = self._gripped = 0.0
        self._slipping = False
        mujoco.mj_kinematics(model, data)
        self._last_yaw = self._measure_yaw()

    def _measure_yaw(self) -> float:
        r = self._data.xmat[self._body]
        return math.atan2(r[3] - r[1], r[0] + r[4])

    def before_step(self) -> None:
        """Set what recess and screw hold in the next physics step."""
        data, parameters = self._data, self.parameters
        self.tilt = math.acos(min(data.xmat[self._body, 8], 1.0))
        self._capacity[2] = max(self._held_torque(), 1e-6)
        angle = data.qpos[self._angle]
        progress = min(max(-angle / (2 * math.pi * parameters.turns), 0.0), 1.0)
        self._friction.update(parameters.running_torque * self._ripple(angle) + parameters.torque_rise * progress)

    def _held_torque(self) -> float:
        """Return the torque per axial force that the recess holds now (m)."""
        yaw = self._measure_yaw()
        self._yaw += math.remainder(yaw - self._last_yaw, 2 * math.pi)
        self._last_yaw = yaw
        force, torque = self._data.sensordata[self._tip], self._data.sensordata[self._tip + 3]
        ahead = self.ahead = self._data.qpos[self._angle] - self._yaw - self._seat
        backlash = self.parameters.backlash
        if not self._slipping and abs(ahead) > backlash + _SLIP_MARGIN:
            self._slipping = True
        if self._slipping:
            turned = round(ahead / self._pitch)  # none: it turned back to the seat that it came from
            if abs(ahead - turned * self._pitch) <= backlash and force >= _SEATING_FORCE and self.tilt <= _SEATING_TILT:
                self._seat += turned * self._pitch
                self.slips += bool(turned)
                self._slipping = False
            return self._loose
        # Flanks only push: on the leading side of the backlash, and not when the torque goes back.
        if abs(ahead) < backlash or torque * ahead < 0:
            return self._loose
        return max(self._loose, self.parameters.capacity * (1 - (self.tilt / self.parameters.critical_tilt) ** 2))

    def after_step(self, fingertips: Fingertips) -> None:
        """Judge the state after a physics step; let go of the driver when the fingers grip it.

        Args:
            fingertips: of the hand.
        """
        data = self._data
        if data.eq_active[self._hold]:
            thumb, *others = fingertips.normal_force
            gripping = thumb > 0 and sum(others) > _GRIP_FORCE
            self._gripped = self._gripped + self._timestep if gripping else 0.0
            if self._gripped >= _GRIP_TIME or data.time >= self.parameters.hold_time:
                self.release()
        lift = data.qpos[self._free + 2] - self._height - data.qpos[self._slide]
        self._keep_in_recess(lift)
        if self.lost:
            return
        self._lifted = 0.0 if data.eq_active[self._seated] else self._lifted + self._timestep
        if self.tilt > _FALLEN_TILT:
            self.lost = "the screwdriver fell"
        elif self._lifted > _LIFTED_TIME:
            self.lost = "the tip left the recess"

    def _keep_in_recess(self, lift: float) -> None:
        """Join the tip to its guide while it is in the recess, which it leaves upwards, or sideways out of a slot."""
        data, guide = self._data, self._guide
        tip = data.site_xpos[self._tip_site] - data.xpos[self._screw]
        if data.eq_active[self._seated]:
            aside = np.abs(data.qpos[guide][1:]).max(initial=0.0) > _SLOT_LENGTH / 2
            data.eq_active[self._seated] = not aside and lift <= self.parameters.recess_depth
        elif lift <= self.parameters.recess_depth and math.hypot(tip[0], tip[1]) < _TIP_CLEARANCE:
            data.qpos[guide] = [tip[2] - _TIP_RADIUS, 0.0][: len(data.qpos[guide])]
            data.qvel[self._guide_dofs] = 0.0
            data.eq_active[self._seated] = 1

    def release(self) -> None:
        """Let go of the driver: from now on only the hand holds it."""
        self._data.eq_active[self._hold] = 0
        self._data.qfrc_applied[self._holding] = 0.0

    @property
    def turns(self) -> float:
        """Turns of the screw since the start, positive when it goes down."""
        return float(-self._data.qpos[self._angle]) / (2 * math.pi)

    @property
    def finished(self) -> bool:
        """Whether the screw sits tight."""
        return self.turns >= self.turns_needed - _TOLERANCE
