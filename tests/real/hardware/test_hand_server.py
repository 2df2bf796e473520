"""The server and the device's thread, spoken to without the client."""

import socket
import time
from pathlib import Path

import numpy as np
import pytest
import zmq
from hand_fakes import START, is_held, served_hand, wait_until

from real import hand_protocol as protocol
from real.hardware import hand_server
from real.hardware.hand_device import DEAD_MAN, DeviceReading, HandDevice, describe
from real.hardware.hand_server import HandServer, SetupError, create_keys, load_sdk
from real.robot import RobotError

RNG = np.random.default_rng(3)


class Client:
    """A socket that speaks the protocol by hand."""

    def __init__(self, address: str) -> None:
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(address)
        self.sequence, self.key = 0, b""

    def send(self, frame: bytes) -> protocol.Reply:
        self.socket.send(frame)
        assert self.socket.poll(5000), "the server does not answer"
        return protocol.decode_reply(self.socket.recv())

    def hello(self, version=protocol.VERSION) -> protocol.Reply:
        welcome = self.send(protocol.encode(protocol.Hello(version, "test")))
        self.key = getattr(welcome, "session", b"")
        return welcome

    def ask(self, kind, *fields) -> protocol.Reply:
        self.sequence += 1
        return self.send(protocol.encode(kind(self.key, self.sequence, *fields)))

    def command(self, position=START, kp=100) -> protocol.Reply:
        return self.ask(protocol.Command, position.tolist(), kp, 0, 1, 100)

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def client(rig):
    client = Client(rig.address)
    client.hello()
    yield client
    client.close()


def wait_for_reading(rig):
    wait_until(lambda: rig.device.reading.number > 3)


# -- sessions and rights ----------------------------------------------------------------------------------------------


def test_a_welcome_names_the_hand(rig):
    client = Client(rig.address)
    welcome = client.hello()
    assert isinstance(welcome, protocol.Welcome) and len(welcome.session) == 16
    assert "TWIN-0001" in welcome.hand
    client.close()


def test_another_version_is_refused(rig):
    client = Client(rig.address)
    reply = client.hello(version=99)
    assert isinstance(reply, protocol.Refused) and "version 1 of the protocol, the client 99" in reply.reason
    client.close()


def test_messages_of_no_session_do_nothing(rig):
    client = Client(rig.address)
    client.key = b"?" * 16
    assert "no such session" in client.command().reason
    assert rig.plant.commands == []
    client.close()


def test_what_another_protocol_sends_does_nothing(rig, client):
    host, port = rig.address.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port))) as stranger:
        stranger.sendall(b"\x01\x00\x02\x00x")  # a peer of ZMTP 1.0, whose messages have no connection
        for _ in range(20):
            assert isinstance(client.ask(protocol.Read), protocol.State)
            time.sleep(0.005)


def test_a_replayed_message_does_nothing(rig, client):
    frame = protocol.encode(protocol.Command(client.key, 1, (START + 0.05).tolist(), 100, 0, 1, 100))
    assert isinstance(client.send(frame), protocol.Done)
    client.sequence = 1
    client.command(START)
    assert "came before" in client.send(frame).reason
    other = Client(rig.address)
    other.hello()
    assert "no such session" in other.send(frame).reason, "nor from another client"
    other.close()
    wait_until(lambda: np.allclose(rig.plant.target, START, atol=1e-6))


def test_one_client_commands_at_a_time(rig, client):
    other = Client(rig.address)
    other.hello()
    assert isinstance(client.command(), protocol.Done)
    for refused in (other.command(), other.ask(protocol.Hold), other.ask(protocol.Zero)):
        assert "another client commands the hand (test)" in refused.reason
    assert isinstance(other.ask(protocol.Read), protocol.State)
    client.ask(protocol.Bye)
    assert isinstance(other.command(), protocol.Done)
    other.close()


