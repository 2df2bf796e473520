"""The XHand's controller: what happens between a command and a reading.

Targets arrive late, are followed at first order, and pass the gears' backlash; a position loop with the vendor's gains
and current limit turns them into torque. Readings are quantised, and come over a bus that takes its time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dexscrew_envs.hands.xhand import JOINTS
from real.robot import TAXELS, Vector
from real.twin.fingertips import Fingertips, Frame
from real.twin.parameters import LogUniform, Parameters, Uniform, parameter
from real.twin.scene import HAND

PERIOD = 0.012
"""Time between readings (s): 83 Hz."""
RATED_CURRENT = 350.0
"""Current at the rated torque (mA): that of the vendor's samples."""
RESOLUTION = 2 * np.pi / 4096
"""Step of the position readings (rad)."""
_PROXIMAL = np.array([name.endswith("_1") or name == "thumb_bend" for name in JOINTS])
_RATED_TORQUE = np.where(_PROXIMAL, 1.1, 0.4)
_VENDOR_STIFFNESS = 100.0
_MECHANICAL_TIME = 0.017
"""Part of the response time that inertia and gains alone take, measured on this model at nominal gains (s)."""
_START_DEPTH = 0.0003  # of a contact at the start (m): what 1 to 2 N press in
PASSIVE, POSITION = 0, 3
"""Modes of the hand."""


@dataclass(frozen=True, kw_only=True)
class HandParameters(Parameters):
    """Actuation of the XHand."""

    stiffness: float = parameter(3.0, Uniform(2.0, 4.0), easy=Uniform(2.7, 3.3))
    """Proportional gain at the vendor's kp of 100 (N m/rad): the authors' simulation, tuned to transfer. Confidence
    medium."""
    damping: float = parameter(0.01, LogUniform(0.008, 0.05), easy=LogUniform(0.008, 0.02))
    """Derivative gain at the vendor's kd of 1 (N m s/rad). Confidence medium."""
    torque_factor: float = parameter(1.0, Uniform(0.6, 1.6), easy=Uniform(0.9, 1.6), hard=Uniform(0.6, 1.0))
    """Torque at a current over the nominal, which is linear: 1.1 or 0.4 N m, the URDF's, at 350 mA. Confidence low."""
    proximal_friction: float = parameter(0.03, LogUniform(0.01, 0.08), easy=LogUniform(0.01, 0.03),
                                         hard=LogUniform(0.03, 0.08))  # fmt: skip
    """Dry friction of the joints next to the palm and the thumb's bend (N m), from the steady error of a log.
    Confidence low."""
    distal_friction: float = parameter(0.012, LogUniform(0.004, 0.03), easy=LogUniform(0.004, 0.012),
                                       hard=LogUniform(0.012, 0.03))  # fmt: skip
    """The same of the other joints (N m)."""
    backlash: float = parameter(0.007, Uniform(0.0, 0.014), easy=Uniform(0.0, 0.007), hard=Uniform(0.007, 0.014))
    """Half the backlash of a joint (rad): 0.4 degrees; assumed."""
    response_time: float = parameter(0.04, Uniform(0.025, 0.07), easy=Uniform(0.025, 0.04), hard=Uniform(0.04, 0.07))
    """Time that a joint takes to 63 % of a step, without the dead time (s); assumed."""
    dead_time: float = parameter(0.015, Uniform(0.010, 0.025))
    """Time from a command to its first effect (s); assumed."""
    bus_time: float = parameter(0.0096)
    """Time from a reading to its arrival (s): RS485, measured by others. Confidence high."""
    bus_jitter: float = parameter(0.0003)
    """Standard deviation of that (s)."""
    outlier_probability: float = parameter(0.0, hard=Uniform(0.0, 5e-5))
    """Probability that a reading takes 100 ms; others saw about one in a session. Only the hard stratum has them, since
    each may trip the safety layer's limit on stale readings."""


