"""Check a set-up step by step: first without moving, then, after a confirmation, with small motions.

`python -m real.doctor --arm 192.168.1.10 --hand tcp://127.0.0.1:5557`
`python -m real.doctor --arm 127.0.0.2 --hand tcp://127.0.0.2:5557 --move`     against the twin's server
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from dexscrew_envs import program
from dexscrew_envs.hands.xhand import FINGERS, JOINTS
from dexscrew_envs.program import Status
from real.addresses import AddressOptions
from real.hardware.robot import RobotConfig, UR5eXHand
from real.robot import ArmMode, RobotError
from real.safety import SafetyLayer, SafetyLimits, SafetyTrip

_DASHBOARD = 29999
_PORTS = {30004: "RTDE", 30003: "scripts", _DASHBOARD: "dashboard"}
_PERIOD = 0.05
_HAND_MOTION = 0.1
_ARM_MOTION = 0.02
_SETTLE = 1.0
_TACTILE_REST = 10


@dataclass(kw_only=True)
class Args:
    """Check a set-up before a policy runs on it."""

    addresses: AddressOptions
    move: bool = False
    """After the checks at rest, ask, then move every finger joint by 0.1 rad and the wrist by 0.02 rad, and back."""
    yes: bool = False
    """With --move: do not ask."""


@dataclass
class Doctor:
    """Runs checks in order; a check returns what it found, or raises RobotError with what to do."""

    args: Args
    robot: UR5eXHand = field(init=False)
    failed: list[str] = field(default_factory=list, init=False)
    """Names of the checks that failed."""
    moved: bool = field(default=False, init=False)
    """Whether the checks with motion were run."""

    def __post_init__(self) -> None:
        self.args.addresses.check_both()
        self.robot = UR5eXHand(RobotConfig(**vars(self.args.addresses)))

    def check(self, name: str, run: Callable[[], str]) -> bool:
        """Run a check and print a line about it; return whether it passed."""
        try:
            found = run()
        except RobotError as error:
            self.failed.append(name)
            print(f"FAIL  {name}: {error}", flush=True)
            return False
        print(f"ok    {name}: {found}", flush=True)
        return True

    # -- at rest ------------------------------------------------------------------------------------------------------

    def ports(self) -> str:
        """The arm's controller answers on its ports."""
        found = []
        for port, service in _PORTS.items():
            try:
                socket.create_connection((self.args.addresses.arm, port), timeout=2).close()
                found.append(f"{port} {service}")
            except OSError as error:
                if port == _DASHBOARD:
                    found.append("no dashboard, as on PolyScope X: protective stops are unlocked on the pendant")
                    continue
                raise RobotError(
                    f"nothing answers at {self.args.addresses.arm}:{port} ({service}): {error}; check power, cable and "
                    "address, and that the service is enabled on the controller"
                ) from error
        return ", ".join(found)

    def arm_connects(self) -> str:
        """The control program starts."""
        self.robot.arm.connect()
        return f"control program runs on {self.args.addresses.arm}"

    def arm_reads(self) -> str:
        """Readings of the arm are fresh and plausible."""
        times, state = set(), self.robot.arm.read()
        end = time.monotonic() + _SETTLE
        while time.monotonic() < end:
            state = self.robot.arm.read()
            times.add(state.time)
            time.sleep(0.002)
        rate = len(times) / _SETTLE
        if state.mode is not ArmMode.RUNNING:
            raise RobotError(f"the controller reports: {state.mode.value}")
        if rate < 20:
            raise RobotError(f"only {rate:.0f} readings per second; check network and load")
        limits = SafetyLimits()
        for k, (q, low, high) in enumerate(zip(state.q, limits.arm_lower, limits.arm_upper, strict=True)):
            if not low <= q <= high:
                raise RobotError(f"arm joint {k} is at {q:.2f} rad, limits {low:.2f} to {high:.2f}; move it by hand")
        if np.abs(state.qd).max() > 0.01:
            raise RobotError(f"the arm moves ({np.abs(state.qd).max():.3f} rad/s); let it stand still")
        force = np.linalg.norm(state.tcp_force[:3])
        if force > limits.wrist_force / 2:
            raise RobotError(
                f"the wrist reads {force:.0f} N at rest; set payload and centre of mass, and zero the sensor"
            )
        return f"{rate:.0f} Hz, q = {np.round(state.q, 2).tolist()} rad, {force:.1f} N at rest"

    def hand_connects(self) -> str:
        """The hand server answers."""
        self.robot.hand.connect()
        return f"hand server at {self.args.addresses.hand}"

    def hand_reads(self) -> str:
        """Readings of the hand are fresh and plausible."""
        times, frames, state = set(), set(), self.robot.hand.read()
        end = time.monotonic() + _SETTLE
        while time.monotonic() < end:
            state = self.robot.hand.read()
            times.add(state.time)
            frames.add(state.tactile_time)
            time.sleep(0.002)
        if state.errors:
            raise RobotError(f"the hand reports: {', '.join(state.errors)}")
        rate, tactile_rate = len(times) / _SETTLE, len(frames) / _SETTLE
        if min(rate, tactile_rate) < 20:
            raise RobotError(f"only {rate:.0f} joint and {tactile_rate:.0f} tactile readings per second; check the bus")
        limits = SafetyLimits()
        for name, q, low, high in zip(JOINTS, state.q, limits.hand_lower, limits.hand_upper, strict=True):
            if not low - 0.05 <= q <= high + 0.05:
                raise RobotError(f"{name} reads {q:.2f} rad, limits {low:.2f} to {high:.2f}; calibrate the hand")
        return f"joints {rate:.0f} Hz, taxels {tactile_rate:.0f} Hz"

    def taxels(self) -> str:
        """The fingertips read near zero when nothing touches them."""
        self.robot.hand.zero_tactile()
        time.sleep(0.2)
        rest = np.abs(self.robot.hand.read().resultant).max(axis=1)
        for finger, count in zip(FINGERS, rest, strict=True):
            if count > _TACTILE_REST:
                raise RobotError(
                    f"the {finger} fingertip reads {count} counts after zeroing, limit {_TACTILE_REST}; nothing may "
                    "touch it"
                )
        return "largest count of a resultant at rest " + ", ".join(
            f"{finger} {count}" for finger, count in zip(FINGERS, rest, strict=True)
        )

    # -- with motion --------------------------------------------------------------------------------------------------

    def fingers_move(self) -> str:
        """Every joint of the hand, and no other, moves the way that it is told."""
        safety = self._armed()
        try:
            start = safety.hand_target.copy()
            for k, name in enumerate(JOINTS):
                # First away from what may be under the hand. What a finger lies against blocks it one way, no more.
                if not any(self._joint_moves(safety, start, k, wanted) for wanted in (-_HAND_MOTION, _HAND_MOTION)):
                    raise RobotError(
                        f"{name} moves neither way by {_HAND_MOTION} rad; check its gains and what blocks it"
                    )
        finally:
            safety.close()
        return f"{len(JOINTS)} joints, {_HAND_MOTION} rad and back"

    def _joint_moves(self, safety: SafetyLayer, start: np.ndarray, k: int, wanted: float) -> bool:
        """Move a joint by `wanted` rad and back, and return whether it followed.

        Raises `RobotError` if it went the other way or another joint went instead.
        """
        limits, goal, arm = SafetyLimits(), start.copy(), safety.arm_target.copy()
        goal[k] += wanted
        if not limits.hand_lower[k] <= goal[k] <= limits.hand_upper[k]:
            return False
        before = self.robot.hand.read().q.copy()
        self._go(safety, goal, arm)
        moved = self.robot.hand.read().q - before
        self._go(safety, start, arm)
        strongest = int(np.abs(moved).argmax())
        if abs(moved[strongest]) < 0.4 * abs(wanted):
            return False
        if strongest != k:
            raise RobotError(f"{JOINTS[k]} was told to move, and {JOINTS[strongest]} did: the order of joints is wrong")
        if moved[k] * wanted < 0:
            raise RobotError(f"{JOINTS[k]} moved the wrong way: its sign is wrong")
        return True

    def wrist_moves(self) -> str:
        """The last joint of the arm moves the way that it is told."""
        safety = self._armed()
        try:
            hand, start = safety.hand_target.copy(), safety.arm_target.copy()
            goal = start.copy()
            goal[5] += _ARM_MOTION
            before = self.robot.arm.read().q.copy()
            self._go(safety, hand, goal)
            moved = self.robot.arm.read().q - before
            self._go(safety, hand, start)
            if abs(moved[5] - _ARM_MOTION) > _ARM_MOTION / 2 or np.abs(moved[:5]).max() > _ARM_MOTION / 4:
                raise RobotError(
                    f"the wrist was told to turn by {_ARM_MOTION} rad, and the arm moved {moved.round(4)} rad"
                )
        finally:
            safety.close()
        return f"wrist 3, {_ARM_MOTION} rad and back"

    def _armed(self) -> SafetyLayer:
        safety = SafetyLayer(self.robot, SafetyLimits(), _PERIOD, real_time=True)
        try:
            safety.reset()
        except SafetyTrip:
            safety.close()
            raise
        return safety

    def _go(self, safety: SafetyLayer, hand: np.ndarray, arm: np.ndarray) -> None:
        """Command a goal until the robot has had time to get there."""
        self.robot.wait(0.0)
        for _ in range(round(_SETTLE / _PERIOD)):
            safety.command(hand, arm)
            self.robot.wait(_PERIOD)

    def run(self) -> bool:
        """Run the checks; return whether none failed. A check that others need ends the series when it fails.

        The checks with motion are run if they are asked for, those at rest passed and a person says yes; `verdict` says
        whether they were.
        """
        arm = (
            self.check("ports of the arm", self.ports)
            and self.check("arm connects", self.arm_connects)
            and self.check("arm reads", self.arm_reads)
        )
        hand = self.check("hand connects", self.hand_connects) and self.check("hand reads", self.hand_reads)
        if hand:
            self.check("taxels at rest", self.taxels)
        if not self.args.move:
            return not self.failed
        if not (arm and hand and not self.failed):
            print("no motion: the checks above must pass first")
            return False
        if not (self.args.yes or _confirmed()):
            print("no motion")
            return True
        self.moved = True
        if self.check("fingers move", self.fingers_move):
            self.check("wrist moves", self.wrist_moves)
        return not self.failed

    @property
    def verdict(self) -> str:
        """What was found, in one line that claims no more than was checked."""
        if self.moved:
            return f"failed: {', '.join(self.failed)}" if self.failed else "all checks passed"
        if self.failed:
            return f"failed: {', '.join(self.failed)}; motion not checked"
        return "the checks at rest passed; motion not checked" + ("" if self.args.move else ", which --move does")


def _confirmed() -> bool:
    """Ask a person; no answer is a no."""
    print("\nThe fingers will move by 0.1 rad and the wrist by 0.02 rad. Keep a hand on the emergency stop.")
    try:
        return input("Type yes to go on: ").strip().lower() in ("y", "yes")
    except (EOFError, OSError, RuntimeError, ValueError):  # standard input ended, is no terminal of ours, or is closed
        print()
        return False


def _check(args: Args) -> int:
    doctor = Doctor(args)
    with closing(doctor.robot):
        passed = doctor.run()
    print(doctor.verdict)
    return Status.DONE if passed else Status.STOPPED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 if no check failed, 3 if one did."""
    return program.main("real.doctor", Args, _check, argv, __doc__, follow_parent=True)


if __name__ == "__main__":
    sys.exit(main())
