"""The twin's hand on its serial line: frames over TCP where the hardware has RS485.

`real.hand_server --twin HOST` connects to it through a module of the vendor SDK's shape. Like a serial line it takes
one master at a time. Its answers are the plant's newest reading, which the plant has already delayed as the real bus
does. `faults` makes the line or the hand misbehave.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dexscrew_envs import program
from real.hand_protocol import FINGERS, HARDWARE_INDEX, JOINTS, is_loopback, load_key_pair, pack_counts, parse_address
from real.robot import RobotError, Vector
from real.twin.network.addresses import HAND_PORT, HAND_SERVER_PORT, check_free
from real.twin.network.hand_frames import (
    ERROR,
    EXCHANGE,
    FINGER_COMMAND,
    FINGER_STATE,
    HOST_ID,
    NAME,
    PALM_ID,
    READ_REGISTER,
    SERIAL_NUMBER,
    SIDE,
    STATE_BYTES,
    VERSION,
    ZERO_TACTILE,
    CrcError,
    Frame,
    take_frame,
)

_REGISTERS = {SIDE: b"L", SERIAL_NUMBER: b"TWIN-0001", NAME: b"twin"}
_FIRMWARE = b"twin 1"
_SENSOR_IDS = range(17, 17 + len(FINGERS))
_TIPS = {2: 17, 5: 18, 7: 19, 9: 20, 11: 21}  # Sensor ids of the hardware joints that carry a fingertip.
_TEMPERATURE = 30
_OUT_OF_RANGE, _UNKNOWN_COMMAND = 1501030, 1501002
_POLL = 0.1  # how often it looks whether it shall end (s)
_END_TIMEOUT = 5.0
_log = logging.getLogger(__name__)


class HandPlant(Protocol):
    """What the port needs of the plant."""

    @property
    def hand_q(self) -> Vector:
        """(12,) newest joint positions, policy order (rad)."""

    @property
    def hand_current(self) -> Vector:
        """(12,) motor currents (mA)."""

    @property
    def tactile(self) -> NDArray[np.int16]:
        """(5, 120, 3) counts of the taxels."""

    @property
    def resultant(self) -> NDArray[np.int16]:
        """(5, 3) counts of the forces on the fingertips."""

    def command_hand(
        self, position: ArrayLike, kp: int = 100, ki: int = 0, kd: int = 1, tor_max: int = 100, mode: int = 3
    ) -> None:
        """Send joint targets."""

    def zero_tactile(self) -> None:
        """Zero the tactile sensors."""


@dataclass
class HandFaults:
    """What shall go wrong; everything is right at first. Changed by tests while the port runs."""

    crc: int = 0
    """How many of the next answers get a wrong CRC."""
    error: int = 0
    """Error of all coming answers, which carry the state: 1501018 or 1501019, say; 0 for none."""
    frozen: bool = False
    """Every answer repeats the last one."""
    zeros: bool = False
    """States are filled with zeros."""
    silent: bool = False
    """Nothing is answered, nor carried out."""


class HandPort:
    """Serves the hand of a plant.

    Args:
        plant: whose hand it is.
        lock: held while the plant is used.
        host: address to listen at; a loopback address.
        port: TCP port.

    Attributes:
        error: what ended it, if it did not end on request.

    Raises:
        RobotError: the address is in use, or other machines reach it.
    """

    def __init__(self, plant: HandPlant, lock: threading.Lock, host: str = "127.0.0.2", port: int = HAND_PORT) -> None:
        if not is_loopback(host):
            raise RobotError(f"the twin's hand asks nobody for keys, so it needs an address in 127.0.0.0/8, not {host}")
        self.faults = HandFaults()
        self.error: BaseException | None = None
        self._plant, self._lock = plant, lock
        self._last_state = b""
        self._closing = threading.Event()
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((host, port))
        except OSError as error:
            self._listener.close()
            raise RobotError(f"the twin's hand cannot listen at {host}:{port}: {error.strerror}") from None
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve, name="hand port", daemon=True)

    def start(self) -> Self:
        """Serve from now on, in a thread."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop serving."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_END_TIMEOUT)
        self._listener.close()

    def _serve(self) -> None:
        try:
            while not self._closing.is_set():
                if wait([self._listener], _POLL):
                    self._accept()
        except BaseException as error:
            self.error = error
            _log.exception("the twin's hand ended")
        finally:
            self._listener.close()

    def _accept(self) -> None:
        """Serve the next master until it is gone."""
        try:
            connection, _ = self._listener.accept()
        except OSError as error:  # it is gone already, or too many files are open
            _log.warning("the twin's hand cannot take a connection: %s", error)
            self._closing.wait(_POLL)
            return
        with connection, contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(1.0)
            self._serve_master(connection)

    def _serve_master(self, connection: socket.socket) -> None:
        buffer = bytearray()
        while not self._closing.is_set():
            if not wait([connection], _POLL):
                continue
            received = connection.recv(65536)
            if not received:
                return
            buffer += received
            while True:
                try:
                    frame = take_frame(buffer)
                except CrcError:
                    continue
                if frame is None:
                    break
                answer = self.answer(frame)
                if answer is not None:
                    connection.sendall(answer)

    def answer(self, frame: Frame) -> bytes | None:
        """Carry out a frame from the master; return the answer, or None to stay silent."""
        faults = self.faults
        if frame.receiver != PALM_ID or faults.silent:
            return None
        try:
            command, data = frame.command, self._carry_out(frame)
        except ValueError:
            command, data = ERROR, struct.pack("<I", _OUT_OF_RANGE)
        except KeyError:
            command, data = ERROR, struct.pack("<I", _UNKNOWN_COMMAND)
        answer = bytearray(Frame(HOST_ID, PALM_ID, command, data).pack())
        if faults.crc > 0:
            faults.crc -= 1
            answer[-1] ^= 0xFF
        return bytes(answer)

    def _carry_out(self, frame: Frame) -> bytes:
        """Return the answer's data.

        Raises:
            ValueError: the data are none that the command takes.
            KeyError: there is no such command or register.
        """
        if frame.command == EXCHANGE:
            with self._lock:
                if frame.data:
                    self._command(frame.data)
                if not (self.faults.frozen and self._last_state):
                    self._last_state = bytes(STATE_BYTES) if self.faults.zeros else self._state()
            return self._last_state
        if frame.command == ZERO_TACTILE:
            if len(frame.data) != 1 or frame.data[0] not in _SENSOR_IDS:
                raise ValueError("no such sensor")
            if frame.data[0] == _SENSOR_IDS[0]:  # The plant zeroes all fingertips at once.
                with self._lock:
                    self._plant.zero_tactile()
            return b""
        if frame.command == VERSION:
            return _FIRMWARE
        if frame.command == READ_REGISTER and len(frame.data) == 1:
            return _REGISTERS[frame.data[0]]
        raise KeyError(frame.command)

    def _command(self, data: bytes) -> None:
        if len(data) != len(JOINTS) * FINGER_COMMAND.size:
            raise ValueError("an exchange has twelve joints")
        rows = list(FINGER_COMMAND.iter_unpack(data))
        settings = {(kp, ki, kd, tor_max, mode) for _, kp, ki, kd, _, tor_max, mode, *_ in rows}
        if len(settings) != 1:
            raise ValueError("the twin's joints have common gains, limit and mode")
        position = np.array([row[4] for row in rows])[HARDWARE_INDEX]
        if not np.isfinite(position).all():
            raise ValueError("positions must be finite")
        self._plant.command_hand(position, *settings.pop())

    def _state(self) -> bytes:
        plant, error = self._plant, self.faults.error % 1000
        position, current = np.zeros(len(JOINTS)), np.zeros(len(JOINTS))
        position[HARDWARE_INDEX], current[HARDWARE_INDEX] = plant.hand_q, plant.hand_current
        raw = np.round(position * 4096 / (2 * np.pi)).astype(int) % 65536
        fingers = b"".join(
            FINGER_STATE.pack(k, _TIPS.get(k, 0), position[k], int(current[k]) & 0xFFFF, raw[k], _TEMPERATURE, 0, 0,
                              error, 0, 0, 0)
            for k in range(len(JOINTS))
        )  # fmt: skip
        heat = bytes([_TEMPERATURE] * 21)
        sensors = b"".join(
            pack_counts(resultant) + pack_counts(taxels) + heat
            for resultant, taxels in zip(plant.resultant, plant.tactile, strict=True)
        )
        return fingers + sensors


