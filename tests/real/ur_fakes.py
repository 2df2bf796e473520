"""Stand-ins around the arm's controller: a plant without physics, and its twin in another process."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections.abc import Callable

import numpy as np

from real.kinematics import forward
from real.robot import RobotError
from real.twin.controller import TIMESTEP, ArmController
from real.twin.network import control_box
from real.twin.network.server import TwinServer

START = np.array([0.0, -1.2, 1.6, -0.4, 1.2, 0.1])
"""Joint positions at the start, away from singularities."""


class KinematicPlant:
    """An arm that is always exactly where its controller commands."""

    def __init__(self) -> None:
        self.arm = ArmController(START)
        self.protective_stop = False

    @property
    def arm_q(self):
        return self.arm.q

    @property
    def arm_qd(self):
        return self.arm.qd

    @property
    def tcp_pose(self):
        return forward(self.arm.q)

    @property
    def tcp_force(self):
        return np.zeros(6)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            if not self.protective_stop:
                self.arm.step(TIMESTEP)

    def trigger_protective_stop(self) -> None:
        self.arm.freeze()
        self.protective_stop = True

    def unlock(self) -> None:
        self.protective_stop = False


class RemoteTwin:
    """A twin of a kinematic plant in a process of its own, for a client in this one: ur_rtde's calls hold the GIL.

    Use it as a context manager; `call` runs a method of the server there, `q` reads the commanded joint positions.
    """

    def __init__(self, host: str, **options: object) -> None:
        context = multiprocessing.get_context("forkserver")  # a plain fork would copy the client's threads, halfway
        context.set_forkserver_preload(["real.twin.network.server"])
        self._pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, host, options), daemon=True)
        self.process.start()
        other.close()

    def __enter__(self):
        started = self._pipe.recv()
        if started is not None:
            raise RuntimeError(started)
        return self

    def __exit__(self, *_):
        self._pipe.close()
        self.process.join()

    def call(self, name: str, *args: object) -> None:
        self._pipe.send((name, args))
        self._pipe.recv()

    @property
    def q(self):
        self._pipe.send(("q", ()))
        return self._pipe.recv()


def _serve(pipe, host, options):
    control_box.UNLOCK_DELAY = options.pop("unlock_delay", control_box.UNLOCK_DELAY)
    try:
        with TwinServer(KinematicPlant(), host, **options) as server:
            pipe.send(None)
            while True:
                name, args = pipe.recv()
                pipe.send(server.box.plant.arm.q if name == "q" else getattr(server, name)(*args))
    except EOFError:
        pass
    except RobotError as error:
        pipe.send(str(error))


_hosts = itertools.count(2)


def new_host() -> str:
    """Return a loopback address that no other test uses, in this process or in another that tests now."""
    pid = os.getpid()
    return f"127.{1 + pid // 250 % 250}.{1 + pid % 250}.{next(_hosts)}"


def wait_until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Wait for a condition; the limit is generous, for a loaded machine."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s")
        time.sleep(0.005)


_SCRIPT = "def rtde_control():\n    global reg_offset_int = # int register offset\n{}    global x = 0\nend\n"
SCRIPT, UPPER_SCRIPT = _SCRIPT.format(0), _SCRIPT.format(24)
"""What the twin recognises of ur_rtde's control program, for the lower and the upper registers."""
