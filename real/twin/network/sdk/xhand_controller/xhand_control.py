"""What the hand server needs of the vendor's module, with its names, argument order and quirks, for the twin's hand.

Quirks that are kept, since a driver must live with them: every call returns an `ErrorStruct` that is always true, a
failed call returns the cached state, which is zeros at first, arrays are read as new lists of the same elements, and
integer fields take no floats. Names are the vendor's, misspelt ones too. Ours: the port is written twin://127.0.0.2:5560.
"""

from __future__ import annotations

import operator
import re
import socket
import struct
from multiprocessing.connection import wait
from typing import Any

from real.twin.network.hand_frames import (
    ERROR,
    EXCHANGE,
    FINGER_COMMAND,
    FINGER_STATE,
    HAND_ID,
    HOST_ID,
    NAME,
    PALM_ID,
    READ_REGISTER,
    SENSOR_BYTES,
    SERIAL_NUMBER,
    SIDE,
    STATE_BYTES,
    VERSION,
    ZERO_TACTILE,
    CrcError,
    Frame,
    take_frame,
)

_TIMEOUT = 0.25
_BASE = 1501000
_INVALID_ID, _NOT_OPEN, _OPEN_FAILED, _SERIAL, _CRC = 37, 38, 39, 50, 70
_MESSAGES = {
    2: "Command error",
    18: "Sensor fails to read the combined force",
    19: "Sensor fails to read the distributed force",
    20: "Sensor fails to read the temperature",
    30: "Parameter out of range",
    35: "Over current",
    _INVALID_ID: "Invalid device ID",
    _NOT_OPEN: "Device is not initialized",
    _OPEN_FAILED: "Open device failed",
    _SERIAL: "Serial communication error",
    _CRC: "Communication data CRC error",
}


class ErrorStruct:
    """What a call reports; 0 is success."""

    def __init__(self, code: int = 0) -> None:
        self.error_code = _BASE + code if code else 0
        self.error_message = _MESSAGES.get(code, "") if code else ""

    def reset(self) -> None:
        """Make it a success."""
        self.error_code, self.error_message = 0, ""


class _Integer:
    """An integer field of limited range; a float raises TypeError, as it does in the vendor's module."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = "_" + name

    def __get__(self, instance: object, owner: type | None = None) -> int:
        return getattr(instance, self._name, 0)

    def __set__(self, instance: object, value: Any) -> None:
        number = operator.index(value)
        if not self._low <= number <= self._high:
            raise TypeError(f"incompatible value {value!r} for {self._name[1:]}")
        setattr(instance, self._name, number)


def _uint16() -> _Integer:
    return _Integer(0, 65535)


def _int16() -> _Integer:
    return _Integer(-32768, 32767)


class FingerCommand_t:
    """What one joint shall do."""

    id, tor_max, mode = _uint16(), _uint16(), _uint16()
    kp, ki, kd = _int16(), _int16(), _int16()
    res0, res1, res2, res3 = _uint16(), _uint16(), _uint16(), _uint16()

    def __init__(self) -> None:
        self._position = 0.0

    @property
    def position(self) -> float:
        """Joint target (rad)."""
        return self._position

    @position.setter
    def position(self, value: Any) -> None:
        self._position = struct.unpack("<f", struct.pack("<f", value))[0]

    def _pack(self) -> bytes:
        return FINGER_COMMAND.pack(
            self.id, self.kp, self.ki, self.kd, self.position, self.tor_max, self.mode,
            self.res0, self.res1, self.res2, self.res3,
        )  # fmt: skip


class HandCommand_t:
    """What the twelve joints shall do."""

    def __init__(self) -> None:
        self._fingers = [FingerCommand_t() for _ in range(12)]

    @property
    def finger_command(self) -> list[FingerCommand_t]:
        """The joints; a new list of the same elements each time."""
        return list(self._fingers)


class PXSR_ForceData:
    """A force in counts: two signed bytes and an unsigned one."""

    __slots__ = ("fx", "fy", "fz")

    def __init__(self, fx: int, fy: int, fz: int) -> None:
        self.fx, self.fy, self.fz = fx, fy, fz


class SenserData_t:
    """A fingertip's sensor."""

    def __init__(self, data: bytes) -> None:
        forces = [PXSR_ForceData(*force) for force in struct.iter_unpack("<bbB", data[:363])]
        self.calc_force, self._raw_force = forces[0], forces[1:]
        self.temperature = list(data[363:383])
        self.calc_temperature = data[383]

    @property
    def raw_force(self) -> list[PXSR_ForceData]:
        """The taxels; a new list of the same elements each time."""
        return list(self._raw_force)


class FingerState_t:
    """A joint's state."""

    def __init__(self, data: bytes) -> None:
        (
            self.id, self.sensor_id, self.position, self.torque, self.raw_position, self.temperature,
            self.commboard_err, self.jonitboard_err, self.tipboard_err, self.default5, self.default6, self.default7,
        ) = FINGER_STATE.unpack(data)  # fmt: skip


