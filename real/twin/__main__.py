"""Serve a twin of the robot on the network, for clients of the real one, at wall-clock speed.

`python -m real.twin --task nut`
`python -m real.twin --host 127.0.0.3 --keys keys`     its hand server asks clients for keys
`python -m real.twin --local-control`                  as with the teach pendant's switch at local
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import glfw
import mujoco.viewer

from dexscrew_envs import program
from dexscrew_envs.program import Status
from real.robot import RobotError, SetupError
from real.twin.network.addresses import HAND_PORT, check_free
from real.twin.network.hand_port import HandPort, HandServerProcess
from real.twin.network.server import TwinServer
from real.twin.plant import Plant

_VIEW_PERIOD = 1 / 60
_REPORT_PERIOD = 0.5


@dataclass(frozen=True, kw_only=True)
class Options:
    """Serve a twin of the robot on the network, for clients of the real one, at wall-clock speed."""

    task: str = "nut"
    """What the robot fastens, such as nut or screwdriver."""
    shape: str | None = None
    """Of a nut: triangle, square, hexagon, cross; of a handle: octagon, dodecagon, spheres; by default the first."""
    host: str = "127.0.0.2"
    """Address in 127.0.0.0/8 to serve at, one for each twin; at 127.0.0.1 ur_rtde does not check for remote control."""
    stratum: str = "nominal"
    """Group that the twin's parameters are drawn from: easy, nominal, hard or extreme; see docs/twin.md."""
    seed: int = 0
    """Seed from which the parameters and the noise are drawn; the same seed gives the same twin."""
    version: str = "5.13"
    """Version of the arm's controller, two or three numbers; from 10 on, PolyScope X, it has no dashboard."""
    local_control: bool = False
    """Start in local control, as with the teach pendant's switch: the arm takes no program from the network."""
    keys: Path | None = None
    """Folder that `python -m real.hand_server keys` wrote; the hand server then asks clients for keys."""
    hand_server: bool = True
    """Start a hand server, too; without, start one by `python -m real.hand_server --twin HOST --bind tcp://HOST:5557`."""
    view: bool = False
    """Show the twin in a window."""

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
        RobotError: an address is in use, there are no keys, there is no display to show it on, or a part of the twin
            ended by itself.
        ValueError: shape or version is unknown, or keys are given without a hand server.
    """
    version = options.controller_version()
    if options.keys is not None and not options.hand_server:
        raise ValueError("the keys are the hand server's: give them to the one that you start, or start one here")
    check_free(options.host)
    if options.view and not glfw.init():  # the viewer would wait for ever
        raise SetupError("there is no display for the window; omit --view")
    plant = Plant(options.task, options.shape, stratum=options.stratum, seed=options.seed)
    with ExitStack() as stack:
        server = TwinServer(plant, options.host, version=version, remote_control=not options.local_control)
        stack.enter_context(server)
        port = HandPort(plant, server.lock, options.host)
        stack.callback(port.close)
        port.start()
        hand = None
        if options.hand_server:
            hand = HandServerProcess(options.host, keys=options.keys)
            stack.callback(hand.close)
        print(_greeting(options, plant, hand), flush=True)
        viewer = None
        if options.view:
            viewer = stack.enter_context(mujoco.viewer.launch_passive(plant.model, plant.data))
        ended = False
        while not stop.wait(_VIEW_PERIOD if viewer else _REPORT_PERIOD):
            _check_parts(server, port, hand)
            if viewer is not None:
                if not viewer.is_running():
                    break
                with server.lock:
                    viewer.sync()
            if not ended and (plant.finished or plant.lost):
                ended = True
                print(plant.lost or f"fastened after {plant.turns:.1f} turns", flush=True)


def _greeting(options: Options, plant: Plant, hand: HandServerProcess | None) -> str:
    arm = f"version {options.version}" + (", in local control" if options.local_control else "")
    where = f"hand's line at {options.host}:{HAND_PORT}" if hand is None else f"hand at {hand.address}"
    keys = "" if options.keys is None else f", with the keys in {options.keys}"
    return (
        f"a twin with a {plant.shape} {plant.task} is served: arm at {options.host} ({arm}), {where}{keys}; "
        "Ctrl-C ends it"
    )


def _check_parts(server: TwinServer, port: HandPort, hand: HandServerProcess | None) -> None:
    """Raise RobotError if a part of the twin ended by itself."""
    parts = {
        "the twin's arm": server.error,
        "the twin's hand": port.error,
        "the hand server": hand and hand.error,
    }
    for name, error in parts.items():
        if error is not None:
            raise RobotError(f"{name} ended, and the twin with it: {error}; start the twin again")


def _serve(options: Options) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    serve(options, threading.Event())
    return Status.DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; return the exit status."""
    return program.main("real.twin", Options, _serve, arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
