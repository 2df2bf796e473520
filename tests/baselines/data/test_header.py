from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from demos import header

from baselines.data.header import Header, Outcome, record_from_json, record_to_json
from baselines.data.schema import SchemaError
from dexscrew_envs.files import to_json


def test_a_header_survives_json():
    given = header(seed=np.int64(3), operator="scripted", extras={"noise": 0.3, "list": [1, None]})
    found = record_from_json(Header, json.loads(to_json(record_to_json(given))))
    assert record_to_json(found) == record_to_json(given)
    assert found.tactile_bias.dtype == np.int16 and np.array_equal(found.tactile_bias, given.tactile_bias)
    assert found.joints == given.joints and found.versions["python"]


def test_an_outcome_survives_json_and_knows_the_progress():
    given = Outcome(mark="success", reason="fastened", turns=3.0, needed=4.0, seconds=12.5)
    assert record_from_json(Outcome, record_to_json(given)) == given
    assert given.progress == 0.75
    assert dataclasses.replace(given, turns=-1.0).progress == 0.0
    assert dataclasses.replace(given, turns=9.0).progress == 1.0
    assert Outcome(turns=3.0).progress is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"task": ""}, "task must be a string that is not empty"),
        ({"shape": 3}, "shape must be a string"),
        ({"joints": "abc"}, "joints must be a tuple of names"),
        ({"joints": ("a", "a")}, "different names"),
        ({"fingers": ()}, "fingers must be a tuple of names"),
        ({"period": 0.0}, "period must be a positive number"),
        ({"period": True}, "period must be a positive number"),
        ({"tactile_scale": -1.0}, "tactile_scale must be a positive number"),
        ({"tactile_bias": np.zeros((3, 2, 3), int)}, r"shape \(2, taxels, 3\)"),
        ({"tactile_bias": np.zeros((2, 2, 3))}, "integers"),
        ({"tactile_bias": np.full((2, 2, 3), 70_000)}, "integers that int16 holds"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"extras": {"x": object()}}, "extras must hold what JSON holds"),
        ({"versions": []}, "versions must be a mapping"),
    ],
)
def test_wrong_headers_are_refused(changes, told):
    with pytest.raises(SchemaError, match=told):
        header(**changes)


@pytest.mark.parametrize(
    "wrong", [{"mark": "good"}, {"turns": np.nan}, {"needed": 0.0}, {"seconds": "1"}, {"reason": 1}]
)
def test_wrong_outcomes_are_refused(wrong):
    with pytest.raises(SchemaError, match=next(iter(wrong))):
        Outcome(**wrong)


@pytest.mark.parametrize("content", [None, {}, {"mark": "none"}])
def test_damaged_json_is_refused(content):
    with pytest.raises(SchemaError, match="damaged"):
        record_from_json(Outcome, content)
