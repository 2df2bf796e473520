"""How the arm's controller turns commands into joint positions, every 2 ms.

The arm itself follows these positions closely (its Cartesian stiffness is tens of N/mm), so that what a policy feels of
the arm is mostly this.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from real.kinematics import check_joints
from real.robot import Vector

TIMESTEP = 0.002
"""Period of the controller (s)."""
MAX_SPEED = math.pi
"""Largest joint speed (rad/s): 180 degrees/s on every joint of the UR5e."""
MAX_ACCELERATION = 15.0
"""Largest joint acceleration while servoing (rad/s^2); UR publishes none, an estimate."""
GAIN = (100.0, 2000.0)
"""Range of servoJ's gain, from UR's script manual."""
LOOKAHEAD = (0.03, 0.2)
"""Range of servoJ's lookahead time (s), from UR's script manual."""

_AT_REST = 1e-6


class ArmController:
    """Commanded joint motion of the arm.

    A command replaces the one before and persists: servoing goes on to its last target for ever.

    Args:
        q: (6,) joint positions at the start (rad).
        gain_factor: what servoJ's gain is multiplied by; it is known only by its effect.
        lookahead_factor: what servoJ's lookahead time is multiplied by.

    Attributes:
        q: (6,) commanded joint positions (rad).
        qd: (6,) commanded joint velocities (rad/s).
    """

    def __init__(self, q: Vector, *, gain_factor: float = 1.0, lookahead_factor: float = 1.0) -> None:
        self.q = check_joints(q)
        self.qd = np.zeros_like(self.q)
        self.gain_factor = gain_factor
        self.lookahead_factor = lookahead_factor
        self._command: Callable[[float], None] = self._rest
        self._arrived = True

    @property
    def moving(self) -> bool:
        """Whether a move has not arrived yet, or any joint has speed."""
        return not self._arrived or bool((np.abs(self.qd) > _AT_REST).any())

    def servo(self, q: Vector, *, lookahead: float = 0.1, gain: float = 300.0) -> None:
        """Follow a target as servoJ does: `q'' = gain (target - q - lookahead q')`.

        UR describes gain as a proportional one and lookahead as time by which the present velocity is projected; read
        literally, this equation follows. It lags a ramp by exactly the lookahead time, as users measured.

        Args:
            q: (6,) target (rad).
            lookahead: 0.03 to 0.2 s.
            gain: 100 to 2000 s^-2.

        Raises:
            ValueError: a wrong shape, a number that is not finite, or out of range.
        """
        goals = check_joints(q, "the target").tolist()
        for name, value, (low, high) in (("gain", gain, GAIN), ("lookahead", lookahead, LOOKAHEAD)):
            if not low <= value <= high:
                raise ValueError(f"{name} of servoJ must be between {low:g} and {high:g}, got {value}")
        stiffness, horizon = gain * self.gain_factor, lookahead * self.lookahead_factor

        def command(dt: float) -> None:
            # Plain numbers: several times faster than arrays of six.
            positions, velocities = self.q.tolist(), self.qd.tolist()
            if positions == goals and not any(velocities):
                return
            for joint, (goal, position, velocity) in enumerate(zip(goals, positions, velocities, strict=True)):
                acceleration = stiffness * (goal - position - horizon * velocity)
                if abs(acceleration) > MAX_ACCELERATION:
                    acceleration = math.copysign(MAX_ACCELERATION, acceleration)
                velocity += acceleration * dt
                if abs(velocity) > MAX_SPEED:
                    velocity = math.copysign(MAX_SPEED, velocity)
                velocities[joint], positions[joint] = velocity, position + velocity * dt
            self.q, self.qd = np.array(positions), np.array(velocities)

        self._start(command)

    def move(self, q: Vector, speed: float, acceleration: float) -> None:
        """Move on a straight line in joint space as moveJ does, all joints arriving together; if moving, stop before.

        Args:
            q: (6,) goal (rad).
            speed: that of the joint with the longest way (rad/s).
            acceleration: likewise (rad/s^2).

        Raises:
            ValueError: a wrong shape, a number that is not finite, or a speed or acceleration that is not positive.
        """
        goal = check_joints(q, "the goal")
        _check_positive(speed, "speed")
        _check_positive(acceleration, "acceleration")
        start, elapsed = self.q, 0.0

        def command(dt: float) -> None:
            nonlocal start, elapsed
            if not elapsed and self.qd.any():
                self._accelerate(np.zeros_like(self.qd), acceleration, dt)
                start = self.q
                return
            elapsed += dt
            way = goal - start
            longest = float(np.abs(way).max())
            done, rate, self._arrived = _trapezoid(longest, min(speed, MAX_SPEED), acceleration, elapsed)
            scale = way / longest if longest else way
            self.q, self.qd = start + done * scale, rate * scale

        self._start(command, arrived=False)

    def speed(self, qd: Vector, acceleration: float) -> None:
        """Change to constant joint velocities as speedJ does.

        Args:
            qd: (6,) velocities (rad/s).
            acceleration: that of the joint with the largest change (rad/s^2).

        Raises:
            ValueError: a wrong shape, a number that is not finite, or an acceleration that is not positive.
        """
        target = np.clip(check_joints(qd, "the velocities"), -MAX_SPEED, MAX_SPEED)
        _check_positive(acceleration, "acceleration")
        self._start(lambda dt: self._accelerate(target, acceleration, dt))

    def stop(self, deceleration: float = 10.0) -> None:
        """Come to rest, the fastest joint at this deceleration (rad/s^2).

        Raises:
            ValueError: a deceleration that is not positive.
        """
        self.speed(np.zeros_like(self.qd), deceleration)

    def freeze(self) -> None:
        """Hold the present joint positions at once, as brakes do."""
        self.qd = np.zeros_like(self.qd)
        self._start(self._rest)

    def step(self, dt: float = TIMESTEP) -> Vector:
        """Advance by `dt` (s); return the joint positions (6,) to track (rad)."""
        self._command(dt)
        return self.q

    def _start(self, command: Callable[[float], None], *, arrived: bool = True) -> None:
        self._command, self._arrived = command, arrived

    def _rest(self, dt: float) -> None:
        pass

    def _accelerate(self, target: Vector, acceleration: float, dt: float) -> None:
        change = target - self.qd
        largest = float(np.abs(change).max())
        self.qd = self.qd + change * min(1.0, acceleration * dt / largest) if largest else self.qd
        self.q = self.q + self.qd * dt


def _check_positive(value: float, name: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} of a motion must be a positive number, got {value}")


def _trapezoid(distance: float, speed: float, acceleration: float, time: float) -> tuple[float, float, bool]:
    """Return distance covered, speed, and whether it is over, `time` into a move from rest to rest."""
    peak = min(speed, math.sqrt(distance * acceleration))
    ramp = peak / acceleration
    total = distance / peak + ramp if peak else 0.0
    if time >= total:
        return distance, 0.0, True
    if time > total - ramp:
        return distance - acceleration * (total - time) ** 2 / 2, acceleration * (total - time), False
    if time > ramp:
        return peak * (time - ramp / 2), peak, False
    return acceleration * time**2 / 2, acceleration * time, False
