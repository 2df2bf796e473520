"""The recess of a screw, and what it does to the tip of a driver that stands in it.

The driver hangs on six joints in the screw's frame: slides across the axis, a slide along it (the *lift*), a hinge
about it (the *twist*), and hinges across it (the *tilt*). Left alone they make it a free body. While the tip is in the
recess,

- its *foot*, a flat disc, stands on the floor: it holds a moment of up to the axial force times its radius;
- its *walls* hold the tip on the axis, except along a slot;
- its *free play* ends the tilt: tip and hole are prisms, one a little wider than the other;
- its *backlash* ends the twist, to both sides;
- *friction* on the loaded walls resists the lift.

A Phillips recess has sloped flanks: they hold a tilting moment and a torque that are proportional to the axial force.
What exceeds the first throws the tip out; what exceeds the second turns it over to its next seat (it *cams out*).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mujoco

from real.twin.objects.thread import RIGID, STIFF
from real.twin.parameters import Choice, LogUniform, Parameters, Uniform, parameter
from real.twin.solids import VISUAL

_REACH = 0.1  # height over the tip at which the free play is measured (m)
_OPEN = 1e6  # a limit that never holds (m or rad)
_STUDS = 8  # points that the foot stands on
_STUD_RADIUS = 0.0003
_SOCKET_MASS = 1e-3
_STRENGTH = 5.0  # torque that steel walls take (N m); a hand has a tenth
_SLOT_LENGTH = 0.006
_ENTRY = 0.0005  # how far off the axis a tip may come back, and then centres itself (m)
_SEATING_FORCE = 1.0
_SEATING_TILT = math.radians(4.0)
_CAM_OUT_TIME = 0.01
# Dry friction creeps in inverse proportion to the inertia that it acts on. With that of the driver alone, a bit that
# its walls hold against 3 N creeps out within a minute; with this one more (kg), it rises by 0.1 mm in 3 minutes. It
# acts only along the joint, and only while the walls are loaded.
_WALL_INERTIA = 1.0
_ROCKING_DAMPING = 2e-4  # what a driver that rocks on its foot loses; a fingertip's friction is a hundred times more
_LOST_INERTIA = 1e-4
_LOST_DAMPING = 1e-2


@dataclass(frozen=True)
class Form:
    """A form of tip and recess."""

    seat_pitch: float
    """Angle from one seat of the tip to the next (rad)."""
    wedged: bool = False
    """Whether the flanks slope, so that only axial force keeps the tip in."""
    centred: bool = True
    """Whether walls stand all around the tip."""


FORMS = {
    "hex": Form(math.radians(60)),
    "torx": Form(math.radians(60)),
    "slotted": Form(math.radians(180), centred=False),
    "phillips": Form(math.radians(90), wedged=True),
}


@dataclass(frozen=True, kw_only=True)
class RecessParameters(Parameters):
    """Tip and recess, which the paper does not name: hardly a bare Phillips, with which the driver is lost at once."""

    recess: str = parameter("hex", Choice(("hex", "torx"), (0.5, 0.5)),
                            extreme=Choice(("phillips", "slotted"), (0.5, 0.5)))  # fmt: skip
    """Form: hex, torx, slotted or phillips."""
    clearance: float = parameter(7e-5, Uniform(2e-5, 1.2e-4), easy=Uniform(2e-5, 5.2e-5), hard=Uniform(1.05e-4, 1.2e-4),
                                 extreme=Uniform(2e-5, 1.2e-4))  # fmt: skip
    """Width of the hole over the tip's (m). With the depth it gives the free play of hex, Torx and slotted: 0.4 to 3.4
    degrees, below 1.5 in the easy stratum and above 2 in the hard one. Sockets of 5.02 to 5.14 mm take keys of 4.95 to
    5.00 mm (ISO 4762, ISO 2936). Confidence medium."""
    recess_depth: float = parameter(0.0025, Uniform(0.002, 0.003))
    """Depth of the recess, and so the lift that frees the tip (m). Confidence medium."""
    backlash: float = parameter(math.radians(2.5), Uniform(math.radians(1), math.radians(4)),
                                extreme=Uniform(math.radians(1), math.radians(6)))  # fmt: skip
    """Free turning of the tip to either side (rad); of hex and Torx by the same sizes. Confidence medium."""
    tip_friction: float = parameter(0.15, Uniform(0.1, 0.25))
    """Coefficient of friction between tip and recess: steel on steel (VDI 2230). Confidence high."""
    tip_contact_radius: float = parameter(0.0016, Uniform(0.0013, 0.002))
    """Mean radius of the contact of tip and walls, and radius of the foot (m). Confidence medium."""
    blade: str = parameter("ground", extreme=Choice(("ground", "tapered"), (0.5, 0.5)))
    """Flanks of a slotted tip: ground parallel, or tapered by 5 to 10 degrees, which needs axial force."""
    blade_torque: float = parameter(0.015, extreme=LogUniform(0.006, 0.04))
    """Torque that a tapered blade holds per axial force (m). Confidence low."""
    cone_play: float = parameter(math.radians(4), extreme=Uniform(math.radians(2), math.radians(7)))
    """Free play of a Phillips tip (rad). Confidence low."""
    cone_moment: float = parameter(0.015, extreme=Uniform(0.008, 0.03))
    """Tilting moment that a Phillips recess holds per axial force (m): depth / (2 tan(13 degrees of half cone - 8.5
    degrees of friction)). Confidence low."""
    cone_torque: float = parameter(0.012, extreme=LogUniform(0.005, 0.025))
    """Torque that a Phillips recess holds per axial force (m): mean radius / tan(flank angle - friction angle), with
    flanks made effective by wear. Confidence low."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recess not in FORMS:
            raise ValueError(f"unknown recess {self.recess!r}; choose from {', '.join(FORMS)}")
        if self.blade not in ("ground", "tapered"):
            raise ValueError(f"unknown blade {self.blade!r}; choose from ground, tapered")

    @cached_property
    def form(self) -> Form:
        """Form of tip and recess."""
        return FORMS[self.recess]

    @cached_property
    def rubbing(self) -> tuple[str, ...]:
        """Joints along which the walls rub."""
        if self.form.wedged:
            return ()
        return ("lift",) if self.form.centred else ("lift", "tip_x")

    def free_play(self, lift: float = 0.0) -> float:
        """Return the tilt at which a tip that is lifted by `lift` (m) meets the walls (rad)."""
        if self.form.wedged:
            return self.cone_play
        return math.atan(self.clearance / max(self.recess_depth - lift, 1e-4))

    def torque_capacity(self, force: float) -> float:
        """Return the torque (N m) that the recess holds under an axial force (N)."""
        if self.form.wedged:
            return self.cone_torque * force
        return self.blade_torque * force if self.recess == "slotted" and self.blade == "tapered" else _STRENGTH

    def moment_capacity(self, force: float) -> float:
        """Return the tilting moment (N m) that the walls hold under an axial force (N)."""
        return self.cone_moment * force if self.form.wedged else math.inf


