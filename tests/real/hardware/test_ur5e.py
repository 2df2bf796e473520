"""The arm's driver against a twin's server, with the real client, and with what can go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ur_fakes import START, KinematicPlant, RemoteTwin, new_host, wait_until

from real.hardware.ur5e import UR5e
from real.robot import ArmMode, RobotError
from real.twin.controller import ArmController
from real.twin.network import control_box
from real.twin.network.rtde import INPUTS, Session
from real.twin.network.server import TwinServer

pytest.importorskip("rtde_control")

FAR = START + np.array([5.0, 0, 0, 0, 0, 0])
"""A target that the arm takes seconds to reach."""
PATIENT = {"dead_man": 0.5, "watchdog": 2.0}
"""Limits for a loaded machine, where tests are not about them."""


@pytest.fixture
def host():
    return new_host()


@pytest.fixture
def twin(host):
    with TwinServer(KinematicPlant(), host) as twin:
        yield twin


@pytest.fixture
def arm(host):
    arm = UR5e(host, **PATIENT)
    yield arm
    arm.close()


def servo_until(arm, target, condition, timeout=30.0):
    """Send a target at 20 Hz until a condition holds."""

    def step():
        arm.servo(target)
        time.sleep(0.05)
        return condition()

    wait_until(step, timeout)


def set_off(arm, twin):
    """Let the arm move towards a target that it does not reach soon."""
    servo_until(arm, FAR, lambda: twin.box.plant.arm.q[0] > START[0] + 0.02)


def check_that_it_rests(twin, limit=4.0):
    """Check that the arm comes to rest short of its target, and stays."""
    wait_until(lambda: not twin.box.plant.arm.moving)
    here = twin.box.plant.arm.q.copy()
    tick = twin.box.tick
    wait_until(lambda: twin.box.tick > tick + 100)
    np.testing.assert_array_equal(twin.box.plant.arm.q, here)
    assert np.abs(here - START).max() < limit


def test_it_reads_and_follows(twin, arm):
    arm.connect()
    state = arm.read()
    np.testing.assert_allclose(state.q, START)
    np.testing.assert_allclose(state.tcp_pose, twin.box.plant.tcp_pose)
    assert state.mode is ArmMode.RUNNING
    assert state.time <= time.monotonic() < state.time + 10
    wait_until(lambda: arm.read().time > state.time)
    servo_until(arm, START + 0.05, lambda: np.allclose(arm.read().q, START + 0.05, atol=1e-3))
    arm.close()
    assert twin.box.program is None


def test_it_stops_when_told(twin, arm):
    arm.connect()
    set_off(arm, twin)
    arm.stop()
    check_that_it_rests(twin)
    assert arm.read().mode is ArmMode.RUNNING
    servo_until(arm, START, lambda: np.allclose(arm.read().q, START, atol=1e-3))


def test_it_stops_without_new_targets(twin, arm):
    arm.connect()
    set_off(arm, twin)
    check_that_it_rests(twin)
    assert arm.read().mode is ArmMode.RUNNING


def test_a_killed_process_is_reported_and_the_arm_stops(twin, arm):
    arm.connect()
    set_off(arm, twin)
    os.kill(arm.pid, signal.SIGKILL)
    wait_until(lambda: arm.read().mode is ArmMode.LOST)
    with pytest.raises(RobotError, match=r"connection to the arm is lost .* call connect\(\)"):
        arm.servo(FAR)
    check_that_it_rests(twin)
    assert twin.box.program is None  # the controller's watchdog
    arm.stop()
    arm.connect()
    servo_until(arm, START, lambda: np.allclose(arm.read().q, START, atol=1e-3))


def test_the_arm_stops_when_its_user_is_killed(twin, host):
    user = (
        "import sys, time; from real.hardware.ur5e import UR5e; import numpy as np\n"
        "arm = UR5e(sys.argv[1], dead_man=1.0, watchdog=1.0); arm.connect()\n"
        "while True: arm.servo(np.array(eval(sys.argv[2]))); time.sleep(0.05)"
    )
    process = subprocess.Popen([sys.executable, "-c", user, host, str(FAR.tolist())])
    wait_until(lambda: twin.box.plant.arm.q[0] > START[0] + 0.02, timeout=60)
    process.kill()
    process.wait()
    check_that_it_rests(twin)
    wait_until(lambda: twin.box.program is None and not twin._sessions)


def test_a_killed_twin_is_reported(host, arm):
    with RemoteTwin(host) as twin:
        arm.connect()
        servo_until(arm, FAR, lambda: twin.q[0] > START[0] + 0.02)
        twin.process.kill()
        wait_until(lambda: arm.read().mode is ArmMode.LOST)
    with pytest.raises(RobotError, match=rf"no arm answers at {host}, port 30004"):
        arm.connect()
    with RemoteTwin(host):
        arm.connect()
        assert arm.read().mode is ArmMode.RUNNING


def test_a_silent_twin_is_reported_and_stops(twin, arm):
    arm.connect()
    set_off(arm, twin)
    twin.silence(3.0)
    before = arm.read().time
    wait_until(lambda: arm.read().mode is ArmMode.LOST)
    assert arm.read().time < before + 1.0
    check_that_it_rests(twin)
    wait_until(lambda: not twin._silent)
    arm.connect()
    servo_until(arm, START, lambda: np.allclose(arm.read().q, START, atol=1e-3))


def test_a_frozen_reading_grows_old_and_the_arm_stops(twin, arm):
    arm.connect()
    set_off(arm, twin)
    twin.freeze_readings()
    tick = twin.box.tick
    wait_until(lambda: twin.box.tick > tick + 20)
    before = arm.read()
    for _ in range(20):
        arm.servo(FAR)
        time.sleep(0.05)
    assert arm.read().time == before.time
    check_that_it_rests(twin)
    twin.thaw_readings()
    wait_until(lambda: arm.read().mode is ArmMode.STOPPED)
    arm.recover()
    servo_until(arm, START, lambda: np.allclose(arm.read().q, START, atol=1e-3))


def test_a_protective_stop_in_motion_is_reported_and_recovered_from(twin, arm, monkeypatch):
    monkeypatch.setattr(control_box, "UNLOCK_DELAY", 60.0)
    arm.connect()
    set_off(arm, twin)
    twin.protective_stop()
    here = twin.box.plant.arm.q.copy()
    wait_until(lambda: arm.read().mode is ArmMode.PROTECTIVE_STOP)
    with pytest.raises(RobotError, match=r"does not follow targets: protective stop; call recover\(\)"):
        arm.servo(FAR)
    with pytest.raises(RobotError, match=r"protective stop of the arm was not unlocked.*until 5s after"):
        arm.recover()
    with pytest.raises(RobotError, match="in a protective stop; look at what caused it"):
        arm.connect()
    np.testing.assert_array_equal(twin.box.plant.arm.q, here)
    monkeypatch.setattr(control_box, "UNLOCK_DELAY", 0.0)
    arm.recover()
    np.testing.assert_array_equal(twin.box.plant.arm.q, here)
    servo_until(arm, START, lambda: np.allclose(arm.read().q, START, atol=1e-3))


def test_an_emergency_stop_is_reported(twin, arm):
    arm.connect()
    twin.emergency_stop()
    wait_until(lambda: arm.read().mode is ArmMode.EMERGENCY_STOP)
    with pytest.raises(RobotError, match="emergency stop of the arm is pressed"):
        arm.recover()
    twin.release_emergency_stop()
    with pytest.raises(RobotError, match="power it on and release its brakes"):
        arm.recover()


def test_local_control_is_an_error(host, arm):
    with (
        TwinServer(KinematicPlant(), host, remote_control=False),
        pytest.raises(RobotError, match="switch it to remote control"),
    ):
        arm.connect()


def test_a_second_user_is_an_error(twin, arm):
    owner = Session(twin.box, twin._owners)
    owner.handle(INPUTS, b"input_int_register_0,")
    with pytest.raises(RobotError, match="another program controls the arm"):
        arm.connect()


def test_nobody_at_the_address_is_an_error(arm):
    with pytest.raises(RobotError, match=r"no arm answers at .* or start a twin: python -m real.twin --host"):
        arm.connect()


def test_a_client_library_that_cannot_be_imported_is_an_error(twin, arm, tmp_path, monkeypatch):
    (tmp_path / "rtde_control.py").write_text("raise ImportError('missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RobotError, match=r"ur_rtde, which the arm's driver needs, cannot be imported: missing"):
        arm.connect()


def test_before_connecting_there_is_nothing(arm):
    arm.stop()
    arm.close()
    for act in (arm.read, lambda: arm.servo(START)):
        with pytest.raises(RobotError, match=r"not connected; call connect\(\)"):
            act()


@pytest.mark.parametrize("target", [np.zeros(5), np.full(6, np.nan), np.zeros((6, 1))])
def test_targets_are_checked(arm, target):
    with pytest.raises(RobotError, match="must be 6 finite numbers"):
        arm.servo(target)


@pytest.mark.parametrize(
    ("name", "value"), [("gain", 50), ("lookahead", 0.3), ("frequency", 1000), ("dead_man", 0), ("watchdog", np.nan)]
)
def test_options_are_checked(name, value):
    with pytest.raises(ValueError, match=f"{name} of the arm must be between"):
        UR5e("127.0.0.2", **{name: value})


class RecordingPlant(KinematicPlant):
    """Keeps the joint positions of each period."""

    def __init__(self):
        super().__init__()
        self.path = []

    def step(self, count=1):
        super().step(count)
        self.path.append(self.arm.q.copy())


def test_a_recorded_trajectory_gives_the_same_path_in_process(host, monkeypatch):
    """Targets that arrive in the same periods give the same path over the wire and in process, within 1e-9 rad."""
    with TwinServer(RecordingPlant(), host) as twin:
        received = {}  # inputs by the period that they arrived before
        write = twin.box.write
        monkeypatch.setattr(twin.box, "write", lambda values: (received.update({twin.box.tick: values}), write(values)))
        phase = np.linspace(0, 2 * np.pi, 50)[:, None] + np.arange(6)
        targets = START + 0.2 * (np.sin(phase) - np.sin(phase[0]))

        arm = UR5e(host, dead_man=1.0, watchdog=1.0)
        arm.connect()
        for target in targets:
            arm.servo(target)
            time.sleep(0.05)
        arm.close()

    controller = ArmController(START)
    names = [f"input_double_register_{i}" for i in range(6)]
    servoed = [tick for tick, values in received.items() if values["input_int_register_0"] == 11]
    for tick in range(servoed[-1]):
        if tick in received and received[tick]["input_int_register_0"] == 11:
            target = np.array([received[tick][name] for name in names])
            assert (targets == target).all(axis=1).any()
            controller.servo(target, lookahead=0.2, gain=100)
        np.testing.assert_allclose(controller.step(), twin.box.plant.path[tick], atol=1e-9)
    assert np.abs(controller.q - START).max() > 0.01
