"""What every robot offers: one reading, one command, one way to stop.

`UR5eXHand` (hardware, or the twin's server) and `TwinRobot` (the twin in this process) are robots. Vectors of the hand
are in policy order (`JOINTS` of `dexscrew_envs.hands.xhand`), fingertips in that of `FINGERS`, arm joints from base to
wrist.
Poses are those of the tool flange in the controller's base frame: position (m), then a rotation vector (rad). Nothing
here moves by itself: what a policy wants passes the safety layer first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dexscrew_envs.program import Status

if TYPE_CHECKING:
    from real.features import Features  # the computer of a hand server has no Gymnasium

Vector = NDArray[np.float64]

TAXELS = 120
"""Taxels of a fingertip."""

MAX_GAIN = 400
"""Largest gain of the hand, and largest current limit (mA): users of the hand publish none larger."""


class RobotError(RuntimeError):
    """The robot cannot do what was asked; the message says why, and what to do."""

    exit_status = Status.STOPPED


class SetupError(RobotError):
    """An address, a key, or what must be installed is wrong; nothing was begun."""

    exit_status = Status.REFUSED


class ArmMode(Enum):
    """What the arm's controller is doing."""

    RUNNING = "running"
    """Its control program runs and follows targets."""
    STOPPED = "stopped"
    """Its control program does not run."""
    PROTECTIVE_STOP = "protective stop"
    """It stopped by itself; someone must look, unlock it and start again."""
    EMERGENCY_STOP = "emergency stop"
    """A person stopped it."""
    LOST = "connection lost"
    """Nothing is known of it."""


@dataclass(frozen=True)
class ArmState:
    """The newest reading of the arm."""

    time: float
    """When it was taken, in the robot's clock (s)."""
    q: Vector
    """(6,) joint positions (rad)."""
    qd: Vector
    """(6,) joint velocities (rad/s)."""
    tcp_pose: Vector
    """(6,) pose of the flange in the base frame (m, rotation vector)."""
    tcp_force: Vector
    """(6,) force and torque at the flange, in the base frame (N, N m)."""
    mode: ArmMode
    """What its controller is doing."""


@dataclass(frozen=True)
class HandState:
    """The newest reading of the hand."""

    time: float
    """When the joints were read, in the robot's clock (s)."""
    q: Vector
    """(12,) joint positions, policy order (rad)."""
    current: Vector
    """(12,) motor currents (mA)."""
    tactile: NDArray[np.int16]
    """(5, 120, 3) raw counts of the taxels: two shear axes (-128 to 127) and the normal one (0 to 255)."""
    resultant: NDArray[np.int16]
    """(5, 3) raw counts of the force on each fingertip; not necessarily the sum of its taxels."""
    tactile_time: float
    """When the tactile frame was read, in the robot's clock (s)."""
    errors: tuple[str, ...] = ()
    """Errors of the newest exchange; readings that they concern keep their old time."""


@dataclass(frozen=True)
class Progress:
    """How far the task is."""

    turns: float
    """Turns of the nut or screw since the trial began."""
    needed: float | None = None
    """Turns after which it is fastened, where that is known."""
    finished: bool = False
    """Whether it is fastened."""
    lost: str = ""
    """Why the trial cannot be finished any more, in words."""
    released: float | None = None
    """When the person who holds a driver at the start let go (s), if one did."""


@dataclass(frozen=True)
class Sight:
    """What an eye at the scene sees of the object and the fingers, in the base frame."""

    grip: Vector
    """(3,) middle of what the fingers grip: the nut, or the driver's handle (m)."""
    axis: Vector
    """(3,) unit vector along its axis, upward."""
    tips: Vector
    """(F, 3) the F fingertips (m)."""


