import binascii
import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hand_fakes import START, FakeHandPlant, free_host, wait_until

from real.hardware.xhand import XHand
from real.robot import RobotError
from real.twin.network.hand_frames import (
    ERROR,
    EXCHANGE,
    FINGER_COMMAND,
    HEAD,
    HOST_ID,
    PALM_ID,
    READ_REGISTER,
    STATE_BYTES,
    VERSION,
    CrcError,
    Frame,
    take_frame,
)
from real.twin.network.hand_port import HandPort, HandServerProcess


@pytest.fixture
def port():
    host, plant = free_host(), FakeHandPlant()
    port = HandPort(plant, threading.Lock(), host).start()
    port.plant, port.host = plant, host
    yield port
    port.close()


def exchange(port, data=b"", command=EXCHANGE, receiver=PALM_ID):
    with socket.create_connection((port.host, 5560), timeout=2.0) as line:
        line.sendall(Frame(receiver, HOST_ID, command, data).pack())
        return receive(line)


def receive(line):
    buffer = bytearray()
    while True:
        buffer += line.recv(65536)
        frame = take_frame(buffer)
        if frame is not None:
            return frame


def rows(*joints):
    return b"".join(FINGER_COMMAND.pack(*joint, 0, 0, 0, 0) for joint in joints)


def test_sizes_are_those_of_the_hardware():
    assert len(Frame(PALM_ID, HOST_ID, EXCHANGE, bytes(12 * FINGER_COMMAND.size)).pack()) == 288 + 9
    assert STATE_BYTES == 2208


def test_the_crc_is_xmodem():
    frame = Frame(0x31, 0x32, 0x33, b"456789").pack()
    assert frame[:2] == b"\x55\xaa" and frame[5:7] == b"\x06\x00"
    assert binascii.crc_hqx(b"123456789", 0) == 0x31C3, "the check value of CRC-16/XMODEM"


def test_frames_are_found_in_a_stream():
    first, second = Frame(1, 2, 3, b"abc"), Frame(4, 5, 6, b"")
    buffer = bytearray(b"noise\x55" + first.pack() + b"\x55" + second.pack()[:5])
    assert take_frame(buffer) == first
    assert take_frame(buffer) is None
    buffer += second.pack()[5:]
    assert take_frame(buffer) == second
    assert not take_frame(buffer) and len(buffer) <= 1


def test_a_wrong_crc_is_noticed_and_the_next_frame_still_found():
    wrong, right = bytearray(Frame(1, 2, 3, b"abc").pack()), Frame(4, 5, 6, b"x")
    wrong[8] ^= 1
    buffer = bytearray(wrong + right.pack())
    with pytest.raises(CrcError):
        take_frame(buffer)
    assert take_frame(buffer) == right


def test_an_impossible_length_does_not_block_the_stream():
    buffer = bytearray(HEAD + b"\x01\x02\x03\xff\xff" + Frame(1, 2, 3).pack())
    assert take_frame(buffer) == Frame(1, 2, 3)


def test_an_exchange_moves_the_hand_and_one_without_data_does_not(port):
    assert len(exchange(port).data) == STATE_BYTES
    assert port.plant.commands == []
    exchange(port, rows(*[(k, 100, 0, 1, 0.1 * k, 100, 3) for k in range(12)]))
    position = port.plant.commands[0][0]
    assert position[9] == pytest.approx(0.0) and position[0] == pytest.approx(0.3), "the line has the vendor's order"


@pytest.mark.parametrize("data", [
    b"x", bytes(287), bytes(289),
    rows(*[(k, 100, 0, 1, float("inf"), 100, 3) for k in range(12)]),
    rows(*[(k, 100 + k, 0, 1, 0.1, 100, 3) for k in range(12)]),
])  # fmt: skip
def test_impossible_commands_are_answered_by_an_error(port, data):
    answer = exchange(port, data)
    assert answer.command == ERROR
    assert int.from_bytes(answer.data, "little") == 1501030
    assert port.plant.commands == []


def test_unknown_commands_and_registers_are_answered_by_an_error(port):
    assert exchange(port, command=0x7F).command == ERROR
    assert exchange(port, bytes([99]), command=READ_REGISTER).command == ERROR
    assert exchange(port, command=VERSION).command == VERSION


def test_frames_for_others_are_ignored(port):
    with pytest.raises(TimeoutError), socket.create_connection((port.host, 5560), timeout=0.3) as line:
        line.sendall(Frame(PALM_ID + 1, HOST_ID, VERSION).pack())
        receive(line)


def test_faults(port):
    first = exchange(port).data
    port.faults.frozen = True
    assert exchange(port).data == exchange(port).data
    port.faults.frozen = False
    assert exchange(port).data != first
    port.faults.zeros = True
    assert exchange(port).data == bytes(STATE_BYTES)


