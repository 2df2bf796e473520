import os
import socket
import time
from types import SimpleNamespace

import numpy as np
import pytest
import zmq
from hand_fakes import START, free_host, is_held, served_hand, wait_until

from real import hand_protocol as protocol
from real.hardware.hand_server import HandServer, create_keys
from real.hardware.xhand import XHand
from real.robot import RobotError


def test_a_reading(rig, hand):
    state = hand.read()
    np.testing.assert_allclose(state.q, START, atol=1e-6)
    assert state.current.shape == (12,) and state.tactile.shape == (5, 120, 3) and state.resultant.shape == (5, 3)
    assert state.tactile.dtype == state.resultant.dtype == np.int16
    assert state.tactile[..., 2].mean() == pytest.approx(40, abs=1)
    assert state.errors == ()
    assert 0 <= time.monotonic() - state.time < 2.0


def test_readings_come_at_the_rate_of_the_hand(hand):
    times = set()
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        times.add(hand.read().time)
        time.sleep(0.003)
    assert 5 < len(times) < 95
    assert all(np.diff(sorted(times)) > 0)


def test_reading_never_waits(rig, hand):
    rig.server.close()
    began = time.monotonic()
    for _ in range(1000):
        hand.read()
    assert time.monotonic() - began < 1.0


def test_commands_move_the_hand(rig, hand):
    hand.command(START + 0.05, kp=90, kd=2, tor_max=80)
    wait_until(lambda: rig.plant.commands)
    assert rig.plant.commands[-1][1:] == (90, 0, 2, 80, 3)
    wait_until(lambda: np.allclose(hand.read().q, START + 0.05, atol=1e-3))


def test_hold_keeps_the_measured_position(rig, hand):
    hand.command(START + 0.15)
    wait_until(lambda: rig.plant.commands)
    hand.hold()
    wait_until(lambda: is_held(rig.plant, START, START + 0.15))


def test_zeroing(rig, hand):
    hand.zero_tactile()
    wait_until(lambda: np.abs(hand.read().resultant).max() <= 2)


@pytest.mark.parametrize(("q", "gains", "words"), [
    (START[:11], {}, r"needs 12 joint targets, got shape \(11,\)"),
    (np.full(12, np.inf), {}, "finite"),
    (START + 1.0, {}, "outside its range"),
    (START, dict(kp=1.5), "kp must be an integer from 0 to 400, got 1.5"),
    (START, dict(tor_max=500), "tor_max must be an integer"),
])  # fmt: skip
def test_impossible_commands_are_refused(rig, hand, q, gains, words):
    with pytest.raises(ValueError, match=words):
        hand.command(q, **gains)
    assert rig.plant.commands == []


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_nothing_answers():
    hand = XHand(f"tcp://{free_host()}:5557")
    with pytest.raises(RobotError, match=r"nothing answers at tcp://127.*:5557; start the hand server"):
        hand.connect(timeout=0.3)


def test_something_else_answers():
    host = free_host()
    with socket.create_server((host, 5557)), pytest.raises(RobotError, match="or it is no hand server"):
        XHand(f"tcp://{host}:5557").connect(timeout=0.5)
    context = zmq.Context.instance()
    with context.socket(zmq.ROUTER) as other:
        other.bind(f"tcp://{host}:5558")
        with pytest.raises(RobotError, match="is no hand server of version 1"):
            XHand(f"tcp://{host}:5558").connect(timeout=0.5)


def test_another_version_answers(rig, monkeypatch):
    monkeypatch.setattr("real.hardware.xhand.protocol", SimpleNamespace(**(vars(protocol) | {"VERSION": 2})))
    with pytest.raises(RobotError, match="speaks version 1 of the protocol, the client 2; update the older one"):
        XHand(rig.address).connect()


def test_before_connecting_it_says_so(rig):
    hand = XHand(rig.address)
    with pytest.raises(RobotError, match=r"call connect\(\)"):
        hand.read()
    with pytest.raises(RobotError, match=r"call connect\(\)"):
        hand.command(START)
    hand.hold()
    hand.close()


def test_another_client_commands(rig, hand):
    other = XHand(rig.address)
    other.connect()
    hand.command(START)
    with pytest.raises(RobotError, match="another client commands the hand"):
        other.command(START)
    other.hold()
    assert other.read().q.shape == (12,)
    other.close()


def test_a_lost_server_is_told_and_a_new_one_found(rig, hand):
    hand.command(START)
    rig.server.close()
    time_of_last = hand.read().time
    wait_until(lambda: any("is lost" in error and "connect again" in error for error in hand.read().errors))
    assert hand.read().time - time_of_last < 0.1
    with pytest.raises(RobotError, match=r"cannot command the hand: the hand server at .* is lost"):
        hand.command(START)
    hand.hold()
    rig.server = HandServer(rig.device, rig.address)
    rig.server.start()
    with pytest.raises(RobotError, match="is lost"):
        hand.command(START)
    hand.recover()
    assert hand.read().errors == ()
    hand.command(START)


