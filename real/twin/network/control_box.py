"""The arm's control box: registers, safety state, and the program that moves the arm."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol

from real.kinematics import forward, jacobian
from real.robot import Vector
from real.twin.controller import TIMESTEP, ArmController
from real.twin.network.rtde import Value
from real.twin.network.script import ControlScript, parse_script

UNLOCK_DELAY = 5.0
"""Time after which a protective stop can be unlocked (s). Source: UR's manual "Dashboard Server"."""

_log = logging.getLogger(__name__)


class RobotMode(Enum):
    """State of the arm's power, by RTDE's number."""

    POWER_OFF = 3
    IDLE = 5
    RUNNING = 7


class SafetyMode(Enum):
    """State of the safety system, by RTDE's number."""

    NORMAL = 1
    PROTECTIVE_STOP = 3
    ROBOT_EMERGENCY_STOP = 7


_SAFETY_BITS = {
    SafetyMode.NORMAL: 1 << 0,
    SafetyMode.PROTECTIVE_STOP: 1 << 2 | 1 << 10,
    SafetyMode.ROBOT_EMERGENCY_STOP: 1 << 6 | 1 << 7 | 1 << 10,
}


class Plant(Protocol):
    """The arm as the control box needs it."""

    arm: ArmController
    protective_stop: bool

    @property
    def arm_q(self) -> Vector:
        """(6,) measured joint positions (rad)."""

    @property
    def arm_qd(self) -> Vector:
        """(6,) measured joint velocities (rad/s)."""

    @property
    def tcp_pose(self) -> Vector:
        """(6,) pose of the flange."""

    @property
    def tcp_force(self) -> Vector:
        """(6,) force and torque at the flange."""

    def step(self, count: int = 1) -> None:
        """Advance by `count` periods of the controller."""

    def trigger_protective_stop(self) -> None:
        """Stop the arm, as too large a force does."""

    def unlock(self) -> None:
        """End a protective stop."""


