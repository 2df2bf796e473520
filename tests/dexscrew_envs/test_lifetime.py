from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import weakref
from contextlib import contextmanager
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import dexscrew_envs  # noqa: F401
from dexscrew_envs.env import DexScrewEnv
from dexscrew_envs.sim.mujoco import MujocoSimulator
from dexscrew_envs.vector_env import DexScrewVectorEnv

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EVERYTHING = ("proprio", "history", "privileged", "fingertip_force", "point_cloud")
MAKERS = {
    "vector": lambda **k: DexScrewVectorEnv("nut", 5, **k),
    "make_vec": lambda **k: gymnasium.make_vec("DexScrew-Screwdriver-v0", num_envs=5, **k),
    "single": lambda **k: DexScrewEnv("nut", **k),
    "make": lambda **k: gymnasium.make("DexScrew-Nut-v0", max_episode_steps=12, **k),
}


def make(name, **kwargs):
    return MAKERS[name](**{"num_threads": 1, "episode_steps": 17, "observe": EVERYTHING, **kwargs})


def actions(env, steps, seed=0):
    shape = env.action_space.shape
    drawn = np.random.default_rng(seed).uniform(-1, 1, (steps, *shape)).astype(np.float32)
    return torch.from_numpy(drawn) if len(shape) == 2 else drawn


def flat(value):
    if isinstance(value, dict):
        return [array for key in sorted(value) for array in flat(value[key])]
    if isinstance(value, (tuple, list)):
        return [array for item in value for array in flat(item)]
    return [value.numpy().copy() if isinstance(value, torch.Tensor) else np.array(value)]


def go_on(env, steps=40, seed=1):
    """Step past the ends of episodes, and return all that came."""
    found = []
    for action in actions(env, steps, seed):
        result = env.step(action)
        found += flat(result)
        if np.ndim(result[2]) == 0 and (result[2] or result[3]):
            found += flat(env.reset())
    return found


def equal(first, second):
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def by_cloudpickle(env):
    cloudpickle = pytest.importorskip("cloudpickle")
    return pickle.loads(cloudpickle.dumps(env))


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda e: pickle.loads(pickle.dumps(e)), "cloudpickle": by_cloudpickle}


# -- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", MAKERS)
def test_a_copy_goes_on_as_the_original_bit_for_bit(name, how):
    env = make(name)
    env.reset(seed=4)
    for action in actions(env, 9):
        env.step(action)
    twin = COPIES[how](env)
    assert type(twin) is type(env)
    expected = go_on(env)  # the original goes first: they share nothing that changes
    assert equal(go_on(twin), expected)
    again = COPIES[how](twin)
    assert equal(flat(again.reset(seed=2)), flat(env.reset(seed=2)))
    assert equal(go_on(again), go_on(env))


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", ["vector", "single"])
def test_what_was_never_reset_and_what_is_closed_can_be_copied(name, how):
    env = make(name)
    twin = COPIES[how](env)
    with pytest.raises(RuntimeError, match="reset"):
        twin.step(actions(twin, 1)[0])
    assert equal(flat(twin.reset()), flat(env.reset()))  # the generator's state came along
    assert equal(go_on(twin), go_on(env))
    env.close()
    closed = COPIES[how](env)
    with pytest.raises(RuntimeError, match="the environment is closed"):
        closed.reset()
    closed.close()
    twin.step(actions(twin, 1)[0])  # it has lost nothing


def test_a_copy_has_the_simulators_arrays():
    env = make("vector")
    env.reset(seed=0)
    for action in actions(env, 20):
        env.step(action)
    first, second = env.sim, copy.deepcopy(env).sim
    np.testing.assert_array_equal(second.batch.state, first.batch.state)
    for name, values in first._model.items():
        np.testing.assert_array_equal(second._model[name], values)
        assert not np.shares_memory(second._model[name], values)
    for name in ("joint_pos", "tip_force", "nut_velocity", "torque"):
        assert torch.equal(getattr(second.read(), name), getattr(first.read(), name))
    assert not second.batch.bind("xpos").flags.writeable


