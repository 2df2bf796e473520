"""Frames of the hand's serial line, as users of the hand have published them.

A frame is `55 AA`, the receiver's and the sender's id, a command, the length of the data, the data, and a CRC, all
little-endian. Both ends of the twin's line use this: its device port, and its module of the vendor SDK's shape. What
was never published is ours, and says so.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass

HEAD = b"\x55\xaa"
_HEADER = struct.Struct("<2sBBBH")
_CRC = struct.Struct("<H")
MAX_DATA = 8192 + 32
"""Longest data of a frame (bytes)."""

HOST_ID, HAND_ID = 0xFE, 0
PALM_ID = 0x80 | HAND_ID
"""Id of the hand's communication board."""

ERROR = 0x00
"""Reply: the request failed. Ours: the data are the SDK's error code, four bytes."""
EXCHANGE = 0x02
"""Set what the joints shall do, get the whole state. Ours: without data, only get it."""
ZERO_TACTILE = 0x12
"""Zero a fingertip's sensor. Ours: the data are its id, 17 to 21, and the reply has none."""
VERSION = 0x13
"""Read the firmware's version. Ours: without data, a text."""
READ_REGISTER = 0x15
"""Read a register. Ours: the data are its number, one byte, and the reply its content."""
SIDE, SERIAL_NUMBER, NAME = 20, 21, 54
"""Registers: which hand (L or R), its serial number (32 bytes), its name (32 bytes)."""

FINGER_COMMAND = struct.Struct("<HhhhfHHHHHH")
"""id, kp, ki, kd, position (rad), tor_max, mode, and four reserved: one joint's part of an exchange."""
FINGER_STATE = struct.Struct("<BBfHHHHHHHHH")
"""id, sensor id, position (rad), torque, raw position, temperature, errors of three boards, and three reserved."""
SENSOR_BYTES = 3 + 3 * 120 + 20 + 1
"""Of a fingertip: resultant and 120 taxels (two signed bytes and an unsigned one each), 20 temperatures, one of all."""
STATE_BYTES = 12 * FINGER_STATE.size + 5 * SENSOR_BYTES


@dataclass(frozen=True)
class Frame:
    """One frame."""

    receiver: int
    sender: int
    command: int
    data: bytes = b""

    def pack(self) -> bytes:
        """Return it as bytes."""
        body = _HEADER.pack(HEAD, self.receiver, self.sender, self.command, len(self.data)) + self.data
        return body + _CRC.pack(binascii.crc_hqx(body, 0))


class CrcError(ValueError):
    """A frame whose bytes changed on the way."""


def take_frame(buffer: bytearray) -> Frame | None:
    """Remove the first frame, and what lies before it, from the bytes that came.

    Returns:
        The frame; None if more bytes are needed.

    Raises:
        CrcError: the CRC does not match; the frame's head is removed.
    """
    while True:
        start = buffer.find(HEAD)
        if start < 0:
            del buffer[: max(len(buffer) - 1, 0)]  # The last byte may be half of a head.
            return None
        del buffer[:start]
        if len(buffer) < _HEADER.size:
            return None
        _, receiver, sender, command, length = _HEADER.unpack_from(buffer)
        if length > MAX_DATA:
            del buffer[: len(HEAD)]
            continue
        end = _HEADER.size + length
        if len(buffer) < end + _CRC.size:
            return None
        body = bytes(buffer[:end])
        (crc,) = _CRC.unpack_from(buffer, end)
        if crc != binascii.crc_hqx(body, 0):
            del buffer[: len(HEAD)]
            raise CrcError("CRC of a frame does not match")
        del buffer[: end + _CRC.size]
        return Frame(receiver, sender, command, body[_HEADER.size :])