def test_sessions_are_limited(rig, monkeypatch):
    monkeypatch.setattr(hand_server, "SESSIONS", 2)
    clients = [Client(rig.address) for _ in range(3)]
    replies = [client.hello() for client in clients]
    assert [type(reply) for reply in replies] == [protocol.Welcome, protocol.Welcome, protocol.Refused]
    for client in clients:
        client.close()


def test_targets_out_of_range_are_refused(rig, client):
    bad = START.copy()
    bad[1] = 2.5
    assert "outside its range" in client.command(bad).reason
    assert "finite" in client.command(np.full(12, np.nan)).reason
    assert rig.plant.commands == []


# -- motion -----------------------------------------------------------------------------------------------------------


def test_nothing_moves_before_a_command(rig, client):
    wait_for_reading(rig)
    assert isinstance(client.ask(protocol.Read), protocol.State)
    assert rig.plant.commands == []


def test_joints_are_commanded_in_policy_order(rig, client):
    target = np.clip(START + np.linspace(-0.05, 0.05, 12), protocol.LOWER, protocol.UPPER)
    client.command(target, kp=80)
    wait_until(lambda: rig.plant.commands)
    position, *settings = rig.plant.commands[-1]
    np.testing.assert_allclose(position, target, atol=1e-6)
    assert settings == [80, 0, 1, 100, 3]


def test_a_silent_commander_is_replaced_by_a_hold(rig, client):
    wait_for_reading(rig)
    began = time.monotonic()
    client.command(START + 0.1)
    time.sleep(0.05)
    rig.plant.target = START + 0.02  # A load keeps the fingers from where they were told to be.
    rig.plant.command_hand = lambda position, *settings: rig.plant.commands.append((np.array(position), *settings))
    wait_until(lambda: rig.plant.commands and not np.allclose(rig.plant.commands[-1][0], START + 0.1, atol=1e-6))
    assert time.monotonic() - began > 0.8 * DEAD_MAN
    held = rig.plant.commands[-1][0]
    np.testing.assert_allclose(held, rig.plant.q, atol=0.02)
    time.sleep(0.1)
    np.testing.assert_array_equal(rig.plant.commands[-1][0], held)
    other = Client(rig.address)
    other.hello()
    wait_until(lambda: isinstance(other.command(), protocol.Done))
    other.close()


def test_the_end_of_a_session_holds_the_hand(rig, client):
    wait_for_reading(rig)
    client.command(START + 0.15)
    wait_until(lambda: rig.plant.commands)
    client.ask(protocol.Bye)
    wait_until(lambda: is_held(rig.plant, START, START + 0.15))


def test_closing_the_server_holds_the_hand():
    with served_hand() as rig:
        wait_for_reading(rig)
        client = Client(rig.address)
        client.hello()
        client.command(START + 0.15)
        wait_until(lambda: rig.plant.commands)
    assert is_held(rig.plant, START, START + 0.15)
    client.close()


# -- readings ---------------------------------------------------------------------------------------------------------


def test_readings_are_in_policy_order_and_count(rig, client):
    rig.plant.target = np.clip(START + 0.1, protocol.LOWER, protocol.UPPER)
    wait_until(lambda: np.allclose(rig.device.reading.q, rig.plant.target, atol=1e-3))
    first = client.ask(protocol.Read)
    wait_until(lambda: client.ask(protocol.Read).number > first.number + 2)
    counts = protocol.unpack_counts(first.tactile)
    assert counts[:, 2].mean() == pytest.approx(40, abs=1)


def test_currents_are_signed(rig, monkeypatch):
    monkeypatch.setattr(type(rig.plant), "hand_current", property(lambda plant: np.arange(-600.0, 600.0, 100.0)))
    wait_until(lambda: rig.device.reading.current.min() < 0)
    np.testing.assert_array_equal(rig.device.reading.current, np.arange(-600, 600, 100))


