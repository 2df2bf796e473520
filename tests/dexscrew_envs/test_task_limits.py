"""Numbers of a task that are possible each, and not together, or not in float32."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import dexscrew_envs  # noqa: F401 - it registers the ids
from dexscrew_envs.hands import XHAND_LEFT
from dexscrew_envs.shapes import Shape
from dexscrew_envs.start_states import joint_limits
from dexscrew_envs.tasks import make_task


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"joint_turns": 0.5}, r"nut: joint_end_margin must be below 2 pi joint_turns = 3.142 rad, .* got 5$"),
        ({"joint_end_margin": 1000.0}, r"joint_end_margin must be below .* = 628.3 rad, .* got 1000$"),
        ({"scale_noise": 2.0}, r"scale_noise must be below the smallest of scales, 0.95, .* got 2$"),
        ({"scales": (0.02, 1.0)}, r"scale_noise must be below the smallest of scales, 0.02, .* got 0.025$"),
        ({"bolt_height": 0.0125}, r"bolt_height must be above bolt_radius = 0.0125 m, .* got 0.0125$"),
        ({"overspeed_curriculum": (5.0, 1.0)}, r"overspeed_curriculum must be \(low, high\) with low <= high"),
        ({"locked_joints": tuple(range(12))}, "locked_joints must leave at least one joint that moves, got all 12"),
        ({"action_scale": 1e39}, r"action_scale must be at most 1e\+30 in size, got 1e\+39"),
        ({"observation_noise": (1e39, 1e39)}, r"observation_noise must be at most 1e\+30 in size"),
        ({"rotate_weight": -1e39}, r"rotate_weight must be at most 1e\+30 in size"),
        ({"episode_steps": 10**400}, r"episode_steps must be below 2\^31"),
    ],
)
def test_what_leaves_no_episode_is_refused(fields, message):
    with pytest.raises(ValueError, match=message) as refused:
        make_task("nut", **fields)
    assert "\n" not in str(refused.value)


def test_the_nearest_possible_values_are_taken():
    task = make_task("nut", joint_turns=0.8, scale_noise=0.9, bolt_height=0.013, locked_joints=tuple(range(11)))
    assert task.without_randomization().scale_noise == 0.0
    assert make_task("nut", joint_end_margin=-1.0).joint_end_margin == -1.0


def test_without_randomization_a_task_is_judged_by_what_it_then_is():
    assert make_task("nut", randomize=False, scales=(0.02,)).scales == (0.02,)


def test_make_vec_refuses_too_large_a_number():
    with pytest.raises(ValueError, match=r"action_scale must be at most 1e\+30 in size"):
        gymnasium.make_vec("DexScrew-Nut-v0", num_envs=1, action_scale=1e39)


@pytest.mark.parametrize(("low", "high"), [(5.0, 6.0), (-2.0, -1.0)])
def test_targets_beyond_the_limits_of_their_joint_are_refused(low, high):
    task = make_task("nut", target_ranges=(("thumb_bend", low, high),))
    message = rf"target_ranges must overlap .* 0 to 1.832 rad for thumb_bend, got {low:g} to {high:g}$"
    with pytest.raises(ValueError, match=message):
        joint_limits(task, XHAND_LEFT.spec().compile())


@pytest.mark.parametrize("symmetry", [0, -1, 2.5, True])
def test_a_shape_without_a_symmetry_is_refused_where_it_is_made(symmetry):
    with pytest.raises(ValueError, match="symmetry of a shape must be an integer of at least 1"):
        Shape(symmetry, lambda: (np.zeros((4, 3)),))