def add_recess(spec: mujoco.MjSpec, screw: Any, parameters: RecessParameters) -> Any:
    """Add a recess to a screw, and return the driver's body, which stands in it: its origin is the tip's.

    Args:
        spec: what to add to.
        screw: the screw's body; the recess's floor is at its origin, z up.
        parameters: of tip and recess.
    """
    kind, joint = mujoco.mjtGeom, mujoco.mjtJoint
    # Deep, so that a tip that hits it hard within one step is pushed out at its top.
    screw.add_geom(
        name="floor", type=kind.mjGEOM_BOX, size=[0.003, 0.003, 0.005], pos=[0, 0, -0.005], group=4, **VISUAL
    )
    socket = screw.add_body(name="socket")
    socket.mass, socket.inertia, socket.explicitinertial = _SOCKET_MASS, [1e-8] * 3, True
    dry = {"solref_friction": STIFF, "solimp_friction": RIGID}
    limited = {"limited": mujoco.mjtLimited.mjLIMITED_TRUE, "solref_limit": STIFF, "solimp_limit": RIGID}
    rubbing = parameters.rubbing
    for name, axis in (("tip_x", [1, 0, 0]), ("tip_y", [0, 1, 0]), ("lift", [0, 0, 1])):
        inertia = _WALL_INERTIA if name in rubbing else 0.0
        socket.add_joint(name=name, type=joint.mjJNT_SLIDE, axis=axis, armature=inertia, **dry)
    backlash = parameters.backlash
    socket.add_joint(
        name="twist", type=joint.mjJNT_HINGE, axis=[0, 0, 1], range=[-backlash, backlash], **dry, **limited
    )  # fmt: skip
    driver = socket.add_body(name="driver")
    for name, axis in (("tilt_x", [1, 0, 0]), ("tilt_y", [0, 1, 0])):
        driver.add_joint(name=name, type=joint.mjJNT_HINGE, axis=axis, damping=[_ROCKING_DAMPING, 0, 0])
    _add_foot(spec, driver, parameters.tip_contact_radius)
    _add_walls(spec, socket, driver, parameters, limited)
    return driver


