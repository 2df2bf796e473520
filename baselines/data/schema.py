"""The fields of a recorded control step: their types, shapes and units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIME = "time"
"""The one field that every data set has."""

_TYPES = ("float32", "float64", "int16", "int32", "int64", "uint8")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class SchemaError(ValueError):
    """Fields, or values for them, are not what they must be; the message says what would be right."""


@dataclass(frozen=True)
class Field:
    """One quantity of a control step.

    Raises:
        SchemaError: the type or the shape is not one that can be recorded.
    """

    dtype: str
    """float32, float64, int16, int32, int64 or uint8."""
    shape: tuple[int, ...]
    """Shape of the quantity in one step; () for a single number."""
    unit: str
    """Unit, such as rad; empty for what has none."""
    meaning: str
    """What it is, in a sentence."""
    optional: bool = False
    """Whether NaN may stand in the place of a value that was not measured."""

    def __post_init__(self) -> None:
        if self.dtype not in _TYPES:
            raise SchemaError(f"a field's dtype must be one of {', '.join(_TYPES)}, got {self.dtype!r}")
        if not isinstance(self.shape, tuple) or not all(_is_size(size) for size in self.shape):
            raise SchemaError(f"a field's shape must be a tuple of positive integers, got {self.shape!r}")
        if self.optional and not self.dtype.startswith("float"):
            raise SchemaError(f"an optional field must be of floats, which have NaN, got {self.dtype}")

    @property
    def kind(self) -> tuple[str, tuple[int, ...], str]:
        """Type, shape and unit, in which the fields of a name agree that lie in one folder."""
        return self.dtype, self.shape, self.unit


Fields = Mapping[str, Field]
"""Fields by name, in the order of a record."""


def step_fields(
    joints: int, fingers: int, *, arm_joints: int = 6, taxels: int = 120, extra: Fields | None = None
) -> dict[str, Field]:
    """Return the fields of a demonstration's step.

    Args:
        joints: number of joints of the hand.
        fingers: number of fingers with a tactile sensor.
        arm_joints: number of joints of the arm.
        taxels: taxels of one fingertip.
        extra: fields that a robot adds.

    Raises:
        SchemaError: a number is not positive, or an extra field has a name that is taken.
    """
    sizes = {"joints": joints, "fingers": fingers, "arm_joints": arm_joints, "taxels": taxels}
    for name, size in sizes.items():
        if not _is_size(size):
            raise SchemaError(f"{name} must be a positive integer, got {size!r}")
    hand, arm = (joints,), (arm_joints,)

    def number(shape: tuple[int, ...], unit: str, meaning: str, *, optional: bool = False) -> Field:
        return Field("float32", shape, unit, meaning, optional)

    fields = {
        TIME: Field("float64", (), "s", "when the observation was taken, in the robot's clock"),
        "hand_q": number(hand, "rad", "measured positions of the hand's joints, in policy order"),
        "arm_q": number(arm, "rad", "measured positions of the arm's joints, from base to wrist"),
        "arm_qd": number(arm, "rad/s", "measured velocities of the arm's joints"),
        "tcp_pose": number((6,), "m, rad", "pose of the flange in the base frame: position, then a rotation vector"),
        "tcp_force": number((6,), "N, N m", "force, then torque at the flange, in the base frame"),
        "tactile": Field("int16", (fingers, taxels, 3), "counts", "raw counts of the taxels: two shear axes, normal"),
        "resultant": Field("int16", (fingers, 3), "counts", "raw counts of the force on each fingertip"),
        "age": number((3,), "s", "ages of the readings of arm, hand and touch when the observation was taken"),
        "held_hand": number(hand, "rad", "targets of the hand that stood when the observation was taken"),
        "held_arm": number(arm, "rad", "targets of the arm that stood when the observation was taken"),
        "asked_hand": number(hand, "rad", "targets of the hand that skill and operator asked for, free of noise"),
        "asked_arm": number(arm, "rad", "targets of the arm that the operator asked for, free of noise"),
        "sent_hand": number(hand, "rad", "targets sent to the hand, after noise and safety layer"),
        "sent_arm": number(arm, "rad", "targets sent to the arm, after noise and safety layer"),
        "skill_action": number(
            hand, "", "the skill's action from -1 to 1, free of noise; NaN if it is off", optional=True
        ),
        "skill": Field("uint8", (), "", "whether the skill moved the fingers: 0 or 1"),
        "clutch": Field("uint8", (), "", "whether the operator moved the wrist, by clutch, keys or sticks: 0 or 1"),
        "safety": Field("uint8", (), "", "what the safety layer did: 0 nothing, 1 limited, 2 tripped"),
        "turns": number((), "turns", "turns of the nut or screw since the start; NaN if not measured", optional=True),
    }
    for name in extra or {}:
        if name in fields:
            raise SchemaError(f"an extra field must not be called {name!r}: that is a field of every demonstration")
    return checked_fields({**fields, **(extra or {})})


def checked_fields(fields: Fields) -> dict[str, Field]:
    """Return fields that can be recorded.

    Raises:
        SchemaError: they are not fields by name, or `time` is missing.
    """
    if not isinstance(fields, Mapping):
        raise SchemaError(f"fields must be a mapping from names to Field, got {type(fields).__name__}")
    for name, field in fields.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SchemaError(f"a field's name must be lower-case letters, digits and underscores, got {name!r}")
        if not isinstance(field, Field):
            raise SchemaError(f"the field {name!r} must be a Field, got {type(field).__name__}")
    time = fields.get(TIME)
    if time is None or (time.dtype, time.shape, time.optional) != ("float64", (), False):
        raise SchemaError(f"the fields must have {TIME!r}, one float64 that is never missing")
    return dict(fields)


def fields_to_json(fields: Fields) -> dict[str, Any]:
    """Return fields as JSON holds them."""
    return {
        name: {"dtype": f.dtype, "shape": list(f.shape), "unit": f.unit, "meaning": f.meaning, "optional": f.optional}
        for name, f in fields.items()
    }


def fields_from_json(content: Any) -> dict[str, Field]:
    """Return fields from what `fields_to_json` gave.

    Raises:
        SchemaError: they were not written by it.
    """
    try:
        found = {
            str(name): Field(
                f["dtype"], tuple(f["shape"]), str(f["unit"]), str(f["meaning"]), bool(f["optional"]),
            )
            for name, f in content.items()
        }  # fmt: skip
    except (AttributeError, KeyError, TypeError) as error:
        raise SchemaError(f"the description of the fields is damaged ({type(error).__name__}: {error})") from error
    return checked_fields(found)


def row_dtype(fields: Fields) -> np.dtype:
    """Return the type of one step in a file: all fields one after another, little-endian."""
    return np.dtype([(name, np.dtype(f.dtype).newbyteorder("<"), f.shape) for name, f in fields.items()])


def write_row(fields: Fields, values: Mapping[str, Any], row: NDArray[np.void]) -> None:
    """Write the values of a step into a record.

    Args:
        fields: all fields.
        values: by field, what `np.asarray` takes.
        row: (), of a type that has the fields; takes the values.

    Raises:
        SchemaError: a field is missing or unknown, or a value has the wrong shape, type or range, or is not finite.
    """
    if values.keys() != fields.keys():
        lacking = [name for name in fields if name not in values]
        unknown = [str(name) for name in values if name not in fields]
        said = [f"lacks {', '.join(lacking)}"] * bool(lacking) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
        raise SchemaError(f"a step {' and '.join(said)}; its fields are {', '.join(fields)}")
    for name, field in fields.items():
        value = np.asarray(values[name])
        if value.shape != field.shape:
            raise SchemaError(f"{name} must have the shape {field.shape}, got {value.shape}")
        if field.dtype.startswith("float"):
            if value.dtype.kind not in "fiu":
                raise SchemaError(f"{name} must be of numbers, got {value.dtype}")
            with np.errstate(over="ignore"):
                row[name] = value
            written = row[name]
            if not np.isfinite(written).all() and not (field.optional and not np.isinf(written).any()):
                rule = "finite, or NaN where it is not measured" if field.optional else "finite"
                raise SchemaError(f"{name} must be {rule}, got {value}")
        else:
            if value.dtype.kind not in "iub":
                raise SchemaError(f"{name} must be of integers, got {value.dtype}")
            limits = np.iinfo(field.dtype)
            if value.dtype != field.dtype and (value.min() < limits.min or value.max() > limits.max):
                raise SchemaError(f"{name} must lie between {limits.min} and {limits.max}, got {value}")
            row[name] = value


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
