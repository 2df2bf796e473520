"""The twin's arm on the network, with the real client and with fuzzed packets."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time

import numpy as np
import pytest
from ur_fakes import SCRIPT, START, KinematicPlant, RemoteTwin, new_host, wait_until

from real.robot import RobotError
from real.twin.network.addresses import DASHBOARD_PORT, RTDE_PORT, SCRIPT_PORT
from real.twin.network.rtde import CONTROLLER_VERSION, DATA, HEADER, INPUTS, MAX_PACKET, OUTPUTS, VERSION, packet
from real.twin.network.rtde import START as START_PACKET
from real.twin.network.server import MAX_LINE, TwinServer

rtde_control = pytest.importorskip("rtde_control")
rtde_receive = pytest.importorskip("rtde_receive")
dashboard_client = pytest.importorskip("dashboard_client")

FREQUENCY = 125.0


@contextlib.contextmanager
def clients(host, flags=1):
    """Yield the client's two interfaces, connected."""
    receive = rtde_receive.RTDEReceiveInterface(host, FREQUENCY)
    control = rtde_control.RTDEControlInterface(host, FREQUENCY, flags)
    try:
        yield control, receive
    finally:
        control.disconnect()
        receive.disconnect()


@pytest.fixture(scope="module")
def twin():
    host = new_host()
    with RemoteTwin(host) as twin:
        twin.host = host
        yield twin


@pytest.fixture
def connected(twin):
    with clients(twin.host) as interfaces:
        yield interfaces


def rests(twin):
    """Return whether the arm stands still for a while."""
    before = twin.q
    time.sleep(0.1)
    return np.array_equal(twin.q, before)


def test_readings_are_the_arms(connected, twin):
    _, receive = connected
    np.testing.assert_allclose(receive.getActualQ(), twin.q)
    before = receive.getTimestamp()
    wait_until(lambda: receive.getTimestamp() > before)
    assert (receive.getRobotMode(), receive.getSafetyMode()) == (7, 1)


def test_move_arrives(connected, twin):
    control, receive = connected
    assert control.moveJ((START + 0.1).tolist(), 2.0, 10.0)
    np.testing.assert_allclose(twin.q, START + 0.1, atol=1e-9)
    assert control.moveJ(START.tolist(), 2.0, 10.0, True)
    wait_until(lambda: np.allclose(receive.getActualQ(), START, atol=1e-9))
    wait_until(lambda: control.getAsyncOperationProgress() < 0)


def test_servo_is_followed_until_stopped(connected, twin):
    control, _ = connected
    target = twin.q + 0.05
    assert control.servoJ(target.tolist(), 0, 0, 0.008, 0.1, 300)
    wait_until(lambda: np.allclose(twin.q, target, atol=1e-4))
    control.servoJ((target + 2.0).tolist(), 0, 0, 0.008, 0.1, 300)
    assert control.servoStop()
    assert rests(twin)
    assert control.isProgramRunning()


def test_speed_is_kept_until_stopped(connected, twin):
    control, receive = connected
    assert control.speedJ([0.1, 0, 0, 0, 0, 0], 5.0)
    wait_until(lambda: abs(receive.getActualQd()[0] - 0.1) < 1e-6)
    assert control.speedStop()
    assert rests(twin)


def test_kinematics_are_answered(connected, twin):
    control, receive = connected
    found = control.getInverseKinematics(receive.getActualTCPPose(), receive.getActualQ())
    np.testing.assert_allclose(found, twin.q, atol=1e-4)
    np.testing.assert_allclose(control.getForwardKinematics(), receive.getActualTCPPose(), atol=1e-6)


def test_the_script_can_be_stopped_and_uploaded_again(connected):
    control, _ = connected
    control.stopScript()
    assert not control.isProgramRunning()
    assert not control.moveJ(START.tolist())
    assert control.reuploadScript()
    wait_until(control.isProgramRunning)
    assert control.moveJ(START.tolist(), 2.0, 10.0)


def test_the_watchdog_stops_the_arm(connected, twin):
    control, _ = connected
    assert control.setWatchdog(10.0)
    control.servoJ((START + 2.0).tolist(), 0, 0, 0.008, 0.2, 100)
    wait_until(lambda: not control.isProgramRunning())
    wait_until(lambda: rests(twin))
    assert np.abs(twin.q - START).max() < 1.9


def test_a_second_client_is_refused(connected, twin):
    with pytest.raises(RuntimeError, match="already in use"):
        rtde_control.RTDEControlInterface(twin.host, FREQUENCY)
    assert connected[0].isProgramRunning()


def test_an_unknown_output_is_refused(twin):
    with pytest.raises(RuntimeError, match=r"not found by the controller: \[nonsense"):
        rtde_receive.RTDEReceiveInterface(twin.host, FREQUENCY, ["timestamp", "nonsense"])


