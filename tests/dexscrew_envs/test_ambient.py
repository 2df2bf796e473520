from __future__ import annotations

import copy
from dataclasses import fields

import numpy as np
import pytest
import torch
from surroundings import SURROUNDINGS, state, surrounded

from dexscrew_envs import ambient
from dexscrew_envs.env import DexScrewEnv
from dexscrew_envs.start_states import scene_and_start_states
from dexscrew_envs.vector_env import DexScrewVectorEnv

ENVS, STEPS = 3, 25
EVERYTHING = ("proprio", "history", "privileged", "fingertip_force", "point_cloud")
ACTIONS = 2 * torch.rand(STEPS, ENVS, 12, generator=torch.Generator().manual_seed(0)) - 1
SINGLE = ACTIONS[:, 0].numpy().astype(np.float64)
SINGLE[3] *= 1e-310
SINGLE[4] *= 1e300


def flat(value):
    """Return all arrays in what an environment returns, whatever torch's modes."""
    if isinstance(value, dict):
        return [array for key in sorted(value) for array in flat(value[key])]
    if isinstance(value, (tuple, list)):
        return [array for item in value for array in flat(item)]
    if isinstance(value, torch.Tensor):
        assert not value.is_inference() and not value.requires_grad
        return [value.numpy().copy()]
    return [np.asarray(value)]


def rollout(kind, make):
    """Make an environment, run it past the ends of episodes and a copy, and return all that it returned."""
    env = make()
    found = flat(env.reset(seed=3))
    for step, actions in enumerate(ACTIONS):
        if step == 12:
            env = copy.deepcopy(env)
        action = actions if kind is DexScrewVectorEnv else SINGLE[step]
        found += flat(env.step(action))
        if step == 8:
            found += flat(env.reset())
    env.close()
    return found


MAKERS = {
    DexScrewVectorEnv: lambda: DexScrewVectorEnv("nut", ENVS, observe=EVERYTHING, num_threads=2, episode_steps=9),
    DexScrewEnv: lambda: DexScrewEnv("screwdriver", num_threads=1),
}


@pytest.fixture(scope="module")
def expected():
    return {kind: rollout(kind, make) for kind, make in MAKERS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_an_environment_does_the_same_in_all_surroundings(expected, kind, name):
    with surrounded(name):
        found = rollout(kind, MAKERS[kind])
    assert len(found) == len(expected[kind])
    for array, other in zip(found, expected[kind], strict=True):
        assert array.dtype == other.dtype
        np.testing.assert_array_equal(array, other)


@pytest.mark.slow
@pytest.mark.usefixtures("opengl")
@pytest.mark.parametrize("name", ["float64", "meta device", "NumPy raises", "warnings are errors", "no folder"])
def test_frames_are_the_same_in_all_surroundings(name):
    env = DexScrewVectorEnv("nut", 1, render_mode="rgb_array", render_size=(48, 64), num_threads=1)
    env.reset(seed=0)
    (expected,) = env.render()
    env.close()
    with surrounded(name):
        env = DexScrewVectorEnv("nut", 1, render_mode="rgb_array", render_size=(48, 64), num_threads=1)
        env.reset(seed=0)
        (frame,) = env.render()
        env.close()
    np.testing.assert_array_equal(frame, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float64", "denormals", "NumPy raises", "warnings are errors", "locale", "no folder"])
def test_scene_and_start_states_are_the_same_in_all_surroundings(name):
    expected = DexScrewVectorEnv("nut", 1).sim
    scene_and_start_states.cache_clear()
    with surrounded(name):
        found = DexScrewVectorEnv("nut", 1).sim
    assert found.scene is not expected.scene
    for field in fields(found.start_states):
        values = getattr(found.start_states, field.name)
        np.testing.assert_array_equal(values, getattr(expected.start_states, field.name))
    for field in ("geom_size", "mesh_vert", "body_inertia", "jnt_range", "dof_damping"):
        values = getattr(found.scene.model, field)
        np.testing.assert_array_equal(values, getattr(expected.scene.model, field))


def test_an_environment_of_one_surrounding_goes_on_in_another():
    plain = DexScrewVectorEnv("nut", ENVS, num_threads=1)
    with torch.inference_mode(), np.errstate(all="raise"):
        odd = DexScrewVectorEnv("nut", ENVS, num_threads=1)
        odd.reset(seed=1)
        odd = copy.deepcopy(odd)
    plain.reset(seed=1)
    for actions in ACTIONS[:5]:
        for array, other in zip(flat(odd.step(actions)), flat(plain.step(actions)), strict=True):
            np.testing.assert_array_equal(array, other)


def test_plain_gives_the_state_of_a_fresh_process_and_takes_it_back():
    fresh = state()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        odd = state()
        with torch.autocast("cpu"), torch.inference_mode(), np.errstate(all="raise"):
            with ambient.plain(threads=1, grad=True):
                assert state() == fresh | {"threads": 1}
            with pytest.raises(KeyError), ambient.plain():
                raise KeyError
            assert torch.is_inference_mode_enabled() and torch.is_autocast_enabled("cpu")
            assert set(np.geterr().values()) == {"raise"}
        assert state() == odd
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(False)
    assert state() == fresh
