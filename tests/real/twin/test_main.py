"""The twin's program, with the clients of a robot."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from ur_fakes import new_host, wait_until

from real.hardware.hand_server import create_keys
from real.hardware.ur5e import UR5e
from real.hardware.xhand import XHand
from real.robot import ArmMode, RobotError
from real.twin.__main__ import Options, main


@contextmanager
def served(*arguments, status=128 + signal.SIGTERM):
    """A twin's program at an address of its own; it must end with a status."""
    host = new_host()
    command = [sys.executable, "-m", "real.twin", "--host", host, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stdout.readline, "")
            greeting = next((line for line in lines if line.startswith("a twin")), "")
            assert greeting, process.stderr.read()
            yield host, greeting, process
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == status


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A folder of keys, as the hand server's program makes them."""
    folder = tmp_path_factory.mktemp("keys")
    create_keys(folder)
    return folder


@pytest.mark.parametrize(
    ("text", "version"), [("5.13", (5, 13, 0)), ("10.10", (10, 10, 0)), ("5.4.2", (5, 4, 2)), ("3.14", (3, 14, 0))]
)
def test_versions_are_read(text, version):
    assert Options(version=text).controller_version() == version


def refused(capsys, *arguments):
    """Return what the program says, which must be one sentence, and its status."""
    status = main([*arguments])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error, status


def test_an_unknown_stratum_is_refused(capsys):
    error, status = refused(capsys, "--stratum", "brutal", "--host", new_host())
    assert "unknown stratum 'brutal'; choose from easy, nominal, hard, extreme" in error and status == 2


@pytest.mark.parametrize("text", ["", "5", "5.x", "5.13.0.1", "05.1", "-5.1"])
def test_what_is_no_version_is_refused(text, capsys):
    error, status = refused(capsys, f"--version={text}")
    assert "a version is two or three numbers" in error and status == 2


def test_an_unknown_shape_is_refused(capsys):
    error, status = refused(capsys, "--shape", "oval", "--host", new_host())
    assert "unknown shape 'oval' of the nut; choose from" in error and status == 2


def test_a_missing_display_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr("glfw.init", lambda: False)
    error, status = refused(capsys, "--view", "--host", new_host())
    assert "no display for the window; omit --view" in error and status != 0


def test_a_taken_address_is_refused_before_anything_is_built(monkeypatch, capsys):
    monkeypatch.setattr("real.twin.__main__.Plant", lambda *_, **__: pytest.fail("too late"))
    with socket.socket() as listener:
        host = new_host()
        listener.bind((host, 30003))
        listener.listen()
        error, status = refused(capsys, "--host", host)
    assert f"port 30003 of {host} is in use" in error and status != 0
    assert host not in error.partition("such as")[2]


def test_other_machines_are_not_served(capsys):
    error, status = refused(capsys, "--host", "0.0.0.0")
    assert "a twin is served at an address in 127.0.0.0/8" in error and status != 0


def test_keys_without_a_hand_server_are_refused(capsys, keys):
    error, status = refused(capsys, "--keys", str(keys), "--no-hand-server")
    assert "the keys are the hand server's" in error and status == 2


@pytest.mark.parametrize("missing", ["server.key_secret", "clients/client.key"])
def test_a_folder_without_keys_is_refused(capsys, tmp_path, missing):
    create_keys(tmp_path / "keys")
    (tmp_path / "keys" / missing).unlink()
    error, status = refused(capsys, "--keys", str(tmp_path / "keys"), "--host", new_host())
    assert "make keys with `python -m real.hand_server keys --folder keys`" in error and status != 0


def test_with_keys_and_in_local_control_clients_meet_what_they_meet_on_hardware(keys):
    pytest.importorskip("rtde_control")
    with served("--keys", str(keys), "--local-control") as (host, greeting, _):
        assert "in local control" in greeting and str(keys) in greeting
        with pytest.raises(RobotError, match=r"local control; switch it to remote control on the teach pendant"):
            UR5e(host).connect()
        address = f"tcp://{host}:5557"
        with pytest.raises(RobotError, match=r"accepts the connection but not the handshake: the keys are wrong or"):
            XHand(address).connect(timeout=1.0)
        hand = XHand(address, server_key=keys / "server.key", client_key=keys / "client.key_secret")
        hand.connect()
        try:
            target = hand.read().q.clip(0.1)
            hand.command(target)
            wait_until(lambda: abs(hand.read().q - target).max() < 0.1)
        finally:
            hand.close()


def test_it_serves_until_told_to_end_and_the_arm_connects():
    pytest.importorskip("rtde_control")
    with served("--task", "nut", "--shape", "hexagon") as (host, greeting, _):
        assert greeting.startswith("a twin with a hexagon nut is served")
        arm = UR5e(host)
        try:
            arm.connect()
            assert arm.read().mode is ArmMode.RUNNING
        finally:
            arm.close()


def test_a_hand_server_can_be_started_by_itself():
    with served("--no-hand-server") as (host, greeting, _):
        assert f"hand's line at {host}:5560" in greeting
        address = f"tcp://{host}:5557"
        with pytest.raises(RobotError, match=r"nothing answers"):
            XHand(address).connect(timeout=0.5)
        command = [sys.executable, "-m", "real.hand_server", "--twin", host, "--bind", address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert "is served at" in server.stdout.readline()
                hand = XHand(address)
                hand.connect()
                hand.close()
            finally:
                server.send_signal(signal.SIGTERM)


def test_it_ends_when_its_hand_server_is_killed():
    with served(status=3) as (_, _, process):
        command = ["ps", "ww", "-o", "pid=,args=", "--ppid", str(process.pid)]
        children = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        server = next(int(line.split()[0]) for line in children if "spawn_main" in line)
        os.kill(server, signal.SIGKILL)
        assert process.wait(timeout=20) == 3
        error = process.stderr.read()
        assert re.search(r"the hand server ended, and the twin with it: it was ended by signal 9", error)
        assert "Traceback" not in error


def test_it_ends_when_its_hand_port_fails(monkeypatch, capsys):
    class Port:
        error = ValueError("a fault of the port")

        def __init__(self, *_):
            self.start = self.close = lambda: None

    monkeypatch.setattr("real.twin.__main__.HandPort", Port)
    assert main(["--host", new_host(), "--no-hand-server"]) != 0
    assert "the twin's hand ended, and the twin with it: a fault of the port" in capsys.readouterr().err
