from __future__ import annotations

import gc
import math
import re
import weakref

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

import dexscrew_envs
from dexscrew_envs.tasks import NUT, make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv

# -- making one --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_make_vec_gives_a_batch_of_tensors():
    env = gymnasium.make_vec("DexScrew-Screwdriver-v0", num_envs=3, num_threads=1, shape="spheres")
    assert isinstance(env.unwrapped, DexScrewVectorEnv)
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert env.metadata["render_fps"] == 20
    observation, _ = env.reset(seed=0)
    assert {key: value.shape for key, value in observation.items()} == {
        "proprio": (3, 3, 24),
        "history": (3, 30, 24),
        "privileged": (3, 94),
    }
    assert all(isinstance(value, torch.Tensor) for value in env.step(torch.zeros(3, 12))[:4][1:])
    assert dexscrew_envs.__version__
    env.close()


@pytest.mark.slow
def test_task_object_and_fields_make_the_same(make_env):
    task = make_task("nut", reset_distance=0.09)
    assert make_env(task, 1).task == make_env("nut", 1, reset_distance=0.09).task == task
    assert make_env(NUT, 1, reset_distance=0.09).task == task
    assert make_env(NUT, 1, randomize=False).task == make_env("nut", 1, randomize=False).task
    assert make_env(np.str_("nut"), np.int64(2)).num_envs == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"task": "bolt"}, ValueError, "unknown task 'bolt'; choose from nut, screwdriver"),
        ({"shape": "octagon"}, ValueError, "nut: unknown shape 'octagon'; choose from triangle, square"),
        ({"shape": ()}, ValueError, "shape must name at least one"),
        ({"reset_distanc": 0.1}, TypeError, "no field 'reset_distanc'; did you mean 'reset_distance'"),
        ({"observe": ("proprio", "rgb")}, ValueError, "unknown observation 'rgb'; choose from proprio, history"),
        ({"observe": ()}, ValueError, "observe must name at least one of proprio"),
        ({"engine": "bullet"}, ValueError, "unknown engine 'bullet'; choose from mujoco"),
        ({"device": "cuda"}, ValueError, "runs on device 'cpu', not on 'cuda'"),
        ({"num_envs": 0}, ValueError, "num_envs must be an integer of at least 1, got 0"),
        ({"num_envs": -3}, ValueError, "num_envs must be an integer of at least 1, got -3"),
        ({"num_envs": True}, ValueError, "num_envs must be an integer of at least 1, got True"),
        ({"num_envs": 10**9}, ValueError, "num_envs must be at most 1,000,000, got 1000000000"),
        ({"num_envs": 2.5}, ValueError, "num_envs must be an integer of at least 1, got 2.5"),
        ({"num_threads": -1}, ValueError, "num_threads must be 0 .* or positive, got -1"),
        ({"render_mode": "human"}, ValueError, "unknown render_mode 'human'; choose None or 'rgb_array'"),
        ({"render_size": (2000, 100)}, ValueError, "render_size must be height and width, at most 1440 by 1920 pixels"),
        ({"render_size": (0, 100)}, ValueError, "render_size must be height and width"),
        ({"mass": (0.06, 0.05)}, ValueError, "mass must be"),
        ({"privileged": ("colour",)}, ValueError, "unknown privileged slice 'colour'"),
    ],
    ids=str,
)
def test_bad_argument_raises(arguments, error, message):
    with pytest.raises(error, match=message):
        DexScrewVectorEnv(**arguments)


# -- bad calls ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def begun(make_env):
    env = make_env("nut", 4)
    env.reset(seed=0)
    return env


def poisoned(value):
    actions = torch.zeros(4, 12)
    actions[[1, 3], 7] = value
    return actions