def test_a_copy_does_not_follow_the_modes_in_which_it_is_made():
    env = make("vector")
    env.reset(seed=0)
    with torch.inference_mode():
        twin = copy.deepcopy(env)
    torch.set_default_dtype(torch.float64)
    try:
        other = pickle.loads(pickle.dumps(env))
    finally:
        torch.set_default_dtype(torch.float32)
    expected = go_on(env, 10)
    assert equal(go_on(twin, 10), expected)
    assert equal(go_on(other, 10), expected)


def test_a_pickle_goes_on_in_another_process(tmp_path):
    env = make("single")
    env.reset(seed=3)
    (tmp_path / "env.pickle").write_bytes(pickle.dumps(env))
    np.save(tmp_path / "actions.npy", actions(env, 10, 1))
    code = (
        "import pickle, sys, numpy as np\n"
        "env = pickle.load(open('env.pickle', 'rb'))\n"
        "print(*(float(env.step(a)[1]).hex() for a in np.load('actions.npy')))"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [float(env.step(a)[1]).hex() for a in actions(env, 10, 1)], done.stderr


@pytest.mark.usefixtures("opengl")
def test_a_copy_draws_with_a_renderer_of_its_own():
    env = make("single", render_mode="rgb_array", render_size=(48, 64))
    env.reset(seed=0)
    frame = env.render()
    twin = copy.deepcopy(env)
    assert twin.vector._renderer is None
    env.close()
    np.testing.assert_array_equal(twin.render(), frame)
    twin.close()


@pytest.mark.parametrize("how", COPIES)
def test_what_cannot_be_copied_says_so_and_names_the_way_round(how, monkeypatch):
    env = make("vector")
    monkeypatch.setattr(MujocoSimulator, "asynchronous", True)  # as the warp engine's
    with pytest.raises(TypeError, match=r"warp engine cannot be copied or pickled.*make another.*same seed"):
        COPIES[how](env)


# -- the end ----------------------------------------------------------------------------------------------------------


@contextmanager
def without_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def parts(env):
    inner = env.unwrapped
    vector = getattr(inner, "vector", inner)
    found = [env, inner, vector, vector.sim, vector.sim.batch]
    if vector._renderer is not None:
        found += [vector._renderer, vector._renderer._renderer]
    return [weakref.ref(part) for part in found]


@pytest.mark.parametrize("stage", ["made", "reset", "stepped", "copied"])
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_dropped_is_freed_at_once(name, stage):
    with without_collector():
        env = make(name)
        if stage != "made":
            env.reset(seed=0)
        if stage == "stepped":
            for action in actions(env, 20):
                env.step(action)
        if stage == "copied":
            env = copy.deepcopy(env)
        kept = parts(env)
        del env
        assert [ref() for ref in kept] == [None] * len(kept)


@pytest.mark.usefixtures("opengl")
@pytest.mark.parametrize("name", MAKERS)
def test_what_has_drawn_is_freed_with_its_renderer(name):
    with without_collector():
        env = make(name, render_mode="rgb_array", render_size=(48, 64))
        env.reset(seed=0)
        env.render()
        kept = parts(env)
        assert len(kept) == 7
        del env
        assert [ref() for ref in kept] == [None] * len(kept)


@pytest.mark.parametrize("where", ["check_camera", "joint_limits"])
def test_what_fails_in_its_constructor_is_freed_at_once(monkeypatch, where):
    made = []

    def fail(*_, **__):
        raise ValueError("no")

    original = MujocoSimulator.__init__

    def remember(self, *args, **kwargs):
        original(self, *args, **kwargs)
        made.append(weakref.ref(self))

    monkeypatch.setattr(MujocoSimulator, "__init__", remember)
    monkeypatch.setattr(f"dexscrew_envs.vector_env.{where}", fail)
    with without_collector():
        for name in ("vector", "single"):
            with pytest.raises(ValueError, match="no"):
                make(name)
        assert len(made) == 2
        assert [ref() for ref in made] == [None, None]