class HandState_t:
    """The hand's state."""

    def __init__(self, data: bytes = bytes(STATE_BYTES)) -> None:
        size, sensors = FINGER_STATE.size, 12 * FINGER_STATE.size
        self._fingers = [FingerState_t(data[k * size : (k + 1) * size]) for k in range(12)]
        self._sensors = [
            SenserData_t(data[sensors + k * SENSOR_BYTES : sensors + (k + 1) * SENSOR_BYTES]) for k in range(5)
        ]

    @property
    def finger_state(self) -> list[FingerState_t]:
        """The joints; a new list of the same elements each time."""
        return list(self._fingers)

    @property
    def sensor_data(self) -> list[SenserData_t]:
        """The fingertips; a new list of the same elements each time."""
        return list(self._sensors)


class XHandControl:
    """A hand on a serial line."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._state = bytes(STATE_BYTES)

    def enumerate_devices(self, protocol: str) -> list[str]:
        """Return the ports on which a hand may be."""
        return ["twin://127.0.0.2:5560"] if protocol == "RS485" else []

    def open_serial(self, port: str, baud: int) -> ErrorStruct:
        """Open a port."""
        self.close_device()
        match = re.fullmatch(r"twin://([\w.-]+):(\d{1,5})", port)
        if match is None:
            return ErrorStruct(_OPEN_FAILED)
        try:
            self._socket = socket.create_connection((match[1], int(match[2])), timeout=1.0)
        except OSError:
            return ErrorStruct(_OPEN_FAILED)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ErrorStruct()

    def open_ethercat(self, name: str) -> ErrorStruct:
        """Open a network interface, of which a twin has none."""
        return ErrorStruct(_OPEN_FAILED)

    def close_device(self) -> None:
        """Close the port."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer.clear()
        self._state = bytes(STATE_BYTES)

    def list_hands_id(self) -> list[int]:
        """Return the ids of the hands that answer; none on a wrong port."""
        return [HAND_ID] if self._call(HAND_ID, VERSION)[0] == 0 else []

    def read_state(self, hand_id: int, force_update: bool = False) -> tuple[ErrorStruct, HandState_t]:
        """Return the cached state, or ask for a new one first."""
        code = self._exchange(hand_id, b"") if force_update else 0
        return ErrorStruct(code), HandState_t(self._state)

    def send_command(self, hand_id: int, command: HandCommand_t) -> ErrorStruct:
        """Send joint targets; the answer fills the cached state."""
        return ErrorStruct(self._exchange(hand_id, b"".join(finger._pack() for finger in command.finger_command)))

    def reset_sensor(self, hand_id: int, sensor_id: int) -> ErrorStruct:
        """Zero a fingertip's sensor, 17 to 21."""
        return ErrorStruct(self._call(hand_id, ZERO_TACTILE, bytes([sensor_id]))[0])

    def read_version(self, hand_id: int, component: int) -> tuple[ErrorStruct, str]:
        """Return the firmware's version."""
        return self._text(hand_id, VERSION)

    def get_serial_number(self, hand_id: int) -> tuple[ErrorStruct, str]:
        """Return the serial number."""
        return self._text(hand_id, READ_REGISTER, SERIAL_NUMBER)

    def get_hand_type(self, hand_id: int) -> tuple[ErrorStruct, str]:
        """Return L or R."""
        return self._text(hand_id, READ_REGISTER, SIDE)

    def get_hand_name(self, hand_id: int) -> tuple[ErrorStruct, str]:
        """Return the hand's name."""
        return self._text(hand_id, READ_REGISTER, NAME)

    def get_sdk_version(self) -> str:
        """Return the version of this module."""
        return "twin"

    def _text(self, hand_id: int, command: int, *data: int) -> tuple[ErrorStruct, str]:
        code, answer = self._call(hand_id, command, bytes(data))
        return ErrorStruct(code), answer.decode("ascii", "replace")

    def _exchange(self, hand_id: int, data: bytes) -> int:
        code, answer = self._call(hand_id, EXCHANGE, data)
        if code:
            return code
        if len(answer) != STATE_BYTES:
            return _SERIAL
        self._state = answer
        return FingerState_t(answer[: FINGER_STATE.size]).tipboard_err

    def _call(self, hand_id: int, command: int, data: bytes = b"") -> tuple[int, bytes]:
        """Send a frame and wait for the answer; return an error code, 0 for none, and the answer's data."""
        if self._socket is None:
            return _NOT_OPEN, b""
        if hand_id != HAND_ID:
            return _INVALID_ID, b""
        self._buffer.clear()
        try:
            while wait([self._socket], 0):  # A late answer to an earlier call.
                if not self._socket.recv(65536):
                    return _SERIAL, b""
            self._socket.sendall(Frame(PALM_ID, HOST_ID, command, data).pack())
            while wait([self._socket], _TIMEOUT):
                received = self._socket.recv(65536)
                if not received:
                    return _SERIAL, b""
                self._buffer += received
                answer = take_frame(self._buffer)
                if answer is not None and answer.command == ERROR:
                    return struct.unpack("<I", answer.data)[0] - _BASE, b""
                if answer is not None and answer.command == command:
                    return 0, answer.data
        except CrcError:
            return _CRC, b""
        except OSError:
            pass
        return _SERIAL, b""