@pytest.mark.parametrize(("error", "words", "joints", "tactile"), [
    (1501018, "cannot read the force on a fingertip (1501018)", True, False),
    (1501019, "cannot read the taxels (1501019)", True, False),
    (1501020, "cannot read the temperature (1501020)", True, True),
    (1501035, "over-current", False, False),
])  # fmt: skip
def test_errors_are_told_and_what_they_concern_keeps_its_time(rig, error, words, joints, tactile):
    wait_for_reading(rig)
    rig.faults.error = error
    wait_until(lambda: any(words in e for e in rig.device.reading.errors))
    before = rig.device.reading
    time.sleep(0.3)
    after = rig.device.reading
    assert (after.number > before.number) == (after.time > before.time) == joints
    assert (after.tactile_number > before.tactile_number) == (after.tactile_time > before.tactile_time) == tactile
    rig.faults.error = 0
    wait_until(lambda: not rig.device.reading.errors)


def test_a_wrong_crc_costs_one_reading(rig):
    wait_for_reading(rig)
    seen = []
    rig.faults.crc = 20
    wait_until(lambda: seen.append(rig.device.reading) or rig.faults.crc == 0)
    assert any("CRC of an answer (1501070)" in error for reading in seen for error in reading.errors)
    number = rig.device.reading.number
    wait_until(lambda: rig.device.reading.number > number and not rig.device.reading.errors)


def test_a_frozen_reading_keeps_its_old_time(rig):
    wait_for_reading(rig)
    rig.faults.frozen = True
    wait_until(lambda: any("repeated one reading" in error for error in rig.device.reading.errors))
    before = rig.device.reading.time
    time.sleep(0.2)
    assert rig.device.reading.time == before
    rig.faults.frozen = False
    wait_until(lambda: rig.device.reading.time > before)


def test_a_state_of_zeros_is_none(rig):
    wait_for_reading(rig)
    rig.faults.zeros = True
    wait_until(lambda: any("state of zeros" in error for error in rig.device.reading.errors))
    assert rig.device.reading.q.any()


def test_a_silent_hand_is_opened_again_and_does_not_move_when_it_returns(rig, client):
    wait_for_reading(rig)
    client.command(START + 0.1)
    rig.faults.silent = True
    wait_until(lambda: any("serial communication" in error for error in rig.device.reading.errors))
    wait_until(lambda: any("hands answer" in error for error in rig.device.reading.errors))
    rig.faults.silent = False
    number, count = rig.device.reading.number, len(rig.plant.commands)
    wait_until(lambda: rig.device.reading.number > number)
    time.sleep(0.2)
    assert len(rig.plant.commands) == count


# -- zeroing ----------------------------------------------------------------------------------------------------------


def test_zeroing_subtracts_what_the_hand_leaves(rig, client):
    wait_for_reading(rig)
    assert isinstance(client.ask(protocol.Zero), protocol.Done)
    assert rig.plant.zeroed >= 1
    wait_until(lambda: np.abs(rig.device.reading.resultant).max() <= 2)
    assert np.abs(rig.device.reading.tactile.mean(axis=(0, 1))).max() < 1


def test_zeroing_is_verified(rig, client, monkeypatch):
    wait_for_reading(rig)
    kind = type(rig.plant)
    restless = property(lambda plant: RNG.integers([-90, -90, 0], [90, 90, 180], (5, 120, 3)).astype(np.int16))
    monkeypatch.setattr(kind, "tactile", restless)
    refused = client.ask(protocol.Zero)
    assert "after 5 zeroings a tactile sensor still reads" in refused.reason


def test_zeroing_without_tactile_readings_fails(rig, client):
    wait_for_reading(rig)
    rig.faults.error = 1501018
    assert "no fresh tactile readings: cannot read the force" in client.ask(protocol.Zero).reason


# -- where it listens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "192.168.1.5"])
def test_other_machines_need_keys(host):
    with pytest.raises(RobotError, match="can be reached from other machines, which needs keys"):
        HandServer(HandDevice(load_sdk(twin=True), ""), f"tcp://{host}:5557")


def test_a_port_in_use_is_refused(rig):
    with pytest.raises(RobotError, match=r"port 5557 is in use; another hand server may run"):
        HandServer(rig.device, rig.address)


