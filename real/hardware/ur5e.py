"""The arm: a UR5e, through ur_rtde in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path

import msgspec
import numpy as np

from real.hardware.arm_process import (
    CONNECT_TIMEOUT,
    HANG_TIMEOUT,
    MAX_MESSAGE,
    Close,
    Failed,
    Options,
    Servo,
    State,
    Stop,
)
from real.kinematics import check_joints
from real.robot import ArmMode, ArmState, RobotError, Vector

RTDE_PORT = 30004
"""Where a controller listens for clients of its real-time data exchange; it cannot be changed there."""

_PROBE_TIMEOUT = 2.0
_CLOSE_TIMEOUT = 3.0
_END_TIMEOUT = 1.0  # for a killed process to be gone, and for the thread that listened to it


class UR5e:
    """Driver of the arm.

    The controller runs ur_rtde's program, which follows the newest target. The arm comes to rest without a new target
    for `dead_man` seconds, when this process ends, and, by the controller's watchdog, when the driver's process ends.

    Args:
        address: of the controller.
        frequency: rate of readings and of servoing (Hz), up to 500.
        gain: of servoJ, 100 to 2000; by default the authors' value.
        lookahead: of servoJ, 0.03 to 0.2 s; by default the authors' value.
        dead_man: time without a new target, or without a new reading, after which the arm stops (s).
        watchdog: rate of commands below which the controller stops the arm (Hz).

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        address: str,
        *,
        frequency: float = 125.0,
        gain: float = 100.0,
        lookahead: float = 0.2,
        dead_man: float = 0.15,
        watchdog: float = 10.0,
    ) -> None:
        ranges = {"frequency": (frequency, 20, 500), "gain": (gain, 100, 2000), "lookahead": (lookahead, 0.03, 0.2),
                  "dead_man": (dead_man, 0.02, 1), "watchdog": (watchdog, 1, 50)}  # fmt: skip
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                raise ValueError(f"{name} of the arm must be between {low:g} and {high:g}, got {value}")
        self._options = Options(
            address=address, frequency=frequency, gain=gain, lookahead=lookahead, dead_man=dead_man,
            watchdog=watchdog, unlock=False,
        )  # fmt: skip
        self._worker: _Worker | None = None

    def connect(self) -> None:
        """Connect, or connect again, and start the control program; return with a first reading.

        Raises:
            RobotError: nothing listens there, or the arm cannot be controlled; the message says why and what to do.
        """
        self._start(self._options)

    def recover(self) -> None:
        """Unlock a protective stop, if there is one, and start the control program again, on a new connection.

        Raises:
            RobotError: the arm is not ready; a controller refuses to unlock within 5 s of a protective stop.
        """
        self._start(msgspec.structs.replace(self._options, unlock=True))

    def read(self) -> ArmState:
        """Return the newest reading at once; its time is that of this host's `time.monotonic` when it was new.

        Raises:
            RobotError: the arm was never connected.
        """
        worker = self._connected()
        assert worker.state is not None
        return worker.state if worker.alive else replace(worker.state, mode=ArmMode.LOST)

    def servo(self, q: Vector) -> None:
        """Follow a target (6,) (rad) until the next; it must come within `dead_man` seconds.

        Raises:
            RobotError: it is not 6 finite numbers, or the arm does not follow targets now; the message says why.
        """
        try:
            target = check_joints(q, "the target")
        except ValueError as error:
            raise RobotError(str(error)) from error
        worker = self._connected()
        mode = self.read().mode
        if mode is ArmMode.LOST:
            raise RobotError(f"the connection to the arm is lost ({worker.reason}); call connect()")
        if mode is not ArmMode.RUNNING:
            raise RobotError(f"the arm does not follow targets: {mode.value}; call recover() when its cause is gone")
        worker.send(Servo(target.tolist()))

    def stop(self) -> None:
        """Come to rest; safe at any time."""
        worker = self._worker
        if worker is not None:
            worker.send(Stop())

    def close(self) -> None:
        """Come to rest, and disconnect; safe at any time."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    @property
    def pid(self) -> int | None:
        """Process identifier of the process with the connection, or None without one."""
        worker = self._worker
        return worker.process.pid if worker else None

    def _connected(self) -> _Worker:
        worker = self._worker
        if worker is None:
            raise RobotError("the arm is not connected; call connect()")
        return worker

    def _start(self, options: Options) -> None:
        self.close()
        _check_library()
        _probe(options.address)
        try:
            worker = _Worker(msgspec.structs.replace(options, parent=os.getpid()))
        except (OSError, RuntimeError) as error:
            raise RobotError(f"the driver of the arm cannot start: {error}") from error
        try:
            worker.wait_until_ready()
        except BaseException:  # Ctrl-C too
            worker.close()
            raise
        self._worker = worker


def _check_library() -> None:
    """Find out whether ur_rtde is there, which has no wheels for some machines."""
    if importlib.util.find_spec("rtde_control") is None:
        raise RobotError(
            f"the arm's driver needs ur_rtde, which Python {platform.python_version()} on {platform.system()} "
            f"{platform.machine()} does not have; its wheels are for Python 3.11 and 3.12 on x86-64 Linux, where "
            "`pip install dexscrew[real]` installs it"
        )


def _probe(address: str) -> None:
    """Find out quickly whether a controller listens, for which ur_rtde takes long."""
    try:
        socket.create_connection((address, RTDE_PORT), _PROBE_TIMEOUT).close()
    except (OSError, ValueError) as error:  # a ValueError is that of a name that no host can have
        raise RobotError(
            f"no arm answers at {address}, port {RTDE_PORT} ({error}); check the address and that its controller is "
            f"on, or start a twin: python -m real.twin --host {address}"
        ) from error


class _Worker:
    """The driver's process, and a thread that takes its messages.

    Attributes:
        state: newest reading, or None before the first.
        alive: whether the process is there and reports.
        reason: why it ended.
    """

    def __init__(self, options: Options) -> None:
        self.state: ArmState | None = None
        self.alive = True
        self.reason = "its driver's process ended"
        self._ready = threading.Event()
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        self._pipe, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other, contextlib.ExitStack() as undo:
            undo.callback(self._pipe.close)
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "real.hardware.arm_process",
                    msgspec.json.encode(options).decode(),
                    str(other.fileno()),
                ],
                pass_fds=[other.fileno()],
                env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)},
                start_new_session=True,  # Ctrl-C is for this process, which then stops the arm
            )
            undo.callback(self._end)
            self._thread = threading.Thread(target=self._listen, name="arm", daemon=True)
            self._thread.start()
            undo.pop_all()

    def wait_until_ready(self) -> None:
        """Return with the first reading.

        Raises:
            RobotError: the process ended instead.
        """
        self._ready.wait(CONNECT_TIMEOUT + _END_TIMEOUT)  # `_listen` gives up before
        if self.state is None:
            raise RobotError(self.reason)

    def send(self, message: Servo | Stop | Close) -> None:
        """Send a message, if the process is there; it is lost if that hangs."""
        with contextlib.suppress(OSError):
            self._pipe.send(msgspec.msgpack.encode(message), socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Ask the process to stop the arm and to end; kill it if it does not."""
        self.send(Close())
        with contextlib.suppress(OSError):
            self._pipe.shutdown(socket.SHUT_WR)  # which cannot be lost, as a message can
        self._end(_CLOSE_TIMEOUT)
        self._thread.join(_END_TIMEOUT)
        self._pipe.close()

    def _end(self, timeout: float = 0.0) -> None:
        """Wait for the end of the process, and kill it if that takes too long."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_END_TIMEOUT)

    def _receive(self, timeout: float) -> bytes:
        if not wait([self._pipe], timeout):
            raise TimeoutError
        return self._pipe.recv(MAX_MESSAGE, socket.MSG_DONTWAIT)

    def _listen(self) -> None:
        try:
            self._take_messages()
        except TimeoutError:
            self.reason = "its driver's process did not report in time"
            self.process.kill()  # the controller's watchdog then stops the arm
        except ConnectionError:
            pass  # it ended
        except BaseException as error:  # any error: the caller that waits must know, and the arm must stop
            self.reason = f"what its driver's process sends cannot be taken: {error!r}"
            self.send(Close())
        finally:
            self.alive = False
            self._ready.set()

    def _take_messages(self) -> None:
        """Take messages until the process says why it ends, or ends."""
        decode = msgspec.msgpack.Decoder(State | Failed).decode
        while data := self._receive(HANG_TIMEOUT if self._ready.is_set() else CONNECT_TIMEOUT):
            message = decode(data)
            if isinstance(message, Failed):
                self.reason = message.reason
                return
            self.state = ArmState(
                message.time, np.array(message.q), np.array(message.qd), np.array(message.tcp_pose),
                np.array(message.tcp_force), message.mode,
            )  # fmt: skip
            self._ready.set()
