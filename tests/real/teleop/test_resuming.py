"""How a session goes on with the episodes that its folder holds."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.data.header import Header, Outcome
from baselines.data.schema import Field, step_fields
from baselines.data.writer import Recorder
from real.teleop.resuming import kept_before, next_seed
from real.teleop.setup import Setup

FIELDS = {"time": step_fields(1, 1)["time"], "x": Field("float32", (2,), "m", "a place")}
HEADER = Header(
    task="nut", shape="cross", hand="small", joints=("a",), fingers=("thumb",), robot="twin", period=0.05,
    tactile_bias=np.zeros((1, 1, 3), np.int16),
)  # fmt: skip
SETUP = Setup(task="nut", policy="nut-student", shape="cross")


def record(folder, *episodes, discard=False):
    with Recorder(folder, HEADER, FIELDS) as recorder:
        for changes in episodes:
            recorder.begin(**changes)
            recorder.append({"time": 0.0, "x": [0, 0]})
            if discard:
                recorder.discard()
            else:
                recorder.finish(Outcome())


def test_episodes_of_the_same_shape_and_start_count(tmp_path):
    assert kept_before(tmp_path / "none", SETUP) == kept_before(tmp_path, SETUP) == 0
    record(tmp_path / "demos", {"seed": 1}, {"seed": 2, "shape": "square"}, {"seed": 3, "extras": {"above": 0.05}})
    assert kept_before(tmp_path / "demos", SETUP) == 1
    assert kept_before(tmp_path / "demos", Setup(task="nut", policy="nut-student", shape="cross", above=0.05)) == 1


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [([], 1000), ([1000, 1004, 1002], 1005), ([3], 1000), ([None, None], 1002), ([None, 1007], 1008)],
)
def test_seeds_go_on_after_those_that_are_there(tmp_path, seeds, expected):
    record(tmp_path, *({"seed": seed} for seed in seeds))
    assert next_seed(tmp_path, 1000) == expected


def test_a_robots_episode_that_was_discarded_had_its_seed_too(tmp_path):
    record(tmp_path, {}, {})
    record(tmp_path, {}, discard=True)
    assert next_seed(tmp_path, 1000) == 1003