@dataclass(frozen=True)
class HandReading:
    """What the hand's bus brings."""

    time: float
    """When it was taken (s)."""
    q: Vector
    """(12,) quantised joint positions (rad)."""
    current: Vector
    """(12,) motor currents (mA)."""
    frame: Frame
    """What the taxels read."""

    @property
    def tactile(self) -> NDArray[np.int16]:
        """(5, 120, 3) counts of the taxels."""
        return self.frame.counts[:, :TAXELS]

    @property
    def resultant(self) -> NDArray[np.int16]:
        """(5, 3) counts of the forces."""
        return self.frame.counts[:, TAXELS]


class Hand:
    """The hand of a compiled scene.

    Args:
        model: compiled; gains and friction of the hand's joints are written.
        data: its state, with the hand in its start pose.
        parameters: of the actuation.
        fingertips: their taxels take a frame with each reading.
        rng: draws the bus's times.
        zero_offset: (12,) what each joint reads where it should read zero (rad).
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        parameters: HandParameters,
        fingertips: Fingertips,
        rng: np.random.Generator,
        zero_offset: Vector | None = None,
    ) -> None:
        self._model, self._data = model, data
        self.parameters = parameters
        self._fingertips = fingertips
        self._rng = rng
        self._zero_offset = np.zeros(len(JOINTS)) if zero_offset is None else zero_offset
        joint = model.joint(HAND + JOINTS[0])
        self._qpos = slice(int(joint.qposadr[0]), int(joint.qposadr[0]) + len(JOINTS))
        dofs = slice(int(joint.dofadr[0]), int(joint.dofadr[0]) + len(JOINTS))
        first = model.actuator(HAND + JOINTS[0]).id
        self._actuators = slice(first, first + len(JOINTS))
        model.dof_frictionloss[dofs] = np.where(_PROXIMAL, parameters.proximal_friction, parameters.distal_friction)
        start = data.qpos[self._qpos].copy()
        self._target, self._followed, self._output = start, start.copy(), start.copy()
        self._work = np.empty_like(start)
        self._delayed: deque[tuple[float, Vector]] = deque()
        self._on_bus: HandReading | None = None
        self._arrival = self._next_reading = 0.0
        following_time = max(parameters.response_time - _MECHANICAL_TIME, model.opt.timestep)
        # Arrays, for NumPy converts a number anew whenever it meets one.
        self._blend = np.full_like(start, 1 - np.exp(-model.opt.timestep / following_time))
        self._slack = np.full_like(start, parameters.backlash)
        self._ctrl = data.ctrl[self._actuators]
        self._lag = round(parameters.dead_time / model.opt.timestep) * model.opt.timestep
        self.configure(100, 1, 100, POSITION)
        self.reading = HandReading(0.0, self._quantised(start), np.zeros(len(JOINTS)), fingertips.at_rest())

    def _quantised(self, q: Vector) -> Vector:
        return np.round((q + self._zero_offset) / RESOLUTION) * RESOLUTION

    def configure(self, kp: int, kd: int, tor_max: int, mode: int) -> None:
        """Set gains, current limit (mA) and mode, in the vendor's units."""
        model, rows = self._model, self._actuators
        powered = float(mode != PASSIVE)
        stiffness = powered * self.parameters.stiffness * kp / _VENDOR_STIFFNESS
        model.actuator_gainprm[rows, 0] = stiffness
        model.actuator_biasprm[rows, 1] = -stiffness
        model.actuator_biasprm[rows, 2] = -powered * self.parameters.damping * kd
        limit = self.parameters.torque_factor * _RATED_TORQUE * min(tor_max / RATED_CURRENT, 1.0)
        model.actuator_forcerange[rows] = np.stack([-limit, limit], axis=1)

    def command(self, position: Vector) -> None:
        """Send joint targets (12,), policy order (rad)."""
        self._delayed.append((self._data.time + self._lag, position - self._zero_offset))

    def before_step(self) -> None:
        """Set the position loops' targets for the next physics step."""
        while self._delayed and self._delayed[0][0] <= self._data.time + 1e-9:
            self._target = self._delayed.popleft()[1]
        followed, output, work = self._followed, self._output, self._work
        np.subtract(self._target, followed, out=work)
        np.multiply(self._blend, work, out=work)
        np.add(followed, work, out=followed)
        np.maximum(output, np.subtract(followed, self._slack, out=work), out=output)
        np.minimum(output, np.add(followed, self._slack, out=work), out=output)
        self._ctrl[:] = output

    def after_step(self) -> None:
        """Take and bring readings as their times come."""
        now = self._data.time + 1e-9
        if self._on_bus is not None and now >= self._arrival:
            self.reading, self._on_bus = self._on_bus, None
        if self._on_bus is None and now >= self._next_reading:
            self._take_reading()

    def _take_reading(self) -> None:
        now, parameters = self._data.time, self.parameters
        torque = self._data.actuator_force[self._actuators]
        current = np.round(torque / (parameters.torque_factor * _RATED_TORQUE) * RATED_CURRENT)
        q = self._quantised(self._data.qpos[self._qpos])
        self._on_bus = HandReading(now, q, current, self._fingertips.frame())
        late = self._rng.random() < parameters.outlier_probability
        self._arrival = now + (0.1 if late else self._rng.normal(parameters.bus_time, parameters.bus_jitter))
        self._next_reading = max(self._next_reading + PERIOD, now)


