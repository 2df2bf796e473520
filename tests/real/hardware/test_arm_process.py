"""Whatever ends the arm's driver, or the program that started it: the driver stops the arm itself."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from ur_fakes import START, KinematicPlant, new_host, wait_until

from dexscrew_envs.program import ENDING_SIGNALS
from real.hardware import ur5e
from real.hardware.arm_process import Options, Servo
from real.hardware.ur5e import UR5e
from real.robot import ArmMode, RobotError
from real.twin.network.server import TwinServer

pytest.importorskip("rtde_control")

FAR = START + np.array([5.0, 0, 0, 0, 0, 0])
"""A target that the arm takes seconds to reach."""
PATIENT = {"dead_man": 1.0, "watchdog": 1.0}
"""Limits of 500 ticks, so that neither of them can be what stopped the arm within `PROMPT` ticks."""
PROMPT = 150
STOP_SCRIPT = 255  # ur_rtde's command by which its user ends the program

USER = """
import os, socket, subprocess, sys, time
options, servo, end, *command = sys.argv[1:]
mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
options = options.replace('"parent":0', f'"parent":{os.getpid()}')
driver = subprocess.Popen([*command, options, str(other.fileno())], pass_fds=[other.fileno()], start_new_session=True)
other.close()
print(driver.pid, flush=True)
if end == "fork" and os.fork() == 0:
    time.sleep(30)
    os._exit(0)
try:
    while not (end in ("close", "exit") and sys.stdin.readable() and os.path.exists(os.environ["FLAG"])):
        mine.send(bytes.fromhex(servo))
        time.sleep(0.05)
except BrokenPipeError:
    pass
if end == "close":
    mine.close()
    time.sleep(30)
