"""The process that holds the connection to the arm; `real.hardware.ur5e` starts it, and nobody else should.

The client library ur_rtde can crash the process that it runs in when a broken connection comes back, blocks in calls,
reports success after the connection is lost, and gives old readings as if they were new. So it lives here, is asked
each period whether it is connected and whether its readings are fresh, and this process ends when it is not.

However this process ends, it stops the arm first: when its parent ends for any reason, on a signal, on a malformed
message, on a fault of its own. Only if it is killed, or a call of ur_rtde hangs, must the controller's watchdog do so.
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import msgspec

from dexscrew_envs.program import ENDING_SIGNALS
from real.robot import ArmMode, RobotError

if TYPE_CHECKING:
    from rtde_control import RTDEControlInterface
    from rtde_receive import RTDEReceiveInterface

MAX_MESSAGE = 4096
"""Longest message of either side (bytes)."""
CONNECT_TIMEOUT = 20.0
"""Longest time to connect (s): ur_rtde waits up to 5 s for its program to start, and for ever for first readings."""
HANG_TIMEOUT = 4.0
"""Longest time that a call of ur_rtde may take (s): longer than it needs to notice a lost connection."""

_VARIABLES = [
    "timestamp", "actual_q", "actual_qd", "actual_TCP_pose", "actual_TCP_force",
    "robot_mode", "runtime_state", "robot_status_bits", "safety_status_bits",
]  # fmt: skip
_POWERED, _PLAYING = 7, 2  # values of robot_mode and runtime_state
_UNLOCK_TIMEOUT = 3.0
_REASON = 1000  # longest reason that is told (characters)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach and drive the arm; see `real.hardware.ur5e.UR5e`."""

    address: str
    frequency: float
    gain: float
    lookahead: float
    dead_man: float
    watchdog: float
    unlock: bool
    """Whether to unlock a protective stop first."""
    parent: int = 0
    """Identifier of the process that started this one: a copy of it may hold the other end of the pipe open."""


class State(msgspec.Struct, frozen=True, tag=True):
    """Sent every period: the newest reading, with the time (s, `time.monotonic`) when it was new."""

    time: float
    q: list[float]
    qd: list[float]
    tcp_pose: list[float]
    tcp_force: list[float]
    mode: ArmMode


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Sent before the process ends by itself."""

    reason: str


class Servo(msgspec.Struct, frozen=True, tag=True):
    """Asks to follow a target (rad)."""

    q: Annotated[list[float], msgspec.Meta(min_length=6, max_length=6)]


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Asks to come to rest."""


class Close(msgspec.Struct, frozen=True, tag=True):
    """Asks to come to rest, and to end."""


