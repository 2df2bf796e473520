"""A screw thread: turning moves along the axis, and friction grows with what presses on the flanks.

The coupling is a fixed tendon of slide and hinge, `z - lead / 2 pi * angle`, kept within the axial play by its limits.
A joint equality would be the obvious way, but MuJoCo regularises it with the hinge's unscaled inertia, and it sags by
millimetres. Friction is a bound on the hinge's dry friction, written anew in every step from the forces of the last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

STIFF = [0.004, 1.0]
"""solref of constraints that stand for metal on metal: two physics steps, critically damped."""
RIGID = [0.9999, 0.9999, 1e-4, 0.5, 2.0]
"""solimp of the same. Softer ones let a locked thread creep."""
FLANK = math.radians(30.0)
"""Half the angle between the flanks: ISO 68-1."""
_BREAKAWAY_SPEED = 0.05
_MIN_FRICTION = 1e-6


@dataclass(frozen=True, kw_only=True)
class ThreadGeometry:
    """What a thread's friction depends on."""

    lead: float
    """Axial motion of a turn (m)."""
    diameter: float
    """Pitch diameter (m)."""
    length: float
    """Length of the engagement (m)."""
    collar_radius: float
    """Mean radius of the seat's contact (m)."""

    @property
    def lead_angle(self) -> float:
        """Angle of the helix to the plane across the axis (rad)."""
        return math.atan(self.lead / (math.pi * self.diameter))


def add_thread(
    spec: mujoco.MjSpec, name: str, slide: str, hinge: str, *, lead: float, play: float, seat_depth: float
) -> None:
    """Couple two joints of one body by a right-hand thread, which ends on a seat.

    Args:
        spec: what to add to. Its slide and hinge point up, and are at 0 in mid-play.
        name: of the thread; its sensors are `<name>_axial` (N) and `<name>_seat` (N).
        slide: name of the slide joint; its lower limit becomes the seat.
        hinge: name of the hinge joint.
        lead: axial motion of a turn (m).
        play: axial play (m).
        seat_depth: how far it goes down until it sits tight (m).
    """
    tendon = spec.add_tendon(
        name=name,
        limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        range=[-play / 2, play / 2],
        solref_limit=STIFF,
        solimp_limit=RIGID,
    )
    tendon.wrap_joint(slide, 1.0)
    tendon.wrap_joint(hinge, -lead / (2 * math.pi))
    joint = spec.joint(slide)
    joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE
    joint.range = [play / 2 - seat_depth, 1.0]
    joint.solref_limit, joint.solimp_limit = STIFF, RIGID
    spec.joint(hinge).solref_friction, spec.joint(hinge).solimp_friction = STIFF, RIGID
    sensor = mujoco.mjtSensor
    spec.add_sensor(
        name=f"{name}_axial", type=sensor.mjSENS_TENDONLIMITFRC, objtype=mujoco.mjtObj.mjOBJ_TENDON, objname=name
    )
    spec.add_sensor(
        name=f"{name}_seat", type=sensor.mjSENS_JOINTLIMITFRC, objtype=mujoco.mjtObj.mjOBJ_JOINT, objname=slide
    )


class ThreadFriction:
    """Keeps a hinge's dry friction at what a thread has under its present load.

    The bound is the same in both directions: T = T0 + mu' r (N / cos^2(lead angle) + F + 2 M / L) + mu_c r_c S, with
    mu' = mu / cos(flank angle), axial force N, lateral force F, tilting moment M, engagement L and seat force S.
    Together with the tendon's share N lead / 2 pi it equals the textbook's torques to raise and lower a load, N r
    tan(phi +- lead angle), within 2.5 % up to mu = 0.3 for a nut. A screw with a lead of 1.8 or 2.5 mm, in the hard
    stratum alone, is off by up to 4 % where it is driven.

    Args:
        model: compiled; its `dof_frictionloss` is written.
        data: its state.
        name: of the thread.
        hinge: name of its hinge joint.
        geometry: of the thread.
        friction: coefficient on the flanks.
        collar_friction: coefficient on the seat.
        breakaway: factor by which friction is larger at rest.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        name: str,
        hinge: str,
        geometry: ThreadGeometry,
        *,
        friction: float,
        collar_friction: float,
        breakaway: float,
    ) -> None:
        self._dof = int(model.joint(hinge).dofadr[0])
        self._friction, self._velocity = model.dof_frictionloss, data.qvel
        axial, seat = (int(model.sensor(f"{name}_{force}").adr[0]) for force in ("axial", "seat"))
        self._sensed = data.sensordata[axial : seat + 1]
        flank = friction / math.cos(FLANK) * geometry.diameter / 2
        self._per_axial = flank / math.cos(geometry.lead_angle) ** 2
        self._per_lateral = flank
        self._per_moment = 2 * flank / geometry.length
        self._per_seat = collar_friction * geometry.collar_radius
        self._breakaway = breakaway

    def update(self, running: float, lateral: float = 0.0, moment: float = 0.0) -> None:
        """Set the friction for the next physics step.

        Args:
            running: torque without load (N m).
            lateral: force across the axis (N).
            moment: tilting moment (N m).
        """
        axial, seat = self._sensed.tolist()
        torque = (
            running
            + self._per_axial * abs(axial)
            + self._per_lateral * lateral
            + self._per_moment * moment
            + self._per_seat * abs(seat)
        )
        if abs(self._velocity.item(self._dof)) < _BREAKAWAY_SPEED:
            torque *= self._breakaway
        self._friction[self._dof] = max(torque, _MIN_FRICTION)


class Ripple:
    """A running torque that varies over the turn: once per turn, and by noise every 10 degrees; 1 on average.

    Args:
        amplitude: of the part that comes once per turn.
        noise: standard deviation of the rest.
        rng: draws the phase and the noise.
    """

    def __init__(self, amplitude: float, noise: float, rng: np.random.Generator) -> None:
        angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        factors = 1 + amplitude * np.sin(angles + rng.uniform(0, 2 * np.pi)) + noise * rng.standard_normal(36)
        self._factors = np.maximum(factors, 0.0).tolist()

    def __call__(self, angle: float) -> float:
        """Return the factor at an angle (rad)."""
        return self._factors[int(angle * (18 / math.pi)) % 36]