def _add_foot(spec: mujoco.MjSpec, driver: Any, radius: float) -> None:
    """Let the tip stand on studs around it, without friction: that is the joints'."""
    # Between the studs the foot tips over an edge that is nearer to the axis than they are.
    circle = radius / ((1 + math.cos(math.pi / _STUDS)) / 2)
    for index in range(_STUDS):
        angle = 2 * math.pi * index / _STUDS
        driver.add_geom(
            name=f"stud_{index}", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[_STUD_RADIUS, 0, 0], material="metal",
            pos=[circle * math.cos(angle), circle * math.sin(angle), _STUD_RADIUS], **VISUAL,
        )  # fmt: skip
        spec.add_pair(
            name=f"stud_{index}", geomname1=f"stud_{index}", geomname2="floor", condim=1, solref=STIFF, solimp=RIGID
        )
    total = 3
    spec.add_sensor(
        name="foot", type=mujoco.mjtSensor.mjSENS_CONTACT, objtype=mujoco.mjtObj.mjOBJ_BODY, objname="driver",
        reftype=mujoco.mjtObj.mjOBJ_GEOM, refname="floor",
        intprm=[1 << mujoco.mjtConDataField.mjCONDATA_FORCE.value, total, 1],
    )  # fmt: skip


def _add_walls(
    spec: mujoco.MjSpec, socket: Any, driver: Any, parameters: RecessParameters, limited: dict[str, Any]
) -> None:
    """Hold the tip on the axis, and end its tilt and its twist."""
    sensor, kind = mujoco.mjtSensor, mujoco.mjtObj
    for name in ("tip_x", "tip_y") if parameters.form.centred else ("tip_y",):
        spec.add_equality(
            name=name, type=mujoco.mjtEq.mjEQ_JOINT, objtype=kind.mjOBJ_JOINT, name1=name,
            data=[0.0] * mujoco.mjNEQDATA, solref=STIFF, solimp=RIGID,
        )  # fmt: skip
    # A cord between two points of the axes, as long as their play, limits the tilt alike in all directions.
    for body, name in ((socket, "play_socket"), (driver, "play_driver")):
        body.add_site(name=name, pos=[0, 0, _REACH], group=4)
    if parameters.form.centred:
        cord = spec.add_tendon(name="play", range=[0.0, _REACH * parameters.free_play()], **limited)
        cord.wrap_site("play_socket")
        cord.wrap_site("play_driver")
        spec.add_sensor(
            name="play", type=sensor.mjSENS_TENDONLIMITFRC, objtype=kind.mjOBJ_TENDON, objname="play"
        )  # fmt: skip
    else:  # a blade leans along its slot as it likes
        across = spec.joint("tilt_x")
        across.limited, across.range = limited["limited"], [-parameters.free_play(), parameters.free_play()]
        across.solref_limit, across.solimp_limit = STIFF, RIGID
        spec.add_sensor(
            name="play", type=sensor.mjSENS_JOINTLIMITFRC, objtype=kind.mjOBJ_JOINT, objname="tilt_x"
        )  # fmt: skip
    spec.add_sensor(name="twist", type=sensor.mjSENS_JOINTLIMITFRC, objtype=kind.mjOBJ_JOINT, objname="twist")