class ArmProcess:
    """One connection to the arm, from start to end.

    Args:
        options: how to reach and drive it.
        pipe: to the parent process; one message in one packet.
    """

    def __init__(self, options: Options, pipe: socket.socket) -> None:
        self._options = options
        self._pipe = pipe
        self._decode = msgspec.msgpack.Decoder(Servo | Stop | Close).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._target: list[float] | None = None
        self._target_time = 0.0
        self._servoing = False
        self._timestamp = 0.0
        self._state: State | None = None
        self._signal: int | None = None
        self._hangs_at = 0.0
        self._stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - stays open; there is none without a terminal

    def run(self) -> None:
        """Connect, and follow the parent's targets until it ends this, or is gone.

        Raises:
            RobotError: the arm cannot be controlled, or the connection was lost.
        """
        for number in ENDING_SIGNALS:
            with contextlib.suppress(OSError, ValueError):  # the C library keeps some for itself
                signal.signal(number, self._take_signal)
        self._limit_calls(CONNECT_TIMEOUT)
        self._connect()
        try:
            self._follow()
        finally:
            self._limit_calls(HANG_TIMEOUT)
            self._rest()

    def _take_signal(self, number: int, frame: FrameType | None) -> None:
        self._signal = number

    def _limit_calls(self, seconds: float) -> None:
        """End this process if a call of ur_rtde hangs, which holds the interpreter; the watchdog then stops the arm."""
        self._hangs_at = time.monotonic() + seconds
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._stderr)

    def _follow(self) -> None:
        period = 1 / self._options.frequency
        due = time.monotonic()
        while self._take_messages():
            if self._signal is not None:
                raise RobotError(f"its driver's process was told to end, by signal {self._signal}")
            if self._hangs_at - time.monotonic() < HANG_TIMEOUT - 1:
                self._limit_calls(HANG_TIMEOUT)
            if not self._connected():
                raise RobotError("the arm's controller closed the connection, or was silent for 2.5 s")
            self._report()
            self._act()
            due = max(due + period, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def _connected(self) -> bool:
        return self._receive.isConnected() and self._control.isConnected()

    def _rest(self) -> None:
        """Stop the arm and end the control program, if that can be reached."""
        if self._connected():
            try:
                self._stop()
            finally:
                self._control.stopScript()

    def _connect(self) -> None:
        try:
            from rtde_control import RTDEControlInterface
            from rtde_receive import RTDEReceiveInterface
        except ImportError as error:
            raise RobotError(f"ur_rtde, which the arm's driver needs, cannot be imported: {error}") from error
        options = self._options
        with _explained():
            self._receive: RTDEReceiveInterface = RTDEReceiveInterface(options.address, options.frequency, _VARIABLES)
        if options.unlock and self._receive.isProtectiveStopped():
            self._unlock()
        self._check_ready()
        with _explained():
            self._control: RTDEControlInterface = RTDEControlInterface(options.address, options.frequency)
        if not self._control.setWatchdog(options.watchdog):
            raise RobotError("the arm's controller did not take the watchdog; call recover()")

    def _check_ready(self) -> None:
        if self._receive.isEmergencyStopped():
            raise RobotError("the emergency stop of the arm is pressed; release it, and power the arm on")
        if self._receive.isProtectiveStopped():
            raise RobotError(
                "the arm is in a protective stop; look at what caused it, then unlock it on the teach pendant, or call "
                "recover()"
            )
        if self._receive.getRobotMode() != _POWERED:
            raise RobotError("the arm is not on; power it on and release its brakes, on the teach pendant")

    def _unlock(self) -> None:
        from dashboard_client import DashboardClient

        dashboard = DashboardClient(self._options.address)
        try:
            dashboard.connect(2000)
            dashboard.unlockProtectiveStop()
        except RuntimeError as error:
            raise RobotError(f"the protective stop of the arm was not unlocked: {error}") from error
        end = time.monotonic() + _UNLOCK_TIMEOUT
        while self._receive.isProtectiveStopped() and time.monotonic() < end:
            time.sleep(0.01)

    def _take_messages(self) -> bool:
        """Take what the parent sent; return False if it ended this, or is gone.

        Raises:
            msgspec.MsgspecError: it sent what is no message.
            ValueError: it sent a target that is not finite.
        """
        while True:
            try:
                data = self._pipe.recv(MAX_MESSAGE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return os.getppid() == self._options.parent
            except OSError:  # the parent is gone and left messages unread
                return False
            message = self._decode(data) if data else Close()
            if isinstance(message, Servo):
                if not all(map(math.isfinite, message.q)):
                    raise ValueError(f"the target {message.q} is not finite")
                self._target, self._target_time = message.q, time.monotonic()
            else:
                self._target = None
                if isinstance(message, Close):
                    return False

    def _report(self) -> None:
        receive = self._receive
        timestamp = receive.getTimestamp()
        if timestamp != self._timestamp or self._state is None:
            self._timestamp = timestamp
            self._state = State(
                time.monotonic(), receive.getActualQ(), receive.getActualQd(), receive.getActualTCPPose(),
                receive.getActualTCPForce(), self._mode(),
            )  # fmt: skip
        with contextlib.suppress(OSError):  # the parent does not read, or is gone, which `_take_messages` notices
            self._pipe.send(self._encode(self._state), socket.MSG_DONTWAIT)

    def _mode(self) -> ArmMode:
        if self._receive.isEmergencyStopped():
            return ArmMode.EMERGENCY_STOP
        if self._receive.isProtectiveStopped():
            return ArmMode.PROTECTIVE_STOP
        return ArmMode.RUNNING if self._receive.getRuntimeState() == _PLAYING else ArmMode.STOPPED

    def _act(self) -> None:
        """Send the newest target, stop if there is none, and keep the controller's watchdog quiet otherwise.

        While readings are old nothing is sent, so that the watchdog stops the arm: a call that waits for an answer
        might never return.
        """
        state, now, options = self._state, time.monotonic(), self._options
        assert state is not None
        if state.mode is not ArmMode.RUNNING or now - state.time > options.dead_man:
            self._target, self._servoing = None, False
        elif self._target is not None and now - self._target_time <= options.dead_man:
            self._servoing = True
            self._control.servoJ(self._target, 0.0, 0.0, 1 / options.frequency, options.lookahead, options.gain)
        elif self._servoing:
            self._stop()
        else:
            self._control.kickWatchdog()

    def _stop(self) -> None:
        if self._servoing:
            self._control.servoStop()
        self._target, self._servoing = None, False


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Say in our words why an interface of ur_rtde could not be constructed."""
    try:
        yield
    except RuntimeError as error:
        raise RobotError(_explain(str(error))) from error


def _explain(error: str) -> str:
    if "remote control" in error:
        return "the arm's controller is in local control; switch it to remote control on the teach pendant"
    if "already in use" in error:
        return "another program controls the arm, or a fieldbus is enabled on its controller; end it first"
    if "Failed to start control script" in error:
        return (
            "the arm's controller did not start the control program; look at its teach pendant, and whether it is in "
            "remote control, then call recover()"
        )
    return f"cannot connect to the arm: {error}"


def main() -> None:
    """Run with options (JSON) and the descriptor of the pipe as arguments."""
    pipe = socket.socket(fileno=int(sys.argv[2]))
    status = 0
    try:
        ArmProcess(msgspec.json.decode(sys.argv[1], type=Options), pipe).run()
    except BaseException as error:
        status = 1
        known = isinstance(error, RobotError)
        if not known:
            with contextlib.suppress(OSError):
                traceback.print_exception(error)
        reason = str(error) if known else f"its driver's process failed: {error!r}"
        with contextlib.suppress(OSError):
            pipe.settimeout(0.5)
            pipe.send(msgspec.msgpack.encode(Failed(reason[:_REASON])))
    os._exit(status)  # not through ur_rtde's destructors: they wait for its threads, which may crash


if __name__ == "__main__":
    main()