class ControlBox:
    """A controller of a UR5e, without its network.

    Args:
        plant: the arm and what it moves.
        version: of the controller's software: major, minor, bugfix.
        remote_control: whether programs may be sent over the network, a switch on the teach pendant.

    Attributes:
        tick: periods of 2 ms since it was switched on.
        inputs: input registers and other inputs that clients wrote; they outlive clients and programs.
        outputs: output registers, likewise.
        program: what runs, or None.
        frozen: a fault: readings stay as they are, while everything else goes on.
    """

    def __init__(
        self, plant: Plant, *, version: tuple[int, int, int] = (5, 13, 0), remote_control: bool = True
    ) -> None:
        self.plant = plant
        self.version = version
        self.remote_control = remote_control
        self.robot_mode = RobotMode.RUNNING
        self.tick = 0
        self.inputs: dict[str, Value] = {}
        self.outputs: dict[str, float] = {}
        self.program: ControlScript | None = None
        self.frozen = False
        self._emergency_stop = False
        self._stopped_at: int | None = None
        self._written_at = 0
        self._readings: dict[str, Value | None] = {}

    @property
    def safety_mode(self) -> SafetyMode:
        """State of the safety system."""
        if self._emergency_stop:
            return SafetyMode.ROBOT_EMERGENCY_STOP
        return SafetyMode.PROTECTIVE_STOP if self.plant.protective_stop else SafetyMode.NORMAL

    @property
    def input_age(self) -> float:
        """Time since a client last wrote the command register (s)."""
        return (self.tick - self._written_at) * TIMESTEP

    def step(self) -> None:
        """Advance by one period of 2 ms."""
        if self.program and not self.program.step():
            self.stop_program("it came to its end")
        self.plant.step()
        self.tick += 1
        if self.plant.protective_stop and self._stopped_at is None:
            self._stopped_at = self.tick
            self.plant.arm.freeze()
            self.stop_program("a protective stop")
        if not self.frozen:
            self._readings.clear()

    def upload(self, text: str) -> None:
        """Start a program; it replaces the one that runs. A program that cannot start is ignored, as controllers do."""
        program = parse_script(text, self)
        if program is None:
            _log.warning("a program was ignored: the twin runs ur_rtde's control program only")
        elif not self.remote_control:
            _log.warning("a program was ignored: the controller is in local control")
        elif self.safety_mode is not SafetyMode.NORMAL or self.robot_mode is not RobotMode.RUNNING:
            _log.warning("a program was ignored: the arm is in %s, %s", self.robot_mode.name, self.safety_mode.name)
        else:
            self.stop_program("another program")
            self.program = program
            self._written_at = self.tick
            program.start()

    def stop_program(self, reason: str) -> None:
        """End the program, if one runs, and let the arm come to rest."""
        if self.program is not None:
            _log.info("the program ended: %s", reason)
            self.program = None
            if self.safety_mode is SafetyMode.NORMAL:
                self.plant.arm.stop()

    def unlock(self) -> str | None:
        """End a protective stop; return why not, in the controller's words, or None."""
        if self._stopped_at is None:
            return None
        if (self.tick - self._stopped_at) * TIMESTEP < UNLOCK_DELAY:
            return (
                "Cannot unlock protective stop until 5s after occurrence. Always inspect cause of protective stop "
                "before unlocking"
            )
        self._stopped_at = None
        self.plant.unlock()
        return None

    def emergency_stop(self) -> None:
        """Press the emergency stop: the arm stands, its program ends, and its power goes."""
        self._emergency_stop = True
        self.robot_mode = RobotMode.POWER_OFF
        self.plant.arm.freeze()
        self.stop_program("an emergency stop")

    def release_emergency_stop(self) -> None:
        """Pull the emergency stop out again; then power and brakes remain to be switched."""
        self._emergency_stop = False

    def set_robot_mode(self, mode: RobotMode) -> bool:
        """Switch power or brakes; return whether that was possible."""
        if self._emergency_stop:
            return False
        if mode is RobotMode.POWER_OFF:
            self.plant.arm.freeze()
            self.stop_program("power off")
        elif mode is RobotMode.RUNNING and self.robot_mode is RobotMode.POWER_OFF:
            return False
        elif mode is RobotMode.IDLE and self.robot_mode is RobotMode.RUNNING:
            return True
        self.robot_mode = mode
        return True

    def write(self, values: Mapping[str, Value]) -> None:
        """Take inputs that one packet sets together."""
        self.inputs.update(values)
        if self.program and self.program.command_register in values:
            self._written_at = self.tick

    def read(self, name: str) -> Value | None:
        """Return an output: a register, or a reading; None for one that is not modelled."""
        if name.startswith("output_"):
            return self.outputs.get(name)
        if name not in self._readings:
            getter = _READINGS.get(name)
            self._readings[name] = getter(self) if getter else None
        return self._readings[name]

    def freeze_readings(self) -> None:
        """Let all readings, the time stamp included, stay as they are now."""
        for name in _READINGS:
            self.read(name)
        self.frozen = True

    def thaw_readings(self) -> None:
        """End `freeze_readings`."""
        self.frozen = False


_READINGS: dict[str, Callable[[ControlBox], Value]] = {
    "timestamp": lambda box: box.tick * TIMESTEP,
    "target_q": lambda box: box.plant.arm.q.tolist(),
    "target_qd": lambda box: box.plant.arm.qd.tolist(),
    "actual_q": lambda box: box.plant.arm_q.tolist(),
    "actual_qd": lambda box: box.plant.arm_qd.tolist(),
    "actual_TCP_pose": lambda box: box.plant.tcp_pose.tolist(),
    "actual_TCP_speed": lambda box: (jacobian(box.plant.arm_q) @ box.plant.arm_qd).tolist(),
    "actual_TCP_force": lambda box: box.plant.tcp_force.tolist(),
    "ft_raw_wrench": lambda box: box.plant.tcp_force.tolist(),
    "target_TCP_pose": lambda box: forward(box.plant.arm.q).tolist(),
    "target_TCP_speed": lambda box: (jacobian(box.plant.arm.q) @ box.plant.arm.qd).tolist(),
    "speed_scaling": lambda box: 1.0,
    "target_speed_fraction": lambda box: 1.0,
    "actual_main_voltage": lambda box: 48.0,
    "actual_robot_voltage": lambda box: 48.0,
    "joint_mode": lambda box: [253] * 6,
    "robot_mode": lambda box: box.robot_mode.value,
    "safety_mode": lambda box: box.safety_mode.value,
    "runtime_state": lambda box: 2 if box.program else 1,
    "robot_status_bits": lambda box: (box.robot_mode is not RobotMode.POWER_OFF) | (box.program is not None) << 1,
    "safety_status_bits": lambda box: _SAFETY_BITS[box.safety_mode],
}
