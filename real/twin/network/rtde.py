"""RTDE, the real-time data exchange of UR's controllers: packets, variables, and one client's session, without I/O.

Protocol version 2. A packet is its size (16 bits, itself included), a type (8 bits) and a payload, big-endian. A client
asks for a recipe of outputs, which the controller then streams, and announces recipes of inputs, which it may write; an
input belongs to the client that announced it first. Source: UR's manual "Real-Time Data Exchange (RTDE)".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Protocol

HEADER = struct.Struct(">HB")
"""Size and type, at the start of every packet."""
MAX_PACKET = 4096
"""Largest packet that is taken from a client; UR documents a limit of 2048 bytes for a list of names."""
MAX_FREQUENCY = 500.0
"""Rate of the controller, and of the fastest stream (Hz)."""
REGISTERS = 48
"""Registers of each kind; the upper half is meant for external clients."""

VERSION, CONTROLLER_VERSION, OUTPUTS, INPUTS, START, PAUSE, DATA = b"VvOISPU"
"""Types of packets."""

Value = float | int | Sequence[float]

_FORMATS = {
    "DOUBLE": "d", "INT32": "i", "UINT32": "I", "UINT64": "Q", "UINT8": "B",
    "VECTOR3D": "3d", "VECTOR6D": "6d", "VECTOR6INT32": "6i",
}  # fmt: skip


def _types(**names: str) -> dict[str, str]:
    """Return the type of each name, from names by type."""
    return {name: kind for kind, some in names.items() for name in some.split()}


def _registers(direction: str) -> dict[str, str]:
    kinds = {"int": "INT32", "double": "DOUBLE"}
    return {f"{direction}_{kind}_register_{i}": kinds[kind] for kind in kinds for i in range(REGISTERS)}


OUTPUT_TYPES = _registers("output") | _types(
    DOUBLE="""timestamp actual_execution_time speed_scaling target_speed_fraction actual_momentum actual_main_voltage
        actual_robot_voltage actual_robot_current standard_analog_input0 standard_analog_input1 standard_analog_output0
        standard_analog_output1 payload""",
    VECTOR6D="""target_q target_qd target_qdd target_current target_moment actual_q actual_qd actual_current
        joint_control_output actual_TCP_pose actual_TCP_speed actual_TCP_force target_TCP_pose target_TCP_speed
        joint_temperatures actual_joint_voltage actual_current_as_torque ft_raw_wrench payload_inertia""",
    VECTOR3D="actual_tool_accelerometer payload_cog elbow_position elbow_velocity",
    VECTOR6INT32="joint_mode",
    INT32="robot_mode safety_mode",
    UINT32="runtime_state robot_status_bits safety_status_bits",
    UINT64="actual_digital_input_bits actual_digital_output_bits",
)
"""Type of each variable that a client can ask for."""

INPUT_TYPES = _registers("input") | _types(
    UINT32="speed_slider_mask",
    DOUBLE="speed_slider_fraction standard_analog_output_0 standard_analog_output_1",
    UINT8="""standard_digital_output_mask standard_digital_output tool_digital_output_mask tool_digital_output
        standard_analog_output_mask standard_analog_output_type configurable_digital_output_mask
        configurable_digital_output""",
    VECTOR6D="external_force_torque",
)
"""Type of each variable that a client can write."""


def packet(kind: int, payload: bytes) -> bytes:
    """Return a packet."""
    return HEADER.pack(HEADER.size + len(payload), kind) + payload


class Controller(Protocol):
    """What a session reads and writes."""

    version: tuple[int, int, int]
    """Version of the controller's software."""

    def read(self, name: str) -> Value | None:
        """Return an output, or None for one that is not modelled, which clients see as zeros."""

    def write(self, values: Mapping[str, Value]) -> None:
        """Take inputs that one packet sets together."""