@pytest.mark.parametrize("version", [(3, 14, 0), (5, 4, 0), (5, 23, 0), (10, 10, 0)])
def test_other_controller_versions_serve_too(version):
    host = new_host()
    with RemoteTwin(host, version=version) as twin, clients(host) as (control, receive):
        assert control.moveJ((START + 0.05).tolist(), 2.0, 10.0)
        # The two interfaces have a connection each, so the answer may come before the last reading does.
        wait_until(lambda: np.allclose(receive.getActualQ(), START + 0.05, atol=1e-9))
        assert control.servoJ(START.tolist(), 0, 0, 0.008, 0.1, 300)
        wait_until(lambda: np.allclose(twin.q, START, atol=1e-4))


def test_the_upper_registers_serve_too(twin):
    upper = rtde_control.RTDEControlInterface.FLAG_UPPER_RANGE_REGISTERS
    with clients(twin.host, 1 | int(upper)) as (control, _):
        assert control.moveJ((START - 0.05).tolist(), 2.0, 10.0)
        np.testing.assert_allclose(twin.q, START - 0.05, atol=1e-9)


def test_local_control_is_refused():
    host = new_host()
    with (
        RemoteTwin(host, remote_control=False),
        pytest.raises(RuntimeError, match="enable remote control"),
    ):
        rtde_control.RTDEControlInterface(host, FREQUENCY)


def test_a_protective_stop_is_seen_and_unlocked():
    host = new_host()
    with RemoteTwin(host, unlock_delay=1.0) as twin, clients(host) as (control, receive):
        control.servoJ((START + 1.0).tolist(), 0, 0, 0.008, 0.2, 100)
        wait_until(lambda: twin.q[0] > START[0] + 0.02)
        twin.call("protective_stop")
        here = twin.q
        wait_until(receive.isProtectiveStopped)
        wait_until(lambda: not control.isProgramRunning())
        assert not control.moveJ(START.tolist())
        dashboard = dashboard_client.DashboardClient(host)
        dashboard.connect()
        with pytest.raises(RuntimeError, match="until 5s after"):
            dashboard.unlockProtectiveStop()
        before = receive.getTimestamp()
        wait_until(lambda: receive.getTimestamp() > before + 1.1)
        np.testing.assert_array_equal(twin.q, here)
        dashboard.unlockProtectiveStop()
        wait_until(lambda: not receive.isProtectiveStopped())
        assert control.reuploadScript()
        wait_until(control.isProgramRunning)
        assert control.moveJ(START.tolist(), 2.0, 10.0)


# From here on without the client, in this process.


def connect(host, port):
    return socket.create_connection((host, port), timeout=20)


def exchange(connection, kind, data=b""):
    """Send a packet and return the payload of the answer."""
    connection.sendall(packet(kind, data))
    size, answered = HEADER.unpack(connection.recv(HEADER.size, socket.MSG_WAITALL))
    assert answered == kind
    return connection.recv(size - HEADER.size, socket.MSG_WAITALL)


@pytest.mark.parametrize("port", [RTDE_PORT, DASHBOARD_PORT, SCRIPT_PORT])
def test_a_port_in_use_is_named(port):
    host = new_host()
    with (
        socket.create_server((host, port)),
        pytest.raises(RobotError, match=rf"port {port} of {re.escape(host)} is in use.*choose another address"),
        TwinServer(KinematicPlant(), host),
    ):
        pass


def test_a_foreign_address_is_refused():
    with (
        pytest.raises(RobotError, match=r"cannot serve at 192\.0\.2\.1:30004"),
        TwinServer(KinematicPlant(), "192.0.2.1"),
    ):
        pass


def test_ports_are_free_after_the_end():
    host = new_host()
    for _ in range(2):
        with TwinServer(KinematicPlant(), host), connect(host, RTDE_PORT) as connection:
            assert exchange(connection, VERSION, b"\x00\x02") == b"\x01"


def test_a_client_that_does_not_read_is_dropped():
    host = new_host()
    with TwinServer(KinematicPlant(), host) as server, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, RTDE_PORT))
        names = ",".join(f"output_double_register_{i}" for i in range(48)) + ","
        exchange(connection, OUTPUTS, struct.pack(">d", 500.0) + names.encode())
        connection.sendall(packet(START_PACKET, b""))
        wait_until(lambda: not server._sessions, timeout=120)


def test_silence_holds_everything_back_for_a_while():
    host = new_host()
    with TwinServer(KinematicPlant(), host) as server, connect(host, RTDE_PORT) as connection:
        exchange(connection, VERSION, b"\x00\x02")
        server.silence(0.5)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            exchange(connection, CONTROLLER_VERSION)
        connection.settimeout(20)
        assert len(connection.recv(HEADER.size + 16, socket.MSG_WAITALL)) == HEADER.size + 16