def test_keys_are_made_once_and_kept_secret(tmp_path, capsys):
    create_keys(tmp_path / "keys")
    files = {p.relative_to(tmp_path / "keys").as_posix(): p for p in (tmp_path / "keys").rglob("*") if p.is_file()}
    assert sorted(files) == ["client.key_secret", "clients/client.key", "server.key", "server.key_secret"]
    assert all(files[name].stat().st_mode & 0o077 == 0 for name in files if "secret" in name)
    with pytest.raises(RobotError, match="has keys already"):
        create_keys(tmp_path / "keys")
    with pytest.raises(RobotError, match="no key in"):
        HandServer(HandDevice(load_sdk(twin=True), ""), "tcp://127.0.0.1:5599", tmp_path)


# -- the device -------------------------------------------------------------------------------------------------------


def test_a_hand_that_cannot_be_opened_is_told():
    with pytest.raises(RobotError, match=r"cannot open the hand at /dev/ttyUSB0: cannot be opened \(1501039\); check"):
        HandDevice(load_sdk(twin=True), "/dev/ttyUSB0").start()


def test_a_right_hand_is_refused(monkeypatch):
    monkeypatch.setattr("real.twin.network.hand_port._REGISTERS", {20: b"R", 21: b"TWIN-0002"})
    with pytest.raises(RobotError, match="of type 'R'; the policies are for a left one"), served_hand():
        pass


def test_an_sdk_that_raises_does_not_end_the_thread(rig, monkeypatch):
    wait_for_reading(rig)
    broken = rig.device._control.read_state
    monkeypatch.setattr(rig.device._control, "read_state", lambda *_: 1 / 0)
    wait_until(lambda: any("the SDK failed: ZeroDivisionError" in error for error in rig.device.reading.errors))
    monkeypatch.setattr(rig.device._control, "read_state", broken)
    wait_until(lambda: not rig.device.reading.errors)


def test_error_codes_have_words():
    assert describe(1501035) == "over-current for more than 0.5 s: free the fingers (1501035)"
    assert describe(1501999, "what the SDK says") == "what the SDK says (1501999)"


def test_a_reading_before_the_first_is_infinitely_old():
    assert DeviceReading().time == -np.inf


# -- the fuzzer -------------------------------------------------------------------------------------------------------


def test_ten_thousand_random_messages_move_nothing(rig, client):
    rng = np.random.default_rng(2)
    fuzzer = Client(rig.address)
    good = protocol.encode(protocol.Command(b"s" * 16, 1, (START + 0.1).tolist(), 100, 0, 1, 100))
    for k in range(10_000):
        if k % 4 == 0:
            frames = [rng.bytes(int(rng.integers(0, 120)))]
        elif k % 4 == 1:
            frame = bytearray(good)
            frame[int(rng.integers(len(frame)))] = int(rng.integers(256))
            frames = [bytes(frame)]
        elif k % 4 == 2:
            frames = [rng.bytes(int(rng.integers(0, 20))) for _ in range(int(rng.integers(2, 5)))]
        else:
            frames = [protocol.encode(protocol.Hold(rng.bytes(16), int(rng.integers(1, 1000))))]
        fuzzer.socket.send_multipart(frames)
        while fuzzer.socket.poll(0):
            fuzzer.socket.recv()
    fuzzer.socket.send(bytes(10 * protocol.MAX_REQUEST))
    wait_until(lambda: isinstance(client.ask(protocol.Read), protocol.State))
    assert rig.plant.commands == []
    assert isinstance(client.command(), protocol.Done)
    fuzzer.close()


def test_a_message_that_is_too_long_ends_the_connection_only(rig, client):
    big = Client(rig.address)
    big.socket.send(bytes(protocol.MAX_REQUEST + 1))
    assert not big.socket.poll(300)
    assert isinstance(client.ask(protocol.Read), protocol.State)
    big.close()


def test_keys_that_cannot_be_written_are_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "keys", Path("/proc/none/keys")):
        with pytest.raises(SetupError, match=r"cannot be a folder of keys: .*; give another --folder"):
            create_keys(folder)
    assert (tmp_path / "file").read_text() == "mine"