@dataclass(frozen=True)
class Reading:
    """Arm and hand together."""

    time: float
    """Now, in the robot's clock (s)."""
    arm: ArmState
    hand: HandState
    progress: Progress | None = None
    """How far the task is, where something measures it: on a twin."""

    def values(self) -> dict[str, NDArray[Any]]:
        """Return copies of what was measured, under the names of `real.features.measured`."""
        arm, hand = self.arm, self.hand
        return {
            "hand_q": hand.q.copy(), "hand_current": hand.current.copy(), "arm_q": arm.q.copy(),
            "arm_qd": arm.qd.copy(), "tcp_pose": arm.tcp_pose.copy(), "tcp_force": arm.tcp_force.copy(),
            "tactile": hand.tactile.copy(), "resultant": hand.resultant.copy(),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ControlGains:
    """How arm and hand follow their targets; the defaults are the authors' values.

    Raises:
        ValueError: a value is out of its range.
    """

    gain: float = 100.0
    """Gain of servoJ (100 to 2000); the softest that the controller takes."""
    lookahead: float = 0.2
    """Lookahead time of servoJ (0.03 to 0.2 s)."""
    gains: tuple[int, int, int] = (100, 0, 1)
    """kp, ki and kd of the hand in the vendor's units."""
    torque_limit: int = 100
    """Current limit of the hand's motors (mA)."""

    def __post_init__(self) -> None:
        check_range("gain", self.gain, 100, 2000)
        check_range("lookahead", self.lookahead, 0.03, 0.2)
        gains: object = self.gains
        if not isinstance(gains, (tuple, list)) or len(gains) != 3 or not all(map(_is_gain, gains)):
            raise ValueError(f"gains must be kp, ki and kd, three integers from 0 to {MAX_GAIN}, got {gains!r}")
        if not _is_gain(self.torque_limit):
            raise ValueError(f"torque_limit must be an integer from 0 to {MAX_GAIN} mA, got {self.torque_limit!r}")

    def robot(self, task: str, shape: str | None) -> Robot:
        """Return the robot that this configures, for a task and a shape of its object; connect nothing."""
        raise TypeError("robot must be 'twin', a TwinConfig or a RobotConfig, got what both have in common")


def check_range(name: str, value: object, low: float, high: float) -> None:
    """Raise ValueError unless a value is a number in a range."""
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
        raise ValueError(f"{name} must be a number between {low:g} and {high:g}, got {value!r}")


def _is_gain(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_GAIN


class Robot(Protocol):
    """A UR5e with an XHand."""

    real_time: bool
    """Whether its clock goes on by itself; that of a simulation goes on when somebody waits."""

    @property
    def observation_features(self) -> Features:
        """What it measures: name, type, shape, unit and range of each entry of `Reading.values`."""

    @property
    def action_features(self) -> Features:
        """What it takes: the same of each argument of `command`."""

    def check_task(self, task: str, shape: str | None) -> None:
        """Raise ValueError if this robot is there for another task or shape of the object."""

    def connect(self) -> None:
        """Open all connections and wait for first readings; raise RobotError if that fails."""

    def read(self) -> Reading:
        """Return the newest readings, however old; never block."""

    def command(self, hand: Vector, arm: Vector) -> None:
        """Send joint targets: hand (12,) in policy order and arm (6,) (rad)."""

    def wait(self, seconds: float) -> float:
        """Let time pass until `seconds` after the last return of this call; return the seconds that really passed."""

    def start_trial(self, seed: int) -> Vector | None:
        """Make ready for a trial; where it can be repeated, the seed fixes everything in it.

        Returns:
            The joint targets (12,) (rad) that the hand has already, or None where it has to be moved to the start pose.
            The arm stays where it is.

        Raises:
            RobotError: a stop has a cause that is still there.
        """

    def sight(self) -> Sight | None:
        """Return what an eye at the scene sees now, or None where nothing looks: on hardware."""

    def render_state(self) -> tuple[Any, Any] | None:
        """Return the MjModel and the MjData to draw, or None where there is nothing to draw."""

    def stop(self) -> None:
        """Stop the arm and let the hand hold its present joint positions; safe to call at any time, in any state."""

    def recover(self) -> None:
        """Make the robot ready again after a stop whose cause is gone; raise RobotError if it is not."""

    def close(self) -> None:
        """Stop, and close all connections."""