@pytest.mark.slow
@pytest.mark.parametrize(
    ("actions", "error", "message"),
    [
        (torch.zeros(4, 11), ValueError, r"actions must have shape \(4, 12\), got \(4, 11\)"),
        (torch.zeros(3, 12), ValueError, r"actions must have shape \(4, 12\), got \(3, 12\)"),
        (torch.zeros(12), ValueError, r"actions must have shape \(4, 12\), got \(12,\)"),
        (torch.zeros(4, 12, dtype=torch.int64), TypeError, "actions must be floating point, got torch.int64"),
        (torch.zeros(4, 12, dtype=torch.bool), TypeError, "actions must be floating point, got torch.bool"),
        (poisoned(math.nan), ValueError, r"actions must be finite; those of environments \[1, 3\] are not"),
        (poisoned(math.inf), ValueError, r"actions must be finite; those of environments \[1, 3\] are not"),
        (poisoned(-math.inf), ValueError, r"actions must be finite; those of environments \[1, 3\] are not"),
    ],
    ids=["size", "count", "flat", "integer", "bool", "nan", "inf", "minus inf"],
)
def test_bad_actions_raise_and_change_nothing(begun, actions, error, message):
    state = begun.sim.batch.state.copy()
    with pytest.raises(error, match=message):
        begun.step(actions)
    np.testing.assert_array_equal(begun.sim.batch.state, state)
    assert begun.total_steps == 0


@pytest.mark.slow
@pytest.mark.parametrize("actions", [np.zeros((4, 12)), torch.zeros(4, 12, dtype=torch.float64)])
def test_other_floats_are_taken(begun, actions):
    assert begun.step(actions)[0]["proprio"].dtype == torch.float32


def test_modes_of_the_caller_leave_nothing_behind(begun):
    """What comes into being in inference mode cannot be changed outside of it."""
    mask = torch.tensor([True, False, False, False])
    with torch.inference_mode():
        begun.step(torch.zeros(4, 12))
    begun.reset(options={"reset_mask": mask})
    actions = torch.zeros(4, 12, requires_grad=True)
    observation, reward, *_ = begun.step(actions)
    assert not reward.requires_grad and not any(value.requires_grad for value in observation.values())


def test_step_before_reset_raises(make_env):
    with pytest.raises(RuntimeError, match=re.escape("call reset() before step()")):
        make_env("nut", 1).step(torch.zeros(1, 12))


def test_step_after_close_raises(begun):
    begun.close()
    begun.close()
    with pytest.raises(RuntimeError, match="the environment is closed"):
        begun.step(torch.zeros(4, 12))
    with pytest.raises(RuntimeError, match="the environment is closed"):
        begun.reset()
    with pytest.raises(RuntimeError, match="the environment is closed"):
        begun.frame()


def test_a_closed_environment_is_freed_at_once():
    """On a GPU its memory would be missing for the next one."""
    gc.disable()
    try:
        env = DexScrewVectorEnv("nut", 2, num_threads=1)
        env.reset(seed=0)
        kept = weakref.ref(env), weakref.ref(env.sim)
        env.close()
        del env
        assert [ref() for ref in kept] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("seed", [-1, 2**63, True, 1.5, "0"])
def test_bad_seed_raises(begun, seed):
    with pytest.raises(ValueError, match=r"seed must be a non-negative integer below 2\^63, got"):
        begun.reset(seed=seed)


def test_numpy_seed_is_taken(begun):
    first, _ = begun.reset(seed=np.int64(3))
    second, _ = begun.reset(seed=3)
    assert torch.equal(first["privileged"], second["privileged"])


@pytest.mark.parametrize("mask", [[True] * 3, [1, 0, 0, 0], [False] * 4, [[True] * 4], [0.0] * 4], ids=str)
def test_bad_reset_mask_raises(begun, mask):
    with pytest.raises(ValueError, match="reset_mask must be 4 booleans of which at least one is true"):
        begun.reset(options={"reset_mask": mask})


def test_first_reset_must_reset_all(make_env):
    env = make_env("nut", 2)
    with pytest.raises(ValueError, match="the first reset must reset every environment"):
        env.reset(options={"reset_mask": [True, False]})
    env.reset(options={"reset_mask": [True, True]})
    env.step(torch.zeros(2, 12))