SERVO_NAMES = ["input_int_register_0", *(f"input_double_register_{i}" for i in range(11))]
AWAY = struct.pack(">i11d", 11, *(START + 0.5), 0, 0, 0.008, 0.1, 300)
"""Inputs that would move the arm, from who owns them."""


def fuzzed(rng, seeds):
    """Return bytes that look more or less like one of the seeds."""
    kind = rng.integers(5)
    if kind == 0:
        return rng.bytes(int(rng.integers(1, 64)))
    if kind == 1:  # a well-formed packet of random type
        return packet(int(rng.integers(256)), rng.bytes(int(rng.integers(0, 64))))
    seed = bytearray(seeds[rng.integers(len(seeds))])
    if kind == 2:  # replayed
        return bytes(seed)
    if kind == 3:  # a wrong size
        seed[:2] = rng.bytes(2)
        return bytes(seed)
    for _ in range(rng.integers(1, 4)):
        seed[rng.integers(len(seed))] = rng.integers(256)
    return bytes(seed[: rng.integers(1, len(seed) + 1)])


@pytest.mark.parametrize("port", [RTDE_PORT, DASHBOARD_PORT, SCRIPT_PORT])
def test_ten_thousand_bad_packets_neither_crash_nor_move_it(port):
    names = (",".join(SERVO_NAMES) + ",").encode()
    seeds = {
        RTDE_PORT: [
            packet(VERSION, b"\x00\x02"),
            packet(OUTPUTS, struct.pack(">d", 125.0) + b"timestamp,actual_q,"),
            packet(INPUTS, names),
            packet(START_PACKET, b""),
            packet(DATA, b"\x01" + AWAY),
            HEADER.pack(65535, DATA) + bytes(MAX_PACKET),
        ],
        DASHBOARD_PORT: [b"unlock protective stop\n", b"play\n", b"popup " + b"x" * 200 + b"\n", b"x" * 2 * MAX_LINE],
        SCRIPT_PORT: [SCRIPT.encode(), b"movej([0,0,0,0,0,0])\n", b"def f():\n movej([0])\nend\n", b"def f\n" * 300],
    }[port]
    rng = np.random.default_rng(0)
    host = new_host()
    with TwinServer(KinematicPlant(), host) as server, connect(host, RTDE_PORT) as owner:
        assert exchange(owner, INPUTS, names)[0] == 1
        with connect(host, SCRIPT_PORT) as upload:
            upload.sendall(SCRIPT.encode())
            wait_until(lambda: server.box.program is not None)

        for _ in range(2500):
            with contextlib.suppress(ConnectionError), connect(host, port) as bad:
                for _ in range(4):
                    bad.sendall(fuzzed(rng, seeds))
                with contextlib.suppress(OSError):  # the twin has closed it
                    bad.shutdown(socket.SHUT_WR)
                while bad.recv(1 << 16):  # until the twin has taken all of it
                    pass

        before = server.box.tick
        wait_until(lambda: server.box.tick > before + 100)
        assert server.error is None
        np.testing.assert_array_equal(server.box.plant.arm.q, START)
        server.box.upload(SCRIPT)  # a fuzzed line may have ended the program, but not what its owner can do
        owner.sendall(packet(DATA, b"\x01" + AWAY))
        wait_until(lambda: np.allclose(server.box.plant.arm.q, START + 0.5, atol=1e-3))


@pytest.mark.parametrize("fault", [ValueError("odd"), OSError("closed"), KeyError("q")], ids=repr)
def test_a_fault_with_one_client_ends_its_connection_alone(monkeypatch, fault):
    host = new_host()
    with TwinServer(KinematicPlant(), host) as server, connect(host, RTDE_PORT) as good:
        exchange(good, VERSION, b"\x00\x02")
        with monkeypatch.context() as patch, connect(host, RTDE_PORT) as bad:

            def handle(*_):
                raise fault

            patch.setattr("real.twin.network.rtde.Session.handle", handle)
            bad.sendall(packet(VERSION, b"\x00\x02"))
            assert bad.recv(1) == b""
        assert exchange(good, VERSION, b"\x00\x02") == b"\x01"
        assert server.error is None


def test_what_ends_the_twin_is_recorded(monkeypatch):
    class Fault(BaseException):
        pass

    def step():
        raise Fault

    with TwinServer(KinematicPlant(), new_host()) as server:
        monkeypatch.setattr(server.box, "step", step)
        wait_until(lambda: isinstance(server.error, Fault))


def test_a_twin_that_does_not_start_in_time_is_an_error(monkeypatch):
    monkeypatch.setattr("real.twin.network.server._START_TIMEOUT", 0.05)
    monkeypatch.setattr(TwinServer, "_run", lambda self: time.sleep(0.3))
    with pytest.raises(RobotError, match=r"did not start within 0\.05 s"), TwinServer(KinematicPlant(), new_host()):
        pass