def test_a_server_that_never_comes_back(rig, hand):
    rig.server.close()
    wait_until(lambda: hand.read().errors)
    with pytest.raises(RobotError, match="nothing answers"):
        hand.connect(timeout=0.3)


def test_a_frozen_reading_keeps_its_old_time(rig, hand):
    rig.faults.frozen = True
    wait_until(lambda: any("repeated one reading" in error for error in hand.read().errors))
    before = hand.read()
    time.sleep(0.2)
    after = hand.read()
    assert after.time == before.time and after.tactile_time == before.tactile_time
    with pytest.raises(RobotError, match=r"readings are .* s old: the hand has repeated one reading"):
        hand.recover()
    rig.faults.frozen = False
    wait_until(lambda: hand.read().time > before.time)


def test_a_sensor_error_makes_the_tactile_frame_old_but_not_the_joints(rig, hand):
    rig.faults.error = 1501018
    wait_until(lambda: any("1501018" in error for error in hand.read().errors))
    before = hand.read()
    wait_until(lambda: hand.read().time > before.time)
    assert hand.read().tactile_time == before.tactile_time


def test_a_hand_without_readings(monkeypatch):
    with served_hand() as rig:
        rig.faults.zeros = True
        wait_until(lambda: rig.device.reading.errors)
        monkeypatch.setattr(rig.device, "reading", type(rig.device.reading)(errors=rig.device.reading.errors))
        with pytest.raises(RobotError, match="has no reading of the hand: a state of zeros"):
            XHand(rig.address).connect(timeout=0.3)


@pytest.mark.parametrize("fault", [ValueError("odd"), zmq.ContextTerminated(), KeyError("q")], ids=repr)
def test_a_fault_of_the_thread_that_reads_loses_the_hand_which_can_still_be_held(rig, hand, monkeypatch, fault):
    hand.command(START + 0.15)
    wait_until(lambda: rig.plant.commands)

    def unpack(packed):
        raise fault

    monkeypatch.setattr(protocol, "unpack_counts", unpack)
    wait_until(lambda: any("is lost" in error for error in hand.read().errors))
    with pytest.raises(RobotError, match=f"is lost .*{type(fault).__name__}.*connect again"):
        hand.command(START)
    hand.hold()
    wait_until(lambda: is_held(rig.plant, START, START + 0.15))


def test_a_context_that_ended_is_an_error_and_a_hold_is_safe(rig, monkeypatch):
    context = zmq.Context()
    monkeypatch.setattr(zmq.Context, "instance", lambda: context)
    hand = XHand(rig.address)
    hand.connect()
    hand._commands._socket.close()
    with pytest.raises(RobotError, match="is broken"):
        hand.command(START)
    hand.hold()
    hand.close()
    context.term()
    with pytest.raises(RobotError, match="cannot connect to"):
        hand.connect()


def test_a_failed_connection_leaves_none_open(rig, monkeypatch):
    monkeypatch.setattr("real.hardware.hand_server.SESSIONS", 1)
    hand = XHand(rig.address)
    with pytest.raises(RobotError, match="has 1 clients already"):
        hand.connect()
    wait_until(lambda: not rig.server._sessions)


# -- keys -------------------------------------------------------------------------------------------------------------


def test_other_machines_need_keys():
    with pytest.raises(RobotError, match="is on another machine, which needs keys"):
        XHand("tcp://192.168.1.5:5557")


def test_one_key_alone_is_no_use(tmp_path):
    with pytest.raises(RobotError, match="give both"):
        XHand(server_key=tmp_path / "server.key")
    with pytest.raises(RobotError, match="no key in"):
        XHand(server_key=tmp_path / "server.key", client_key=tmp_path / "client.key_secret")


def test_keys(tmp_path):
    keys, others = tmp_path / "keys", tmp_path / "others"
    create_keys(keys)
    create_keys(others)
    with served_hand(keys) as rig:
        right = XHand(rig.address, server_key=keys / "server.key", client_key=keys / "client.key_secret")
        right.connect()
        right.command(START)
        right.close()
        wrong_client = XHand(rig.address, server_key=keys / "server.key", client_key=others / "client.key_secret")
        wrong_server = XHand(rig.address, server_key=others / "server.key", client_key=keys / "client.key_secret")
        for wrong in (wrong_client, wrong_server, XHand(rig.address)):
            with pytest.raises(RobotError, match="the keys are wrong or missing"):
                wrong.connect(timeout=1.0)
    with pytest.raises(RobotError, match="has no secret key"):
        XHand(server_key=keys / "server.key", client_key=keys / "clients" / "client.key")


def test_the_process_is_named_to_others(rig, hand):
    hand.command(START)
    other = XHand(rig.address)
    other.connect()
    with pytest.raises(RobotError, match=f"process {os.getpid()}"):
        other.command(START)
    other.close()
