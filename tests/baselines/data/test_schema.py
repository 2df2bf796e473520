from __future__ import annotations

import numpy as np
import pytest
from demos import FIELDS, TINY, step

from baselines.data.schema import (
    Field,
    SchemaError,
    checked_fields,
    fields_from_json,
    fields_to_json,
    row_dtype,
    step_fields,
    write_row,
)


def written(values, fields=TINY):
    row = np.zeros((), row_dtype(fields))
    write_row(fields, values, row)
    return row


def test_sizes_come_from_the_hand():
    fields = step_fields(20, 4, arm_joints=7, taxels=16)
    assert fields["hand_q"].shape == fields["asked_hand"].shape == fields["skill_action"].shape == (20,)
    assert fields["arm_q"].shape == (7,)
    assert fields["tactile"].shape == (4, 16, 3) and fields["tactile"].dtype == "int16"
    assert fields["time"].dtype == "float64"
    assert all(f.dtype == "float32" for name, f in fields.items() if f.dtype.startswith("float") and name != "time")


def test_fields_survive_json():
    assert fields_from_json(fields_to_json(FIELDS)) == FIELDS


def test_a_row_holds_what_was_written():
    values = step(3, fields=FIELDS)
    row = written(values, FIELDS)
    assert all(np.array_equal(row[name], values[name]) for name in FIELDS)


def test_extra_fields_follow():
    extra = Field("float32", (9,), "", "positions of the scene")
    assert list(step_fields(3, 2, extra={"qpos": extra}))[-1] == "qpos"
    with pytest.raises(SchemaError, match="'hand_q'"):
        step_fields(3, 2, extra={"hand_q": extra})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"x": [1.0]}, r"x must have the shape \(2,\), got \(1,\)"),
        ({"x": [1.0, np.nan]}, "x must be finite"),
        ({"x": [1.0, 1e300]}, "x must be finite"),
        ({"x": ["a", "b"]}, "x must be of numbers"),
        ({"n": 1.5}, "n must be of integers"),
        ({"n": 40_000}, "n must lie between -32768 and 32767"),
        ({"y": 1.0}, "unknown y"),
        ({"time": np.inf}, "time must be finite"),
    ],
)
def test_wrong_values_are_refused(changes, told):
    with pytest.raises(SchemaError, match=told):
        written(step(0, fields=TINY) | changes)


def test_a_missing_field_is_named():
    values = step(0, fields=TINY)
    del values["x"]
    with pytest.raises(SchemaError, match="lacks x"):
        written(values)


def test_only_optional_fields_may_be_nan():
    values = step(0)
    assert np.isnan(written(values | {"turns": np.nan}, FIELDS)["turns"])
    with pytest.raises(SchemaError, match="hand_q must be finite"):
        written(values | {"hand_q": [0.0, np.nan, 0.0]}, FIELDS)
    with pytest.raises(SchemaError, match="turns must be finite, or NaN"):
        written(values | {"turns": np.inf}, FIELDS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Field("float16", (), "", ""),
        lambda: Field("float32", (0,), "", ""),
        lambda: Field("float32", [2], "", ""),
        lambda: Field("int16", (), "", "", optional=True),
        lambda: step_fields(0, 2),
        lambda: step_fields(3, True),
        lambda: checked_fields({"x": TINY["x"]}),
        lambda: checked_fields({**TINY, "../x": TINY["x"]}),
        lambda: checked_fields({**TINY, "y": "float32"}),
        lambda: checked_fields([TINY]),
        lambda: fields_from_json({"time": {"dtype": "float64"}}),
        lambda: fields_from_json(None),
    ],
)
def test_wrong_fields_are_refused(make):
    with pytest.raises(SchemaError):
        make()
