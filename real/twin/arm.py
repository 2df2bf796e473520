"""The arm's body: joints that track what its controller commands, and a force sensor at the flange."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from real.robot import Vector
from real.twin.parameters import Parameters, Uniform, parameter
from real.twin.scene import ARM_JOINTS, HAND

_DRAWN_AHEAD = 250  # steps whose sensor errors are drawn at once, which is far cheaper than one by one


@dataclass(frozen=True, kw_only=True)
class ArmParameters(Parameters):
    """Motion and force sensor of the UR5e."""

    gain_factor: float = parameter(1.0, Uniform(0.7, 1.5))
    """servoJ's gain over the commanded one, as `q'' = gain (target - q - lookahead q')`. Confidence medium."""
    lookahead_factor: float = parameter(1.0, Uniform(0.9, 1.1))
    """servoJ's lookahead time over the commanded one; two users' measured lags confirm it. Confidence high."""
    force_bias: float = parameter(2.0, easy=Uniform(0.0, 1.0))
    """Standard deviation of the constant error of each axis of the force (N). Data sheet: accuracy 4 N."""
    torque_bias: float = parameter(0.1, easy=Uniform(0.0, 0.05))
    """The same for the torque (N m). Data sheet: accuracy 0.3 N m."""
    force_noise: float = parameter(0.5)
    """Standard deviation of the noise on each sample of the force (N); assumed."""
    torque_noise: float = parameter(0.02)
    """The same for the torque (N m); assumed."""
    force_drift: float = parameter(1.0)
    """Standard deviation that the force's bias gains in 10 minutes (N); assumed."""
    protective_force: float = parameter(150.0)
    """Force at the flange that stops the arm (N): the controller's default class of limits."""


class Arm:
    """The arm of a compiled scene.

    The controller compensates gravity and the payload, so nothing sags; against an external force the flange yields by
    some hundredths of a millimetre per newton.

    Args:
        model: compiled from `build_scene`.
        data: its state.
        parameters: of the sensor.
        rng: draws its errors.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, parameters: ArmParameters, rng: np.random.Generator
    ) -> None:
        self._data = data
        self.parameters = parameters
        count = len(ARM_JOINTS)
        joints = [model.joint(name) for name in ARM_JOINTS]
        self._q = data.qpos[int(joints[0].qposadr[0]) :][:count]
        self._qd = data.qvel[int(joints[0].dofadr[0]) :][:count]
        dofs = slice(int(joints[0].dofadr[0]), int(joints[0].dofadr[0]) + count)
        self._load, self._feedforward = data.qfrc_bias[dofs], data.qfrc_applied[dofs]
        first = model.actuator(ARM_JOINTS[0]).id
        self._ctrl = data.ctrl[first : first + count]
        gains, biases = model.actuator_gainprm[first : first + count], model.actuator_biasprm[first : first + count]
        self._velocity_lag = -biases[:, 2] / gains[:, 0]
        self._site = model.site(f"{HAND}sensor").id
        palm = model.body(f"{HAND}palm").id
        self._center = data.subtree_com[palm]
        self._weight = np.array([0.0, 0.0, -float(model.body_subtreemass[palm]) * np.linalg.norm(model.opt.gravity)])
        at = int(model.sensor("force").adr[0])
        self._force, self._torque = data.sensordata[at : at + 3], data.sensordata[at + 3 : at + 6]
        scale = np.repeat([parameters.force_bias, parameters.torque_bias], 3)
        self._rng = rng
        self._bias = scale * rng.standard_normal(6)
        self._noise = np.repeat([parameters.force_noise, parameters.torque_noise], 3)
        drift = parameters.force_drift * math.sqrt(model.opt.timestep / 600)
        # The torque drifts as the force does, as many times less as its nominal bias (0.1 N m) is less than that (2 N).
        self._drift = np.repeat([drift, drift * parameters.torque_bias / 2], 3)
        self._errors = self._bias[None]  # of the present step and those to come
        self._present = 0

    def track(self, q: Vector, qd: Vector) -> None:
        """Set what the joints track in the next physics step: positions and velocities (6,)."""
        np.multiply(self._velocity_lag, qd, out=self._ctrl)
        self._ctrl += q
        self._feedforward[:] = self._load

    def after_step(self) -> None:
        """Go on to the sensor's error of this step."""
        self._present += 1
        if self._present == len(self._errors):
            self._draw_errors()

    def _draw_errors(self) -> None:
        draws = self._rng.standard_normal((_DRAWN_AHEAD, 2, 6))
        drifted = np.cumsum(np.vstack([self._bias, self._drift * draws[:, 0]]), axis=0)[1:]
        self._bias = drifted[-1]
        self._errors = drifted + self._noise * draws[:, 1]
        self._present = 0

    @property
    def q(self) -> Vector:
        """(6,) joint positions (rad)."""
        return self._q.copy()

    @property
    def qd(self) -> Vector:
        """(6,) joint velocities (rad/s)."""
        return self._qd.copy()

    @property
    def raw_force(self) -> float:
        """Norm of the force in the wrist, without the sensor's errors, the payload's weight included (N)."""
        return math.hypot(*self._force.tolist())

    @property
    def tcp_force(self) -> Vector:
        """(6,) external force and torque at the flange, in the base frame, as measured (N, N m)."""
        rotation = self._data.site_xmat[self._site].reshape(3, 3)
        # The sensor gives what holds the hand up, the reaction to weight and external load.
        force, torque = -rotation @ self._force, -rotation @ self._torque
        lever = self._center - self._data.site_xpos[self._site]
        error = self._errors[self._present]
        return np.concatenate([force - self._weight, torque - np.cross(lever, self._weight)]) + error
