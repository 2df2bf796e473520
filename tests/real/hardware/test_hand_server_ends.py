"""Whatever ends the hand server or its client: the hand holds where it is."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hand_fakes import START, FakeHandPlant, free_host, served_hand, wait_until
from hand_programs import (
    GOAL,
    ROOT,
    check_that_it_holds,
    client_program,
    guard_of,
    is_alive,
    server_program,
    wait_until_it_moves,
)

from dexscrew_envs.program import ENDING_SIGNALS
from real import hand_protocol as protocol
from real.hardware.hand_device import DEAD_MAN, PERIOD
from real.hardware.hand_server import create_keys
from real.hardware.xhand import XHand
from real.robot import RobotError
from real.twin.network.hand_port import HandPort


@pytest.fixture
def port():
    """A twin's hand that takes a second for its way."""
    host, plant = free_host(), FakeHandPlant(lag=1.0)
    port = HandPort(plant, threading.Lock(), host).start()
    port.plant, port.host, port.address = plant, host, f"tcp://{host}:5557"
    yield port
    port.close()


@pytest.fixture
def slow_rig():
    with served_hand() as rig:
        rig.plant.lag = 1.0
        wait_until(lambda: rig.device.reading.number > 3)
        yield rig


def check_that_it_was_not_the_dead_man(plant, count):
    """Check that of the commands after the first so many, few still went to the goal."""
    to_the_goal = [np.allclose(position, GOAL, atol=1e-5) for position, *_ in plant.commands[count:]]
    assert sum(to_the_goal) < 0.5 * DEAD_MAN / PERIOD


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_holds_the_hand_and_is_the_exit_status(port, number):
    with server_program(port.host) as server, client_program(port.address):
        guard = guard_of(server.pid)
        wait_until_it_moves(port.plant)
        server.send_signal(number)
        check_that_it_holds(port.plant)
        assert server.wait(20) == 128 + number
        assert signal.Signals(number).name in server.stderr.read()
        wait_until(lambda: not is_alive(guard))
        check_that_it_holds(port.plant)


def test_every_ending_signal_is_answered_but_one_that_nohup_ignores(port):
    with server_program(port.host, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as server:
        status = dict(line.split(":\t") for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())
        caught = int(status["SigCgt"], 16)
        assert [n for n in ENDING_SIGNALS if not caught >> (n - 1) & 1] == [signal.SIGHUP]
        server.send_signal(signal.SIGHUP)
        hand = XHand(port.address)
        hand.connect()
        hand.close()
        assert server.poll() is None


# -- faults of its own ------------------------------------------------------------------------------------------------

_BROKEN = "def broken(*_):\n    raise {}('broken')\n"
FAULTS = {
    "server thread": (_BROKEN.format("KeyError") + "hand_server.HandServer._state = broken", protocol.Read),
    "device thread": (_BROKEN.format("SystemError") + "hand_server.HandDevice._report = broken\n"
                      "hand_server.HandDevice._zero_tactile = broken", protocol.Zero),
}  # fmt: skip


@pytest.mark.parametrize("thread", FAULTS)
def test_a_fault_in_a_thread_holds_the_hand_and_ends_the_server(port, thread):
    code, trigger = FAULTS[thread]
    with server_program(port.host, code=code) as server:
        client = _client(port.address)
        _ask(client, protocol.Command, GOAL.tolist(), 80, 0, 2, 90)
        wait_until_it_moves(port.plant)
        _ask(client, trigger, answered=False)
        check_that_it_holds(port.plant)
        assert server.wait(20) == 1
        assert "broken" in server.stderr.read()
        client._socket.close()


def _client(address):
    import zmq

    from real.hardware.xhand import _Connection

    return _Connection(zmq.Context.instance(), address, None, 10.0)


def _ask(client, kind, *fields, answered=True):
    reply = client.ask(kind, 5.0 if answered else 0.05, *fields)
    assert not answered or isinstance(reply, protocol.Done)


def test_a_fault_in_its_thread_holds_the_hand_in_any_program(slow_rig, monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda failed: told.append(failed.exc_type))
    hand = XHand(slow_rig.address)
    hand.connect()
    hand.command(GOAL, kp=80, ki=0, kd=2, tor_max=90)
    wait_until_it_moves(slow_rig.plant)
    count = len(slow_rig.plant.commands)
    monkeypatch.setattr(slow_rig.server, "_answer_zeroing", lambda: 1 / 0)
    check_that_it_holds(slow_rig.plant)
    assert told == [ZeroDivisionError]
    check_that_it_was_not_the_dead_man(slow_rig.plant, count)
    hand.close()


def test_a_failed_keeper_of_keys_does_not_block_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda failed: None)
    create_keys(tmp_path)
    with served_hand(tmp_path) as rig:
        monkeypatch.setattr(rig.server._authenticator, "handle_zap_message", lambda message: 1 / 0)
        hand = XHand(rig.address, server_key=tmp_path / "server.key", client_key=tmp_path / "client.key_secret")
        with pytest.raises(RobotError, match="handshake"):
            hand.connect(timeout=0.5)
        assert not rig.server._authenticator.is_alive()