class Recipe:
    """Variables that travel together, in order.

    Args:
        names: of the variables.
        types: of each variable that exists.

    Attributes:
        reply: their types, separated by commas; NOT_FOUND for one that does not exist.
        valid: whether all exist.
    """

    def __init__(self, names: Sequence[str], types: Mapping[str, str]) -> None:
        self.names = names
        kinds = [types.get(name, "NOT_FOUND") for name in names]
        self.reply = ",".join(kinds)
        self.valid = "NOT_FOUND" not in kinds
        if self.valid:
            self._structs = [struct.Struct(">" + _FORMATS[kind]) for kind in kinds]
            self._size = sum(item.size for item in self._structs)

    def pack(self, controller: Controller) -> bytes:
        """Return the present values of outputs."""
        parts = []
        for name, item in zip(self.names, self._structs, strict=True):
            value = controller.read(name)
            if value is None:
                parts.append(bytes(item.size))
            else:
                parts.append(item.pack(*value) if isinstance(value, Sequence) else item.pack(value))
        return b"".join(parts)

    def unpack(self, payload: bytes) -> dict[str, Value] | None:
        """Return the values of inputs, or None if their size is wrong."""
        if len(payload) != self._size:
            return None
        values: dict[str, Value] = {}
        at = 0
        for name, item in zip(self.names, self._structs, strict=True):
            found = item.unpack_from(payload, at)
            values[name] = found if len(found) > 1 else found[0]
            at += item.size
        return values


class Session:
    """One client's connection.

    Args:
        controller: what it reads and writes.
        owners: which session owns each input; shared by all sessions of the controller.
    """

    def __init__(self, controller: Controller, owners: dict[str, Session]) -> None:
        self._controller = controller
        self._owners = owners
        self._inputs: list[Recipe] = []
        self._outputs: Recipe | None = None
        self._period = 1
        self._started = False

    def handle(self, kind: int, payload: bytes) -> bytes | None:
        """Return the reply to a packet, or None if it has no reply; malformed packets have no effect."""
        if kind == DATA:
            self._write(payload)
            return None
        if kind == VERSION:
            return packet(kind, bytes([payload == b"\x00\x02"]))
        if kind == CONTROLLER_VERSION:
            return packet(kind, struct.pack(">4I", *self._controller.version, 0))
        if kind == OUTPUTS and len(payload) > 8:
            return packet(kind, self._set_outputs(struct.unpack(">d", payload[:8])[0], _names(payload[8:])))
        if kind == INPUTS and payload:
            return packet(kind, self._add_inputs(_names(payload)))
        if kind in (START, PAUSE):
            self._started = kind == START and self._outputs is not None
            return packet(kind, bytes([self._started or kind == PAUSE]))
        return None

    def stream(self, tick: int) -> bytes | None:
        """Return the data packet that is due at a tick of the controller's 500 Hz, if one is."""
        if not self._started or self._outputs is None or tick % self._period:
            return None
        return packet(DATA, b"\x01" + self._outputs.pack(self._controller))

    def close(self) -> None:
        """Give up the inputs; they keep their values."""
        for name in [name for name, owner in self._owners.items() if owner is self]:
            del self._owners[name]

    def _set_outputs(self, frequency: float, names: Sequence[str]) -> bytes:
        recipe = Recipe(names, OUTPUT_TYPES)
        if recipe.valid and 1 <= frequency <= MAX_FREQUENCY:
            self._outputs, self._period = recipe, round(MAX_FREQUENCY / frequency)
        else:
            self._outputs, self._started = None, False
        return bytes([self._outputs is not None]) + recipe.reply.encode()

    def _add_inputs(self, names: Sequence[str]) -> bytes:
        recipe = Recipe(names, INPUT_TYPES)
        taken = [self._owners.get(name, self) is not self for name in names]
        if not recipe.valid or any(taken) or len(self._inputs) == 255:
            kinds = ["IN_USE" if t else kind for t, kind in zip(taken, recipe.reply.split(","), strict=True)]
            return b"\x00" + ",".join(kinds).encode()
        self._owners.update(dict.fromkeys(names, self))
        self._inputs.append(recipe)
        return bytes([len(self._inputs)]) + recipe.reply.encode()

    def _write(self, payload: bytes) -> None:
        if payload and 1 <= payload[0] <= len(self._inputs):
            values = self._inputs[payload[0] - 1].unpack(payload[1:])
            if values is not None:
                self._controller.write(values)


def _names(payload: bytes) -> list[str]:
    return payload.decode("ascii", errors="replace").rstrip(",").split(",")
