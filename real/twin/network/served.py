"""A twin behind a server of its own, driven over the network as the robot is.

What only a twin can tell, such as its turns, comes beside the network.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import tempfile
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dexscrew_envs import program
from dexscrew_envs.hands import XHAND_LEFT
from real.features import commanded, measured
from real.hardware.robot import RobotConfig, UR5eXHand
from real.robot import ControlGains, Progress, Reading, RobotError, SetupError, Vector
from real.twin.network.addresses import free_address
from real.twin.network.hand_port import HandPort, HandServerProcess
from real.twin.network.server import TwinServer
from real.twin.parameters import STRATA
from real.twin.plant import Plant
from real.twin.robot import progress_of

_START_TIMEOUT = 60.0
_END_TIMEOUT = 5.0
_ANSWER_TIMEOUT = 2.0


@dataclass(frozen=True, kw_only=True)
class ServedTwinConfig(ControlGains):
    """A twin behind a server on this computer, at wall-clock speed.

    Raises:
        ValueError: a value is out of its range, or the stratum is unknown.
    """

    stratum: str = "nominal"
    """Group of parameter ranges: easy, nominal, hard or extreme; see docs/twin.md."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stratum not in STRATA:
            raise ValueError(f"unknown stratum {self.stratum!r}; choose from {', '.join(STRATA)}")

    def robot(self, task: str, shape: str | None) -> ServedTwin:
        """Return such a twin; nothing is started yet."""
        return ServedTwin(self, task, shape)


class ServedTwin:
    """A `Robot`: the drivers of the real one, connected to a server that begins anew with each trial.

    Args:
        config: of the twin.
        task: that it is there for.
        shape: of the object; None is the task's first.
    """

    real_time = True
    observation_features = measured(XHAND_LEFT)
    action_features = commanded(XHAND_LEFT)

    def __init__(self, config: ServedTwinConfig, task: str, shape: str | None) -> None:
        self.config, self._task, self._shape = config, task, shape
        self._stack = contextlib.ExitStack()
        self._robot: UR5eXHand | None = None
        self._asks: Connection | None = None
        self._asking = threading.Lock()  # the safety layer reads from a thread of its own
        self._printed = Path()
        """File with what the server printed."""

    def check_task(self, task: str, shape: str | None) -> None:
        """See `Robot.check_task`."""
        if (task, shape) != (self._task, self._shape):
            raise ValueError(f"the twin is one of a {self._shape or 'first'} {self._task}, not of a {shape} {task}")

    def connect(self) -> None:
        """Start a server, and connect to it; see `Robot.connect`."""
        self._begin(0)

    def start_trial(self, seed: int) -> None:
        """End the server, and start that of another trial; see `Robot.start_trial`."""
        self._begin(seed)

    def _begin(self, seed: int) -> None:
        self.close()
        host = free_address()
        if host is None:
            raise SetupError("no address of 127.0.0.0/24 is free for a twin; end one of those that are served")
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        with contextlib.ExitStack() as stack:
            self._printed = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "printed.txt"
            arguments = (there, self._printed, host, self._task, self._shape, self.config, seed)
            process = context.Process(target=_be_server, args=arguments, name=f"twin at {host}")
            process.start()
            there.close()
            stack.callback(_end, process)
            stack.callback(here.close)  # first: the server ends by itself then
            self._asks = here
            self._answer(_START_TIMEOUT)
            gains = {name: getattr(self.config, name) for name in ("gain", "lookahead", "gains", "torque_limit")}
            robot = UR5eXHand(RobotConfig(arm=host, hand=f"tcp://{host}:5557", **gains))
            robot.connect()
            stack.callback(robot.close)
            self._robot, self._stack = robot, stack.pop_all()

    def _answer(self, timeout: float = _ANSWER_TIMEOUT) -> Any:
        assert self._asks is not None
        with contextlib.suppress(EOFError, OSError):
            if self._asks.poll(timeout):
                return self._asks.recv()
        lines = self._printed.read_text(errors="replace").splitlines() if self._printed.exists() else []
        last = f"; it printed last: {lines[-1]}" if lines else ""
        raise RobotError(f"the twin's server ended, or gave no answer within {timeout:g} s{last}")

    @property
    def _connected(self) -> UR5eXHand:
        if self._robot is None:
            raise RobotError("the twin's server does not run; reset first")
        return self._robot

    def read(self) -> Reading:
        """See `Robot.read`; turns are those of now."""
        reading = self._connected.read()
        with self._asking:
            assert self._asks is not None
            with contextlib.suppress(OSError):  # it ended, as `_answer` says
                self._asks.send(None)
            progress = self._answer()
        return Reading(reading.time, reading.arm, reading.hand, progress)

    def command(self, hand: Vector, arm: Vector) -> None:
        """See `Robot.command`."""
        self._connected.command(hand, arm)

    def wait(self, seconds: float) -> float:
        """See `Robot.wait`."""
        return self._connected.wait(seconds)

    def sight(self) -> None:
        """See `Robot.sight`; nobody looks at it over the network."""

    def render_state(self) -> None:
        """See `Robot.render_state`."""

    def stop(self) -> None:
        """See `Robot.stop`."""
        self._connected.stop()

    def recover(self) -> None:
        """See `Robot.recover`."""
        self._connected.recover()

    def close(self) -> None:
        """See `Robot.close`; the server ends, too."""
        stack, self._stack = self._stack, contextlib.ExitStack()
        self._robot = self._asks = None
        stack.close()


def _end(process: Any) -> None:
    process.join(_END_TIMEOUT)
    process.terminate()
    process.join(_END_TIMEOUT)
    process.kill()
    process.join(_END_TIMEOUT)


def _be_server(
    asked: Connection, printed: Path, host: str, task: str, shape: str | None, config: ServedTwinConfig, seed: int
) -> None:
    """Serve a twin until its parent closes the pipe, or ends."""
    with open(printed, "w", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.exit(program.run(lambda: _serve(asked, host, task, shape, config, seed), follow_parent=True))


def _serve(asked: Connection, host: str, task: str, shape: str | None, config: ServedTwinConfig, seed: int) -> None:
    plant = Plant(task, shape, stratum=config.stratum, seed=seed)
    server = TwinServer(plant, host)

    def answer() -> Progress:
        with server.lock:
            return progress_of(plant)

    with contextlib.ExitStack() as stack:
        stack.enter_context(server)
        port = HandPort(plant, server.lock, host)
        stack.callback(port.close)
        port.start()
        stack.callback(HandServerProcess(host).close)
        asked.send(answer())
        with contextlib.suppress(EOFError, OSError):  # the parent closed the pipe
            while True:
                asked.recv()
                asked.send(answer())