def _run_server(arguments: list[str]) -> None:
    """Be a hand server until the process that started it ends, however it ends."""
    from real.hardware.hand_server import main

    sys.exit(program.run(lambda: main(arguments), follow_parent=True))


def _check_keys(folder: Path) -> None:
    """Raise RobotError unless a folder has the keys of a server, and of a client that it may serve."""
    make = "make keys with `python -m real.hand_server keys --folder keys`"
    try:
        load_key_pair(folder / "server.key_secret")
    except RobotError as error:
        raise RobotError(f"{error}; {make}") from None
    if not any((folder / "clients").glob("*.key")):
        raise RobotError(f"no client has a key in {folder / 'clients'}; {make}")


class HandServerProcess:
    """A hand server of its own process that serves a twin's hand to clients.

    Args:
        host: where the twin's `HandPort` listens.
        address: where clients reach the server; by default at the usual port of the same host.
        keys: folder with the server's keys and those of its clients; without, no keys are asked for.

    Raises:
        RobotError: the address is taken, there are no keys, or it does not start; what it printed says why.
    """

    def __init__(self, host: str = "127.0.0.2", address: str | None = None, keys: Path | None = None) -> None:
        self.address = address or f"tcp://{host}:{HAND_SERVER_PORT}"
        target = parse_address(self.address)
        check_free(target[0], [target[1]])
        arguments = ["--twin", host, "--bind", self.address]
        if keys is not None:
            _check_keys(keys)
            arguments += ["--keys", str(keys)]
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_run_server, args=(arguments,), daemon=True)
        self.process.start()
        end = time.monotonic() + 30.0
        while self.process.is_alive() and time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(target, timeout=1.0):
                return
            time.sleep(0.05)
        self.close()
        raise RobotError(f"the hand server for {self.address} did not start; see what it printed")

    @property
    def error(self) -> str | None:
        """How the process ended, or None while it runs."""
        status = self.process.exitcode
        if status is None:
            return None
        return f"it was ended by signal {-status}" if status < 0 else f"it ended with status {status}"

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.join(_END_TIMEOUT)
        self.process.kill()
        self.process.join(_END_TIMEOUT)
