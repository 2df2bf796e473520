"""Arm, hand, their servers and the twin where more files are open than `select` can count (1,024)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import real

pytest.importorskip("rtde_control")

ROOT = Path(real.__file__).parents[1]

PROGRAM = """
import os, resource, sys, threading, time
sys.path[:0] = [sys.argv[1]]
import numpy as np
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
while os.open(os.devnull, os.O_RDONLY) < 1100:
    pass

from hand_fakes import START as HAND, Rig, free_host, wait_until
from ur_fakes import START as ARM, KinematicPlant, new_host
from real.twin.network.server import TwinServer
from real.hardware.ur5e import UR5e
from real.hardware.xhand import XHand

host = new_host()
with TwinServer(KinematicPlant(), host) as twin:
    arm = UR5e(host, dead_man=1.0, watchdog=1.0)
    arm.connect()
    arm.servo(ARM + 0.05)
    wait_until(lambda: arm.read().q[0] > ARM[0] + 0.01)
    arm.close()
    assert twin.box.program is None and twin.error is None
print("arm", flush=True)

rig = Rig(free_host())
hand = XHand(rig.address)
hand.connect()
hand.command(HAND + 0.05)
wait_until(lambda: np.allclose(hand.read().q, HAND + 0.05, atol=1e-2) or hand.command(HAND + 0.05))
hand.zero_tactile()
hand.close()
rig.close()
assert rig.port.error is None
print("hand", flush=True)

from real.hardware.hand_guard import HandGuard
guard = HandGuard("twin://127.0.0.1:9", twin=True)
guard.wait_until_ready()
guard.check()
guard.close(goodbye=True)
assert guard.process.returncode == 0
print("guard", flush=True)
"""


def test_all_of_it_works_with_many_open_files():
    hard = pytest.importorskip("resource").getrlimit(pytest.importorskip("resource").RLIMIT_NOFILE)[1]
    if hard < 1400:
        pytest.skip(f"this system allows {hard} open files only")
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=ROOT)
    assert done.stdout.split() == ["arm", "hand", "guard"], done.stderr


def test_nothing_selects_and_nothing_waits_for_ever():
    """`select` is not used, and every wait that could be endless has a bound."""
    endless = re.compile(r"\bselect\.|\bimport select\b|\.(wait|join|result|acquire|communicate)\(\)")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "real").rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if endless.search(line) and "asyncio.wait_for(" not in line
    ]
    assert found == []
