"""The hand's guard: a process that makes the hand hold when its server was killed and could not.

A hand goes on to its last target when nobody talks to it any more. So the server starts this process, in a session of
its own, and tells it through a pipe with which gains the hand is commanded. If the pipe ends without a goodbye, the
guard opens the hand, reads it, and makes it hold its present joint positions. A hand that was not commanded is left
alone. Needs no more than `real.hardware.hand_device`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import BinaryIO

from dexscrew_envs.program import ENDING_SIGNALS
from real.hardware.hand_device import Gains, HandDevice
from real.hardware.hand_sdk import load_sdk
from real.robot import RobotError

_READY = b"ready\n"
_GOODBYE = "goodbye"
_START_TIMEOUT = 30.0
_END_TIMEOUT = 2.0
_PATIENCE = 2.0  # for a hand that does not answer at once, as a port that is just being released


class HandGuard:
    """The server's side: starts the guard's process.

    Args:
        port: of the hand, as for `HandDevice`.
        ethercat: the hand is on EtherCAT.
        twin: the hand is a twin's.

    Raises:
        RobotError: the process cannot be started.
    """

    def __init__(self, port: str, *, ethercat: bool = False, twin: bool = False) -> None:
        options = ["--port", port, *["--ethercat"] * ethercat, *["--twin"] * twin]
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "real.hardware.hand_guard", *options],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True,
                env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)},
            )  # fmt: skip
        except OSError as error:
            raise RobotError(f"the hand's guard cannot be started: {error}") from error
        assert self.process.stdin is not None
        os.set_blocking(self.process.stdin.fileno(), False)  # the hand's thread must not wait for a guard that hangs

    def wait_until_ready(self) -> None:
        """Return when the guard can act at once.

        Raises:
            RobotError: it ended, or takes too long.
        """
        assert self.process.stdout is not None
        if not wait([self.process.stdout.fileno()], _START_TIMEOUT) or self.process.stdout.read(len(_READY)) != _READY:
            raise RobotError("the hand's guard does not start; look at what it printed")

    def check(self) -> None:
        """Check that the guard is there.

        Raises:
            RobotError: it ended, so that nobody would hold the hand after a kill.
        """
        status = self.process.poll()
        if status is not None:
            raise RobotError(f"the hand's guard ended (status {status}); start the hand server again")

    def tell(self, gains: Gains | None) -> None:
        """Say with which gains the hand is commanded from now on, or with None that it is not."""
        self._write(gains)

    def close(self, *, goodbye: bool) -> None:
        """End the guard.

        Args:
            goodbye: whether the hand rests; without it the guard makes it hold.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        if goodbye:
            self._write(_GOODBYE)
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(_PATIENCE + _END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stdout.close()

    def _write(self, message: Gains | str | None) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # a guard that is gone is noticed by `check`
            self.process.stdin.write(json.dumps(message).encode() + b"\n")


def follow(pipe: BinaryIO) -> Gains | None:
    """Follow what the server says, for as long as it lives; return the gains of a hand that it left, or None."""
    gains: Gains | None = None
    for line in pipe:  # waits without an end: the guard has nothing else to do
        with contextlib.suppress(ValueError):  # half a line, from a server that was killed while it wrote
            message = json.loads(line)
            if message == _GOODBYE:
                return None
            gains = None if message is None else (message[0], message[1], message[2], message[3])
    return gains


def hold(device: HandDevice, gains: Gains) -> None:
    """Make a hand hold its present joint positions; try for two seconds.

    Raises:
        RobotError: it did not answer.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return device.hold_unstarted(gains)
        except Exception as error:  # the SDK may raise anything
            if time.monotonic() > end:
                raise RobotError(f"the hand's server is gone, and the hand could not be held: {error}") from error
        time.sleep(0.01)


def main(arguments: Sequence[str] | None = None) -> int:
    """Guard a hand until its server is gone; return the exit status."""
    for number in ENDING_SIGNALS:  # they are sent to the server too, after whose end this one ends
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    parser = argparse.ArgumentParser(
        prog="python -m real.hardware.hand_guard", description="The hand server starts it."
    )
    parser.add_argument("--port", required=True)
    parser.add_argument("--ethercat", action="store_true")
    parser.add_argument("--twin", action="store_true")
    args = parser.parse_args(arguments)
    try:
        device = HandDevice(load_sdk(args.twin), args.port, ethercat=args.ethercat)
        sys.stdout.buffer.write(_READY)
        sys.stdout.flush()
        gains = follow(sys.stdin.buffer)
        if gains is None:
            return 0
        hold(device, gains)
        report = "the hand's server is gone; the hand holds its position"
    except RobotError as error:
        report = str(error)
    with contextlib.suppress(OSError):
        print(report, file=sys.stderr, flush=True)
    return 3


if __name__ == "__main__":
    sys.exit(main())
