"""Serve a twin of the robot on the network, for clients of the real one: `python -m real.twin --task nut`."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import glfw
import mujoco.viewer

from dexscrew_envs import program
from dexscrew_envs.program import Status
from real.robot import RobotError
from real.twin.hand_port import HandPort, HandServerProcess
from real.twin.plant import Plant
from real.twin.server import TwinServer

_VIEW_PERIOD = 1 / 60
_REPORT_PERIOD = 0.5


@dataclass(frozen=True, kw_only=True)
class Options:
    """Serve a twin of the robot on the network, for clients of the real one, at wall-clock speed."""

    task: Literal["nut", "screwdriver"] = "nut"
    """What it fastens."""
    shape: str | None = None
    """Shape of the nut or of the screwdriver's handle; by default the task's first."""
    host: str = "127.0.0.2"
    """Address to serve at: one for each twin; at 127.0.0.1, ur_rtde does not check for remote control."""
    stratum: Literal["easy", "nominal", "hard"] = "nominal"
    """What the parameters are drawn from; see docs/twin.md."""
    seed: int = 0
    """Of the parameters and of the noise."""
    version: str = "5.13"
    """Version of the arm's controller."""
    view: bool = False
    """Whether to show it in a window."""

    def controller_version(self) -> tuple[int, int, int]:
        """Return the version as numbers.

        Raises:
            ValueError: it is no version.
        """
        numbers = [int(n) for n in self.version.split(".") if n.isdigit()]
        if not 2 <= len(numbers) <= 3 or ".".join(map(str, numbers)) != self.version:
            raise ValueError(f"a version is two or three numbers, such as 5.13 or 10.10.0; got {self.version!r}")
        major, minor, bugfix = (*numbers, 0)[:3]
        return major, minor, bugfix


def serve(options: Options, stop: threading.Event) -> None:
    """Serve until told to stop, or until the window is closed.

    Raises:
        RobotError: an address is in use, there is no display to show it on, or the twin ended by itself.
        ValueError: shape or version is unknown.
    """
    version = options.controller_version()
    if options.view and not glfw.init():  # the viewer would wait for ever
        raise RobotError("there is no display for the window; omit --view")
    plant = Plant(options.task, options.shape, stratum=options.stratum, seed=options.seed)
    with ExitStack() as stack:
        server = stack.enter_context(TwinServer(plant, options.host, version=version))
        port = HandPort(plant, server.lock, options.host)
        stack.callback(port.close)
        port.start()
        hand = HandServerProcess(options.host)
        stack.callback(hand.close)
        print(
            f"a twin with a {plant.shape} {plant.task} is served: arm at {options.host} (version {options.version}), "
            f"hand at {hand.address}; Ctrl-C ends it",
            flush=True,
        )
        viewer = None
        if options.view:
            viewer = stack.enter_context(mujoco.viewer.launch_passive(plant.model, plant.data))
        ended = False
        while server.error is None and not stop.wait(_VIEW_PERIOD if viewer else _REPORT_PERIOD):
            if viewer is not None:
                if not viewer.is_running():
                    break
                with server.lock:
                    viewer.sync()
            if not ended and (plant.finished or plant.lost):
                ended = True
                print(plant.lost or f"fastened after {plant.turns:.1f} turns", flush=True)
    if server.error is not None:
        raise RobotError(f"the twin ended: {server.error}")


def _serve(options: Options) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    serve(options, threading.Event())
    return Status.DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; return the exit status."""
    return program.main("real.twin", Options, _serve, arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