def test_closing_says_whether_the_hand_holds():
    with served_hand() as rig:
        wait_until(lambda: rig.device.reading.number > 3)
        assert rig.device.close(), "nobody commanded it"
    with served_hand() as rig:
        wait_until(lambda: rig.device.reading.number > 3)
        rig.device.command(GOAL, (80, 0, 2, 90))
        wait_until(lambda: rig.plant.commands)
        rig.faults.silent = True
        assert not rig.device.close()


def test_a_call_of_the_sdk_that_does_not_return_does_not_block_the_end(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr("real.hardware.hand_device._CLOSE_TIMEOUT", 0.1)
    with served_hand() as rig:
        monkeypatch.setattr(rig.device._control, "read_state", lambda *_: release.wait(20))
        time.sleep(0.05)
        assert not rig.device.close()
        release.set()
        rig.device._thread.join(5.0)


# -- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "with keys"])
def test_a_killed_client_holds_the_hand_before_the_dead_man_does(tmp_path, keyed):
    keys = tmp_path if keyed else None
    files = []
    if keyed:
        create_keys(tmp_path)
        files = [tmp_path / "server.key", tmp_path / "client.key_secret"]
    with served_hand(keys) as rig:
        rig.plant.lag = 1.0
        with client_program(rig.address, *files) as client:
            wait_until_it_moves(rig.plant)
            client.kill()
            count = len(rig.plant.commands)
            check_that_it_holds(rig.plant)
        check_that_it_was_not_the_dead_man(rig.plant, count)
        wait_until(lambda: rig.server._commander is None)


def test_the_end_of_another_client_does_not_matter(slow_rig):
    hand, other = XHand(slow_rig.address), XHand(slow_rig.address)
    hand.connect()
    other.connect()
    hand.command(GOAL)
    wait_until_it_moves(slow_rig.plant)
    count = len(slow_rig.plant.commands)
    other._commands._socket.close()
    wait_until(lambda: len(slow_rig.plant.commands) > count + 10)
    assert all(np.allclose(position, GOAL, atol=1e-5) for position, *_ in slow_rig.plant.commands[count:])
    other._commands = None
    other.close()
    hand.close()


def test_a_client_with_the_descriptor_of_one_that_is_gone_goes_on(slow_rig, monkeypatch):
    hand = XHand(slow_rig.address)
    hand.connect()
    hand.command(GOAL)
    wait_until_it_moves(slow_rig.plant)
    session = slow_rig.server._sessions[slow_rig.server._commander]
    gone = [{session.connection}]
    monkeypatch.setattr(slow_rig.server, "_disconnected", lambda: gone.pop() if gone else set())
    wait_until(lambda: not gone)
    hand.command(GOAL)
    wait_until(lambda: np.allclose(slow_rig.plant.target, GOAL, atol=1e-5))
    hand.close()


def test_another_client_may_command_at_once(slow_rig):
    hand, other = XHand(slow_rig.address), XHand(slow_rig.address)
    hand.connect()
    other.connect()
    hand.command(START)
    hand._commands._socket.close()  # as the kernel does for a killed process
    wait_until(lambda: slow_rig.server._commander is None)
    other.command(START)
    hand._commands = None
    hand.close()
    other.close()


# -- before it serves ------------------------------------------------------------------------------------------------


def run(*arguments):
    command = [sys.executable, "-m", "real.hand_server", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)


def test_without_the_vendor_sdk_it_says_where_it_is():
    result = run("--port", "/dev/ttyUSB0")
    assert result.returncode == 2
    assert "xhand_controller, cannot be imported" in result.stderr and "--twin HOST" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_twin_it_says_so():
    host = free_host()
    result = run("--twin", host, "--bind", f"tcp://{host}:5557")
    assert result.returncode == 3
    assert f"cannot open the hand at twin://{host}:5560" in result.stderr