"""
"""A program that servos, and reads nothing of what its driver says."""


class RecordingPlant(KinematicPlant):
    """Counts periods, and knows in which one the arm moved last, and when it was told to stop."""

    def __init__(self):
        super().__init__()
        self.tick = self.moved = 0
        self.stops = []
        stop = self.arm.stop
        self.arm.stop = lambda *args: (self.stops.append(self.tick), stop(*args))

    def step(self, count=1):
        before = self.arm.q.copy()
        super().step(count)
        self.tick += 1
        if (self.arm.q != before).any():
            self.moved = self.tick


@pytest.fixture
def host():
    return new_host()


@pytest.fixture
def twin(host, monkeypatch):
    """A twin that keeps by which command each program ended."""
    with TwinServer(RecordingPlant(), host) as twin:
        twin.ended_by = []
        stop = twin.box.stop_program

        def stop_program(reason):
            if twin.box.program is not None:
                twin.ended_by.append(twin.box.inputs.get(twin.box.program.command_register))
            stop(reason)

        monkeypatch.setattr(twin.box, "stop_program", stop_program)
        yield twin


@pytest.fixture
def arm(host):
    arm = UR5e(host, **PATIENT)
    yield arm
    arm.close()


def set_off(arm, twin):
    def step():
        arm.servo(FAR)
        time.sleep(0.05)
        return twin.box.plant.arm.q[0] > START[0] + 0.02

    wait_until(step)


def check_that_the_driver_stopped_it(twin, since):
    """Check that the arm was stopped soon after a tick, and that it was no watchdog that ended the program."""
    wait_until(lambda: twin.ended_by)
    assert twin.ended_by == [STOP_SCRIPT], "the controller's watchdog ended the program, not the driver"
    tick = twin.box.plant.tick
    wait_until(lambda: twin.box.plant.tick > tick + 50)
    assert twin.box.plant.moved < tick, "the arm rests"
    assert twin.box.plant.stops[0] - since < PROMPT
    assert twin.box.plant.moved - twin.box.plant.stops[0] < 400, "at full speed, braking takes so long"
    assert twin.box.plant.arm.q[0] < FAR[0] - 1.0


def start_user(host, end, tmp_path, driver=("-m", "real.hardware.arm_process")):
    """Start a program that servos towards `FAR`."""
    options = Options(address=host, frequency=125, gain=100, lookahead=0.2, **PATIENT, unlock=False, parent=0)
    arguments = [msgspec.json.encode(options).decode(), msgspec.msgpack.encode(Servo(FAR.tolist())).hex(), end]
    root = str(Path(ur5e.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", USER, *arguments, sys.executable, *driver],
        stdout=subprocess.PIPE, text=True, cwd=root, env=os.environ | {"FLAG": str(tmp_path / "flag")},
    )  # fmt: skip


@pytest.mark.parametrize("end", ["KILL", "TERM", "KILL", "TERM", "KILL", "close", "exit", "fork"])
def test_the_driver_stops_the_arm_whatever_ends_its_user(host, twin, tmp_path, end):
    """A user that reads nothing leaves messages unread, by which its end is a reset of the connection.

    What forked a copy of itself leaves the connection open.
    """
    with start_user(host, end, tmp_path) as user:
        try:
            wait_until(lambda: twin.box.plant.arm.q[0] > START[0] + 0.02)
            tick = twin.box.plant.tick
            if end in ("close", "exit"):
                (tmp_path / "flag").touch()
            else:
                user.send_signal(signal.SIGTERM if end == "TERM" else signal.SIGKILL)
            check_that_the_driver_stopped_it(twin, tick)
        finally:
            user.kill()


def test_a_user_that_reads_nothing_does_not_block_the_driver(host, twin, tmp_path):
    with start_user(host, "KILL", tmp_path) as user:
        wait_until(lambda: twin.box.plant.arm.q[0] > START[0] + 0.02)
        time.sleep(2.5)  # more readings than the connection takes
        age = min(twin.box.input_age for _ in range(100) if not time.sleep(0.005))
        user.kill()
        assert twin.ended_by == [] and age < 0.5


def test_every_ending_signal_is_answered(twin, arm):
    arm.connect()
    status = Path(f"/proc/{arm.pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
    unanswered = [number for number in ENDING_SIGNALS if not caught >> (number - 1) & 1]
    assert unanswered == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU])
def test_the_driver_stops_the_arm_when_it_is_told_to_end(twin, arm, number):
    arm.connect()
    set_off(arm, twin)
    tick = twin.box.plant.tick
    os.kill(arm.pid, number)
    check_that_the_driver_stopped_it(twin, tick)
    wait_until(lambda: arm.read().mode is ArmMode.LOST)
    with pytest.raises(RobotError, match=rf"was told to end, by signal {int(number)}.*call connect\(\)"):
        arm.servo(FAR)


@pytest.mark.parametrize("message", [
    b"", b"\xff\xff", msgspec.msgpack.encode({"type": "Servo", "q": [0.0] * 5}),
    msgspec.msgpack.encode(Servo([float("nan")] * 6)), bytes(5000),
])  # fmt: skip
def test_a_message_that_is_none_stops_the_arm(twin, arm, message):
    arm.connect()
    set_off(arm, twin)
    tick = twin.box.plant.tick
    arm._worker._pipe.send(message)
    check_that_the_driver_stopped_it(twin, tick)
    wait_until(lambda: arm.read().mode is ArmMode.LOST)
    with pytest.raises(RobotError, match="connection to the arm is lost"):
        arm.servo(FAR)


def test_a_fault_of_the_driver_stops_the_arm_and_is_told(twin, arm, tmp_path, monkeypatch):
    flag = tmp_path / "flag"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, rtde_receive\n"
        "kind = rtde_receive.RTDEReceiveInterface\n"
        "read = kind.getActualQd\n"
        f"def broken(self):\n    if os.path.exists({str(flag)!r}):\n        raise KeyError('broken')\n"
        "    return read(self)\n"
        "kind.getActualQd = broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    arm.connect()
    set_off(arm, twin)
    tick = twin.box.plant.tick
    flag.touch()
    check_that_the_driver_stopped_it(twin, tick)
    wait_until(lambda: arm.read().mode is ArmMode.LOST)
    with pytest.raises(RobotError, match=r"driver's process failed: KeyError\('broken'\)"):
        arm.servo(FAR)


def test_a_driver_that_hangs_ends_without_its_user_too(tmp_path):
    (tmp_path / "rtde_receive.py").write_text("import time\ntime.sleep(60)\n")
    (tmp_path / "rtde_control.py").write_text("RTDEControlInterface = None\n")
    options = Options(address="127.0.0.1", frequency=125, gain=100, lookahead=0.2, **PATIENT, unlock=False)
    code = "import real.hardware.arm_process as driver; driver.CONNECT_TIMEOUT = 0.3; driver.main()"
    mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, other, subprocess.Popen(
        [sys.executable, "-c", code, msgspec.json.encode(options).decode(), str(other.fileno())],
        pass_fds=[other.fileno()], stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=Path(ur5e.__file__).parents[2],
    ) as driver:  # fmt: skip
        try:
            assert driver.wait(30) == 1
        finally:
            driver.kill()


def test_a_fault_of_the_thread_that_listens_loses_the_arm_and_stops_it(twin, arm, monkeypatch):
    arm.connect()
    set_off(arm, twin)
    tick = twin.box.plant.tick
    monkeypatch.setattr(ur5e, "ArmState", lambda *_: 1 / 0)
    check_that_the_driver_stopped_it(twin, tick)
    assert arm.read().mode is ArmMode.LOST
    with pytest.raises(RobotError, match="ZeroDivisionError"):
        arm.servo(FAR)


def test_a_fault_of_that_thread_ends_the_wait_for_a_first_reading(twin, arm, monkeypatch):
    monkeypatch.setattr(ur5e, "ArmState", lambda *_: 1 / 0)
    began = time.monotonic()
    with pytest.raises(RobotError, match="ZeroDivisionError"):
        arm.connect()
    assert time.monotonic() - began < 0.8 * ur5e.CONNECT_TIMEOUT


def test_it_works_without_standard_streams(host, twin):
    code = (
        "import os, sys\nfrom real.hardware.ur5e import UR5e\n"
        "for stream in (0, 1, 2):\n    os.close(stream)\n"
        "arm = UR5e(sys.argv[1], dead_man=1.0, watchdog=1.0)\narm.connect()\narm.servo(arm.read().q)\narm.close()\n"
    )
    root = Path(ur5e.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code, host], timeout=60, cwd=root).returncode == 0
    assert twin.ended_by == [STOP_SCRIPT]


def test_an_address_that_no_host_can_have_is_an_error():
    with pytest.raises(RobotError, match=r"no arm answers at a\.\.b"):
        UR5e("a..b").connect()