def test_ten_thousand_random_packets_move_nothing(port):
    rng = np.random.default_rng(1)
    good = Frame(PALM_ID, HOST_ID, EXCHANGE, rows(*[(k, 100, 0, 1, 1.0, 100, 3) for k in range(12)])).pack()
    packets = []
    for k in range(10_000):
        if k % 3 == 0:
            packet = bytearray(good)  # One bit wrong.
            packet[int(rng.integers(len(packet)))] ^= 1 << int(rng.integers(8))
        elif k % 3 == 1:
            packet = rng.bytes(int(rng.integers(1, 100)))
        else:
            packet = good[: int(rng.integers(len(good)))]
        packets.append(bytes(packet))
    for begin in range(0, len(packets), 500):
        with socket.create_connection((port.host, 5560), timeout=5.0) as line:
            line.setblocking(False)
            data = b"".join(packets[begin : begin + 500])
            end = time.monotonic() + 10
            while data and time.monotonic() < end:
                try:
                    data = data[line.send(data[:20_000]) :]
                    while line.recv(65536):
                        pass
                except BlockingIOError:
                    time.sleep(0.001)
                except OSError:
                    break
    assert port.plant.commands == []
    assert len(exchange(port).data) == STATE_BYTES


def test_a_new_master_is_served_after_the_old_one_is_gone(port):
    with socket.create_connection((port.host, 5560), timeout=2.0) as line:
        line.sendall(b"\x55\xaa")
    assert len(exchange(port).data) == STATE_BYTES


def test_a_port_in_use_is_refused(port):
    with pytest.raises(RobotError, match=r"cannot listen at 127.*:5560: Address already in use"):
        HandPort(port.plant, threading.Lock(), port.host)


def test_other_machines_cannot_reach_it():
    with pytest.raises(RobotError, match=r"needs an address in 127.0.0.0/8, not 0.0.0.0"):
        HandPort(FakeHandPlant(), threading.Lock(), "0.0.0.0")


def test_a_killed_hand_server_stops_nothing_else_and_a_new_one_takes_over(port):
    server = HandServerProcess(port.host)
    hand = XHand(server.address)
    try:
        hand.connect()
        hand.command(START + 0.05)
        os.kill(server.process.pid, 9)
        wait_until(lambda: any("is lost" in error for error in hand.read().errors))
        wait_until(lambda: not np.allclose(port.plant.target, START + 0.05, atol=1e-6))  # its guard holds the hand
        with pytest.raises(RobotError, match=r"cannot command the hand: the hand server at .* is lost"):
            hand.command(START)
        count = len(port.plant.commands)
        hand.hold()
        time.sleep(0.2)
        assert len(port.plant.commands) == count, "no motion without a server"
        server.close()
        server = HandServerProcess(port.host)
        hand.recover()
        assert not hand.read().errors
        hand.command(START + 0.1)
        wait_until(lambda: np.allclose(hand.read().q, START + 0.1, atol=0.01))
    finally:
        hand.close()
        server.close()


def test_a_hand_server_ends_with_the_process_that_started_it(port):
    code = (
        "import os, sys, time\n"
        "from real.twin.network.hand_port import HandServerProcess\n"
        "if __name__ == '__main__':\n"
        "    server = HandServerProcess(sys.argv[1])\n"
        "    print(server.process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, port.host], stdout=subprocess.PIPE, text=True) as parent:
        server = next(int(line) for line in parent.stdout if line.strip().isdigit())
        hand = XHand(f"tcp://{port.host}:5557")
        hand.connect()
        hand.command(START + 0.15)
        wait_until(lambda: port.plant.commands)
        parent.kill()
    wait_until(lambda: not np.allclose(port.plant.target, START + 0.15, atol=1e-6))
    wait_until(lambda: not os.path.exists(f"/proc/{server}") or b"Z" in _status(server))
    hand.close()


def _status(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rsplit(b")", 1)[1].split()[0]
    except OSError:
        return b"Z"


@pytest.mark.parametrize("fault", [RuntimeError("broken"), TypeError("wrong")], ids=repr)
def test_a_fault_of_its_own_is_recorded_and_ends_the_line(port, fault):
    def command_hand(*_):
        raise fault

    port.plant.command_hand = command_hand
    with socket.create_connection((port.host, 5560), timeout=10.0) as line:
        line.sendall(Frame(PALM_ID, HOST_ID, EXCHANGE, rows(*[(k, 100, 0, 1, 0.1, 100, 3) for k in range(12)])).pack())
        assert line.recv(1) == b""
    wait_until(lambda: port.error is fault)

    def refused() -> bool:
        try:
            socket.create_connection((port.host, 5560), timeout=2.0).close()
        except ConnectionError:
            return True
        return False

    wait_until(refused)  # its thread closes the line after it has recorded the fault
