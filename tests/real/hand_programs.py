"""The hand server and its clients as processes of their own, for tests of their ends."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from hand_fakes import START, wait_until

from real import hand_protocol as protocol

ROOT = Path(protocol.__file__).parents[1]
GOAL = np.clip(START + 1.0, protocol.LOWER, protocol.UPPER)
"""A target that takes the hand some time."""
GAINS = (80, 0, 2, 90)

_CLIENT = """
import sys, time
from real.robot import RobotError
from real.hardware.xhand import XHand
address, goal, keys = sys.argv[1], eval(sys.argv[2]), sys.argv[3:]
hand = XHand(address, **dict(zip(("server_key", "client_key"), keys)))
hand.connect(timeout=20)
while True:
    try:
        hand.command(goal, kp=80, ki=0, kd=2, tor_max=90)
    except RobotError:  # on a busy machine the server answers late; if it is gone, this ends it
        hand.connect(timeout=5)
    time.sleep(0.03)
"""


@contextmanager
def server_program(host: str, *, code: str = "", **options: object):
    """Run a hand server on a twin's hand; `code` runs in it before it begins."""
    program = f"import sys\nfrom real.hardware import hand_server\n{code}\nsys.exit(hand_server.main())"
    begin = ["-c", program] if code else ["-m", "real.hand_server"]
    command = [sys.executable, *begin, "--twin", host, "--bind", f"tcp://{host}:5557"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **options
    ) as process:
        try:
            line = process.stdout.readline()
            assert "is served" in line, process.stderr.read()
            yield process
        finally:
            process.kill()


@contextmanager
def client_program(address: str, *keys: Path, goal: np.ndarray = GOAL):
    """Run a client that commands the hand all the time."""
    command = [sys.executable, "-c", _CLIENT, address, str(goal.tolist()), *map(str, keys)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def guard_of(server: int) -> int:
    """Return the process identifier of a hand server's guard."""
    (guard,) = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    return int(guard)


def is_alive(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until_it_moves(plant, goal: np.ndarray = GOAL) -> None:
    """Wait until a plant was commanded to a goal, and the hand is on its way."""
    wait_until(lambda: plant.commands and np.allclose(plant.target, goal, atol=1e-5))
    wait_until(lambda: np.abs(plant.hand_q - START).max() > 0.02)


def check_that_it_holds(plant, goal: np.ndarray = GOAL) -> None:
    """Check that the hand stands short of a goal, and was told to with the gains that it had."""
    wait_until(lambda: not np.allclose(plant.target, goal, atol=1e-5))
    held, *settings = plant.commands[-1]
    assert settings == [*GAINS, 3]
    wait_until(lambda: np.allclose(plant.hand_q, held, atol=1e-3))
    assert np.abs(plant.hand_q - goal).max() > 0.2, "it went all the way"
