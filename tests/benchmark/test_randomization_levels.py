from __future__ import annotations

import pytest

from benchmark.randomization_levels import LEVELS, level_fields
from dexscrew_envs.tasks import Task, make_task


@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_levels_grow(task):
    none, as_is, wider = (make_task(task, **level_fields(task, level)) for level in LEVELS)
    assert none == make_task(task, randomize=False) and as_is == make_task(task)
    for name, value in level_fields(task, "wider").items():
        if Task.__dataclass_fields__[name].type == "Range":
            low, high = getattr(as_is, name)
            assert value[0] <= low and value[1] >= high and value != (low, high), name
    assert set(wider.scales) > set(as_is.scales) > set(none.scales)
    assert wider.object_tilt > as_is.object_tilt and wider.push_force > as_is.push_force
    assert wider.observation_noise > as_is.observation_noise > none.observation_noise


@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_wider_placement_is_about_the_same_place(task):
    wider, as_is = make_task(task, **level_fields(task, "wider")), make_task(task)

    def middle(of: Task) -> list[float]:
        return [at + width / 2 for at, width in zip(of.object_position, of.object_position_noise, strict=True)]

    assert middle(wider) == pytest.approx(middle(as_is))


def test_unknown_level_raises():
    with pytest.raises(ValueError, match="unknown randomization 'much'; choose from none, task, wider"):
        level_fields("nut", "much")
