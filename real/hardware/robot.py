"""A UR5e and an XHand over the network: two drivers as one robot.

Importing this raises `gymnasium.error.DependencyNotInstalled` where the extra `real` is missing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import NoneType

from gymnasium.error import DependencyNotInstalled

from dexscrew_envs import extras
from dexscrew_envs.hands import XHAND_LEFT
from real.addresses import Addresses
from real.features import commanded, measured
from real.robot import ControlGains, Reading, RobotError, Vector, check_range

try:
    from real.hardware.ur5e import UR5e
    from real.hardware.xhand import XHand
except ModuleNotFoundError as error:
    raise DependencyNotInstalled(extras.missing(error.name or "zmq", "a robot on the network")) from error


@dataclass(frozen=True, kw_only=True)
class RobotConfig(Addresses, ControlGains):
    """Where arm and hand are, and with which gains they follow; both addresses are needed.

    Raises:
        ValueError: a value is out of its range, an address cannot be one, or it needs keys that are missing.
    """

    frequency: float = 125.0
    """Rate at which the arm's controller reports (Hz)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, example in (("arm", "192.168.1.10"), ("hand", "tcp://127.0.0.1:5557")):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"{name} must be an address, such as {example}, got {value!r}")
        for name in ("server_key", "client_key"):
            if not isinstance(getattr(self, name), (str, Path, NoneType)):
                raise ValueError(f"{name} must be the path of a file, got {getattr(self, name)!r}")
        check_range("frequency", self.frequency, 20, 500)
        try:
            XHand(self.hand, server_key=self.server_key, client_key=self.client_key)  # it connects nothing yet
        except RobotError as error:
            raise ValueError(str(error)) from None

    def robot(self, task: str, shape: str | None) -> UR5eXHand:
        """Return the robot; nothing is connected yet."""
        return UR5eXHand(self)


class UR5eXHand:
    """The robot on the network, hardware or a twin's server, as a `Robot`; its clock is `time.monotonic`.

    Args:
        config: addresses and gains.
    """

    real_time = True
    observation_features = measured(XHAND_LEFT)
    action_features = commanded(XHAND_LEFT)

    def __init__(self, config: RobotConfig) -> None:
        self.config = config
        self.arm = UR5e(config.arm, frequency=config.frequency, gain=config.gain, lookahead=config.lookahead)
        self.hand = XHand(config.hand, server_key=config.server_key, client_key=config.client_key)
        self._tick = time.monotonic()

    def check_task(self, task: str, shape: str | None) -> None:
        """See `Robot.check_task`; whoever mounts the object sees to it."""

    def start_trial(self, seed: int) -> None:
        """See `Robot.start_trial`."""
        self.recover()

    def sight(self) -> None:
        """See `Robot.sight`."""

    def render_state(self) -> None:
        """See `Robot.render_state`."""

    def connect(self) -> None:
        """See `Robot.connect`.

        Raises:
            RobotError: arm or hand cannot be reached, or is not ready; the message says what to do.
        """
        self.arm.connect()
        try:
            self.hand.connect()
        except BaseException:  # Ctrl-C too
            self.arm.close()
            raise
        self._tick = time.monotonic()

    def read(self) -> Reading:
        """See `Robot.read`."""
        return Reading(time.monotonic(), self.arm.read(), self.hand.read())

    def command(self, hand: Vector, arm: Vector) -> None:
        """See `Robot.command`."""
        kp, ki, kd = self.config.gains
        self.hand.command(hand, kp=kp, ki=ki, kd=kd, tor_max=self.config.torque_limit)
        self.arm.servo(arm)

    def wait(self, seconds: float) -> float:
        """See `Robot.wait`: sleep until then. A late call returns at once, and does not make up for it later.

        After a pause, when it would be late by more than `seconds`, it sleeps in full: what was just sent is to act for
        so long before anything is read or sent again.
        """
        began, now = self._tick, time.monotonic()
        time.sleep(max(0.0, began + seconds - now) if now - began <= 2 * seconds else seconds)
        self._tick = time.monotonic()
        return self._tick - began

    def stop(self) -> None:
        """See `Robot.stop`: each part is stopped even if the other cannot be."""
        try:
            self.arm.stop()
        finally:
            self.hand.hold()

    def recover(self) -> None:
        """See `Robot.recover`.

        Raises:
            RobotError: arm or hand is not ready; the message says what to do.
        """
        self.arm.recover()
        self.hand.recover()
        self._tick = time.monotonic()

    def close(self) -> None:
        """See `Robot.close`."""
        try:
            self.arm.close()
        finally:
            self.hand.close()
