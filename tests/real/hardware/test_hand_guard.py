"""The guard: a killed hand server leaves no moving hand behind."""

from __future__ import annotations

import io
import os
import signal
import threading
import time

import numpy as np
import pytest
from hand_fakes import START, FakeHandPlant, free_host, wait_until
from hand_programs import check_that_it_holds, client_program, guard_of, is_alive, server_program, wait_until_it_moves

from real.hardware import hand_guard
from real.hardware.hand_device import HandDevice
from real.hardware.hand_guard import follow, hold
from real.hardware.hand_sdk import load_sdk
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


def test_a_killed_server_leaves_the_hand_holding(port):
    with server_program(port.host) as server, client_program(port.address):
        guard = guard_of(server.pid)
        wait_until_it_moves(port.plant)
        server.kill()
        check_that_it_holds(port.plant)
        wait_until(lambda: not is_alive(guard))
        assert "the hand holds its position" in server.stderr.read()


def test_the_guard_outlives_signals_that_the_server_gets_too(port):
    with server_program(port.host) as server, client_program(port.address):
        guard = guard_of(server.pid)
        assert os.getsid(guard) == guard, "no signal of a terminal reaches it"
        wait_until_it_moves(port.plant)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            os.kill(guard, number)
        time.sleep(0.05)
        server.kill()
        check_that_it_holds(port.plant)


def test_a_hand_that_was_not_commanded_is_left_alone(port):
    with server_program(port.host) as server:
        guard = guard_of(server.pid)
        hand = XHand(port.address)
        hand.connect()
        server.kill()
        wait_until(lambda: not is_alive(guard))
        assert port.plant.commands == []
        hand.close()


def test_without_its_guard_the_server_holds_the_hand_and_ends(port):
    with server_program(port.host) as server, client_program(port.address):
        wait_until_it_moves(port.plant)
        os.kill(guard_of(server.pid), signal.SIGKILL)
        check_that_it_holds(port.plant)
        assert server.wait(20) == 3
        assert "the hand's guard ended (status -9); start the hand server again" in server.stderr.read()


def test_what_a_server_says_is_followed_to_its_end():
    def said(*lines):
        return follow(io.BytesIO(b"".join(lines)))

    first, second = b"[100, 0, 1, 100]\n", b"[80, 0, 2, 90]\n"
    assert said() is None
    assert said(first) == (100, 0, 1, 100)
    assert said(first, second) == (80, 0, 2, 90)
    assert said(first, second, b"null\n") is None, "the hand is commanded no longer"
    assert said(first, b'"goodbye"\n') is None
    assert said(first, b"[80, 0") == (100, 0, 1, 100), "killed while it wrote"


def test_a_hand_that_answers_late_is_held(port):
    port.plant.lag = 0.05
    port.faults.silent = True
    threading.Timer(0.6, lambda: setattr(port.faults, "silent", False)).start()
    hold(HandDevice(load_sdk(twin=True), f"twin://{port.host}:5560"), (80, 0, 2, 90))
    position, *settings = port.plant.commands[-1]
    np.testing.assert_allclose(position, START, atol=1e-4)
    assert settings == [80, 0, 2, 90, 3]


def test_a_hand_that_never_answers_is_told(monkeypatch):
    monkeypatch.setattr(hand_guard, "_PATIENCE", 0.1)
    with pytest.raises(RobotError, match="the hand could not be held: cannot open the hand at"):
        hold(HandDevice(load_sdk(twin=True), f"twin://{free_host()}:5560"), (80, 0, 2, 90))