def clear_of_contact(model: mujoco.MjModel, data: mujoco.MjData, position: Vector) -> Vector:
    """Return joint positions near given ones at which no finger is in anything, nor beyond its stops.

    A hand whose calibration is off does not begin within the object: its fingers meet it, and press.

    Args:
        model: compiled scene.
        data: its state; the hand's joints are written.
        position: (12,) joint positions (rad).

    Returns:
        Joint positions (12,) (rad), with contacts of at most 0.3 mm where 40 small moves reach that.
    """
    joint = model.joint(HAND + JOINTS[0])
    qpos = slice(int(joint.qposadr[0]), int(joint.qposadr[0]) + len(JOINTS))
    dofs = slice(int(joint.dofadr[0]), int(joint.dofadr[0]) + len(JOINTS))
    ids = [model.joint(HAND + name).id for name in JOINTS]
    low, high = model.jnt_range[ids].T
    q = np.clip(position, low, high)
    moves = np.zeros((2, 3, model.nv))
    for _ in range(40):
        data.qpos[qpos] = q
        mujoco.mj_forward(model, data)
        deep = [data.contact[k] for k in range(data.ncon) if data.contact[k].dist < -_START_DEPTH]
        if not deep:
            break
        rows = []
        for contact in deep:
            for side, geom in enumerate((contact.geom1, contact.geom2)):
                mujoco.mj_jac(model, data, moves[side], None, contact.pos, int(model.geom_bodyid[geom]))
            rows.append((contact.frame[:3] @ (moves[1] - moves[0]))[dofs])
        away, depth = np.array(rows), np.array([-_START_DEPTH / 2 - contact.dist for contact in deep])
        step = away.T @ np.linalg.solve(away @ away.T + 1e-6 * np.eye(len(deep)), depth)
        q = np.clip(q + np.clip(step, -0.05, 0.05), low, high)
    return q


def check_command(position: ArrayLike, kp: int, ki: int, kd: int, tor_max: int, mode: int) -> Vector:
    """Return the position of a command as a new array (12,).

    Raises:
        ValueError: the hand cannot follow the command; the message says why.
    """
    q = np.array(position, dtype=np.float64)
    if q.shape != (len(JOINTS),) or not np.isfinite(q).all():
        raise ValueError(f"the hand needs {len(JOINTS)} finite joint targets in rad, got {position!r}")
    if mode not in (PASSIVE, POSITION):
        raise ValueError(f"the twin's hand knows modes {PASSIVE} (passive) and {POSITION} (position), got {mode!r}")
    if ki != 0:
        raise ValueError(f"the twin's hand has no integral gain: ki must be 0, got {ki!r}")
    if min(kp, kd, tor_max) < 0:
        raise ValueError(f"kp, kd and tor_max must not be negative, got {kp!r}, {kd!r} and {tor_max!r}")
    return q