class Recess:
    """The recess of a compiled scene: opens and closes its limits, and sets its friction.

    Args:
        model: compiled from a spec that `add_recess` added to.
        data: its state.
        parameters: those that were added.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, parameters: RecessParameters) -> None:
        self._model, self.parameters = model, parameters
        self._qpos, self._sensors, self._active = data.qpos, data.sensordata, data.eq_active
        self._friction, self._armature = model.dof_frictionloss, model.dof_armature
        self._timestep = model.opt.timestep
        self.slips = 0
        """How often the tip turned over to another seat."""
        self.ahead = 0.0
        """How far the driver has turned over its seat, clockwise (rad)."""
        self.tilt = 0.0
        """Angle between driver and screw (rad)."""
        self.force = 0.0
        """Axial force on the foot (N)."""
        self.torque = 0.0
        """Torque on the walls (N m)."""
        self.moment = 0.0
        """Tilting moment on the walls (N m)."""
        self._seat = self._overloaded = 0.0
        self._turning = False
        self._orientation = data.xmat[model.body("driver").id]
        self._address = {name: int(model.joint(name).qposadr[0]) for name in ("tip_x", "tip_y", "lift", "twist")}
        self._dof = {name: int(model.joint(name).dofadr[0]) for name in self._address}
        self._twist_range = model.jnt_range[model.joint("twist").id]
        centred = parameters.form.centred
        self._held = [model.equality(name).id for name in (("tip_x", "tip_y") if centred else ("tip_y",))]
        self._play = (
            model.tendon_range[model.tendon("play").id] if centred else model.jnt_range[model.joint("tilt_x").id]
        )
        self._lever = _REACH if centred else 1.0
        foot = int(model.sensor("foot").adr[0])
        self._foot = data.sensordata[foot : foot + 3]
        self._limits = [int(model.sensor(name).adr[0]) for name in ("play", "twist")]
        self._rubbing = [self._dof[name] for name in parameters.rubbing]
        mujoco.mj_forward(model, data)
        self._measure()

    @property
    def seated(self) -> bool:
        """Whether the tip is in the recess."""
        return bool(self._active.item(self._held[0]))

    @property
    def lift(self) -> float:
        """Height of the tip over the recess's floor (m)."""
        return self._qpos.item(self._address["lift"])

    def before_step(self) -> None:
        """Set limits and friction of the next physics step from the forces of the last."""
        friction, dof, parameters = self._friction, self._dof, self.parameters
        if not self.seated:
            self._open()
            return
        walls = 2 * (self.moment / parameters.recess_depth + self.torque / parameters.tip_contact_radius)
        friction[dof["twist"]] = parameters.tip_friction * self.force * parameters.tip_contact_radius
        for name in parameters.rubbing:
            friction[dof[name]] = parameters.tip_friction * (walls if name == "lift" else walls + self.force)
            loaded = name == "tip_x" or walls > 0
            self._armature[dof[name]] = _WALL_INERTIA if loaded else 0.0
        play = parameters.free_play(self.lift) * self._lever
        self._play[0], self._play[1] = 0.0 if parameters.form.centred else -play, play
        self._turn_over()

    def _measure(self) -> None:
        play, twist = self._limits
        self.tilt = math.acos(max(-1.0, min(self._orientation.item(8), 1.0)))
        x, y, z = self._foot.tolist()
        self.force = math.sqrt(x * x + y * y + z * z)
        self.moment = self._lever * abs(self._sensors.item(play))
        self.torque = abs(self._sensors.item(twist))
        self.ahead = -self._qpos.item(self._address["twist"]) - self._seat

    def _turn_over(self) -> None:
        """Let the twist go when the flanks hold no more, until the tip is in a seat again."""
        parameters, pitch = self.parameters, self.parameters.form.seat_pitch
        if self._turning:
            turned = round(self.ahead / pitch)  # none: it turned back to the seat that it came from
            within = abs(self.ahead - turned * pitch) <= parameters.backlash
            upright = self.tilt <= max(_SEATING_TILT, parameters.free_play())
            if within and upright and self.force >= _SEATING_FORCE:
                self._seat_at(turned)
        else:
            overloaded = self.torque > parameters.torque_capacity(self.force)
            self._overloaded = self._overloaded + self._timestep if overloaded else 0.0
            self._turning = self._overloaded > _CAM_OUT_TIME
        reach = _OPEN if self._turning else parameters.backlash
        self._twist_range[0], self._twist_range[1] = -self._seat - reach, -self._seat + reach

    def _seat_at(self, turned: int) -> None:
        self._seat += turned * self.parameters.form.seat_pitch
        self.slips += bool(turned)
        self.ahead -= turned * self.parameters.form.seat_pitch
        self._turning, self._overloaded = False, 0.0

    def _open(self) -> None:
        """Let the driver be a free body."""
        for dof in self._dof.values():
            self._friction[dof] = 0.0
        self._armature[self._rubbing] = 0.0
        self._play[:] = (0.0 if self.parameters.form.centred else -_OPEN, _OPEN)
        self._twist_range[:] = -self._seat - _OPEN, -self._seat + _OPEN

    def give_up(self) -> None:
        """Let a driver that is lost lie where it falls: at 90 degrees of tilt two of its hinges align."""
        first = self._dof["twist"]
        self._armature[first : first + 3] = _LOST_INERTIA
        self._model.dof_damping[first : first + 3] = _LOST_DAMPING
        self._active[self._held] = 0

    def after_step(self) -> None:
        """Let go of a tip that leaves the recess, and take one that comes back."""
        parameters = self.parameters
        self._measure()
        x, y = self._qpos.item(self._address["tip_x"]), self._qpos.item(self._address["tip_y"])
        if self.seated:
            aside = not parameters.form.centred and abs(x) > _SLOT_LENGTH / 2
            thrown = self.moment > parameters.moment_capacity(self.force)
            if aside or thrown or self.lift > parameters.recess_depth:
                self._active[self._held] = 0
            return
        if parameters.form.wedged and self.force < _SEATING_FORCE:
            return
        turned = round(self.ahead / parameters.form.seat_pitch)
        aligned = abs(self.ahead - turned * parameters.form.seat_pitch) <= parameters.backlash
        along = abs(x) if parameters.form.centred else max(abs(x) - _SLOT_LENGTH / 2 + _ENTRY, 0.0)
        near = math.hypot(along, y) < _ENTRY
        if aligned and near and self.lift <= parameters.recess_depth and self.tilt <= parameters.free_play(self.lift):
            self._seat_at(turned)
            self._active[self._held] = 1
