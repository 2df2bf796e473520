from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from dexscrew_envs.env import DexScrewEnv
from dexscrew_envs.tasks import TASKS
from dexscrew_envs.vector_env import DexScrewVectorEnv

ROOT = Path(__file__).parents[2]
IDS = tuple(f"DexScrew-{name.title()}-v0" for name in TASKS)
REGISTERED = sorted([*IDS, "DexScrew-NutReal-v0", "DexScrew-ScrewdriverReal-v0"])


@pytest.fixture
def make_env():
    built = []

    def make(task="nut", **kwargs):
        built.append(DexScrewEnv(task, **{"num_threads": 1, **kwargs}))
        return built[-1]

    yield make
    for env in built:
        env.close()


def run_python(code, **environment):
    """Run code in a fresh interpreter at the root of the repository; return what it prints, from JSON."""
    variables = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**variables, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


# -- registration -----------------------------------------------------------------------------------------------------


def test_import_loads_nothing_heavy_and_registers_the_ids():
    code = (
        "import json, sys, dexscrew_envs, gymnasium\n"
        "heavy = [name for name in ('torch', 'mujoco') if name in sys.modules]\n"
        "print(json.dumps([heavy, sorted(i for i in gymnasium.registry if i.startswith('DexScrew'))]))"
    )
    assert run_python(code) == [[], REGISTERED]


def test_registered_ids_are_known():
    assert sorted(name for name in gymnasium.registry if name.startswith("DexScrew")) == REGISTERED


@pytest.mark.slow
def test_make_imports_the_package_by_its_prefix():
    code = (
        "import json, gymnasium\n"
        "env = gymnasium.make('dexscrew_envs:DexScrew-Nut-v0', num_threads=1)\n"
        "observation, _ = env.reset(seed=0)\n"
        "reward = env.step(env.action_space.sample())[1]\n"
        "print(json.dumps([{k: list(v.shape) for k, v in observation.items()}, type(reward).__name__]))"
    )
    assert run_python(code) == [{"proprio": [3, 24], "history": [30, 24], "privileged": [137]}, "float"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more than one OpenGL to choose from")
@pytest.mark.parametrize(
    ("environment", "chosen"),
    [({"MUJOCO_GL": "glfw"}, "glfw"), ({"DISPLAY": ":0"}, None), ({"WAYLAND_DISPLAY": "wayland-0"}, None)],
    ids=str,
)
def test_opengl_of_the_user_is_left_alone(environment, chosen):
    code = "import json, os, dexscrew_envs; print(json.dumps(os.environ.get('MUJOCO_GL')))"
    assert run_python(code, **environment) == chosen


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more than one OpenGL to choose from")
def test_opengl_that_needs_no_display_is_chosen_where_there_is_one():
    code = (
        "import ctypes, json, os\n"
        "asked = []\n"
        "def load(name):\n"
        "    asked.append(name)\n"
        "    if 'EGL' in name: raise OSError\n"
        "ctypes.CDLL = load\n"
        "import dexscrew_envs\n"
        "print(json.dumps([asked, os.environ.get('MUJOCO_GL')]))"
    )
    assert run_python(code, WAYLAND_DISPLAY="") == [["libEGL.so.1", "libOSMesa.so.8"], "osmesa"]


@pytest.mark.slow
@pytest.mark.parametrize("name", IDS)
def test_check_env_passes_without_a_warning(name, has_opengl):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(name, num_threads=1, render_size=(60, 80)).unwrapped
        check_env(env, skip_render_check=not has_opengl)
        env.close()


@pytest.mark.slow
def test_wrappers_of_make_let_an_episode_through():
    env = gymnasium.make("DexScrew-Nut-v0", num_threads=1, episode_steps=3, randomize=False)
    env.reset(seed=0)
    ends = [env.step(np.zeros(12, np.float32))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    env.close()


# -- one environment --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_it_is_a_vector_environment_of_one(make_env, task):
    env = make_env(task)
    vector = DexScrewVectorEnv(task, 1, num_threads=1, autoreset=False)
    observation, infos = env.reset(seed=3)
    expected, _ = vector.reset(seed=3)
    assert infos == {}
    rng = np.random.default_rng(0)
    for _ in range(10):
        for key, value in observation.items():
            assert isinstance(value, np.ndarray)
            assert value.dtype == np.float32
            np.testing.assert_array_equal(value, expected[key][0].numpy())
        assert env.observation_space.contains(observation)
        action = rng.uniform(-1, 1, 12).astype(np.float32)
        observation, reward, terminated, truncated, infos = env.step(action)
        expected, rewards, terminations, truncations, vector_infos = vector.step(torch.from_numpy(action)[None])
        assert (reward, terminated, truncated) == (rewards.item(), terminations.item(), truncations.item())
        assert type(reward) is float
        assert type(terminated) is type(truncated) is bool
        assert infos["rotations"] == vector_infos["rotations"].item()
        assert sum(infos["reward_terms"].values()) == pytest.approx(reward, abs=1e-4)
        assert infos["reason"] == "running"


def test_infos_are_plain_python(make_env):
    env = make_env()
    env.reset(seed=0)
    infos = env.step(np.zeros(12, np.float32))[-1]
    assert json.loads(json.dumps(infos)) == infos


def test_same_seed_gives_the_same_episode(make_env):
    first, second = make_env(), make_env()
    rng = np.random.default_rng(0)
    seen = [env.reset(seed=5)[0] for env in (first, second)]
    for _ in range(50):
        for key in seen[0]:
            np.testing.assert_array_equal(seen[0][key], seen[1][key])
        action = rng.uniform(-1, 1, 12)
        seen = [env.step(action)[0] for env in (first, second)]
    assert not np.array_equal(first.reset(seed=5)[0]["privileged"], first.reset(seed=6)[0]["privileged"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value", "steps", "reason", "ends"),
    [
        ("episode_steps", 2, 2, "time_limit", (False, True)),
        ("idle_window", 3, 3, "stagnation", (True, False)),
    ],
)
def test_reason_is_told_in_words(make_env, field, value, steps, reason, ends):
    env = make_env(randomize=False, **{field: value})
    env.reset(seed=0)
    for _ in range(steps):
        *_, terminated, truncated, infos = env.step(np.zeros(12, np.float32))
    assert infos["reason"] == reason
    assert (terminated, truncated) == ends


@pytest.mark.slow
def test_it_can_be_reset_after_an_end(make_env):
    env = make_env(randomize=False, episode_steps=1)
    first, _ = env.reset(seed=0)
    assert env.step(np.full(12, -1.0))[3]
    again, _ = env.reset()
    np.testing.assert_array_equal(again["history"], first["history"])
    assert env.step(np.zeros(12))[-1]["rotations"] == pytest.approx(0.0, abs=1e-3)


def test_divergence_ends_the_episode_and_a_reset_heals_it(make_env, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    env = make_env()
    env.reset(seed=0)
    env.vector.sim.batch.qpos[0, 2] = np.nan
    with pytest.warns(RuntimeWarning, match="environment 0 at its step 1"):
        observation, reward, terminated, truncated, infos = env.step(np.zeros(12, np.float32))
    assert (terminated, truncated, infos["reason"]) == (True, False, "invalid_physics")
    assert math.isfinite(reward)
    assert all(np.isfinite(value).all() for value in observation.values())
    env.reset()
    assert env.step(np.zeros(12, np.float32))[-1]["reason"] == "running"


def test_keywords_reach_the_vector_environment(make_env):
    env = make_env(observe=("proprio", "point_cloud"), shape="cross", reset_distance=0.09, randomize=False)
    assert set(env.observation_space.spaces) == {"proprio", "point_cloud"}
    assert env.task.sampled_shapes == ("cross",)
    assert env.task.reset_distance == 0.09
    assert env.task.push_probability == 0.0
    assert env.metadata["render_fps"] == 20


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shape": "octagon"}, ValueError, "nut: unknown shape 'octagon'; choose from triangle"),
        ({"observe": ("rgb",)}, ValueError, "unknown observation 'rgb'"),
        ({"render_mode": "human"}, ValueError, "unknown render_mode 'human'"),
        ({"engine": "bullet"}, ValueError, "unknown engine 'bullet'"),
        ({"device": "cuda"}, ValueError, "runs on device 'cpu'"),
        ({"num_threads": -1}, ValueError, "num_threads must be 0"),
        ({"num_envs": 4}, TypeError, r"for several call gymnasium.make_vec\(id, num_envs=N\)"),
        ({"rotate_wieght": 1.0}, TypeError, "no field 'rotate_wieght'; did you mean 'rotate_weight'"),
    ],
    ids=str,
)
def test_bad_argument_raises(arguments, error, message):
    with pytest.raises(error, match=message):
        DexScrewEnv("nut", **arguments)
    if "render_mode" not in arguments:  # for which make has wrappers and warnings of its own
        with pytest.raises(error, match=message):
            gymnasium.make("DexScrew-Nut-v0", **arguments)


def test_unknown_task_raises():
    with pytest.raises(ValueError, match="unknown task 'bolt'; choose from nut, screwdriver"):
        DexScrewEnv("bolt")


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (np.zeros(11, np.float32), ValueError, r"action must have shape \(12,\), got \(11,\)"),
        (np.zeros((1, 12), np.float32), ValueError, r"action must have shape \(12,\), got \(1, 12\)"),
        (np.zeros(12, np.int64), TypeError, "action must be floating point, got int64"),
        ([0] * 12, TypeError, "action must be floating point, got int64"),
        (np.full(12, np.nan, np.float32), ValueError, r"action must be finite, got \[nan"),
        (np.full(12, np.inf, np.float32), ValueError, r"action must be finite, got \[inf"),
    ],
    ids=["size", "batch", "integer", "integer list", "nan", "inf"],
)
def test_bad_action_raises(make_env, action, error, message):
    env = make_env()
    env.reset(seed=0)
    with pytest.raises(error, match=message):
        env.step(action)


@pytest.mark.parametrize("action", [[0.5] * 12, np.full(12, 0.5), torch.full((12,), 0.5)], ids=["list", "f8", "torch"])
def test_other_floats_are_taken(make_env, action):
    env = make_env()
    env.reset(seed=0)
    assert env.step(action)[0]["proprio"].dtype == np.float32


def test_step_before_reset_raises(make_env):
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        make_env().step(np.zeros(12, np.float32))


def test_step_after_close_raises(make_env):
    env = make_env()
    env.reset(seed=0)
    env.close()
    env.close()
    with pytest.raises(RuntimeError, match="the environment is closed"):
        env.step(np.zeros(12, np.float32))


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (-1, gymnasium.error.Error, "greater or equal to zero, actual value: -1"),
        (1.5, gymnasium.error.Error, "must be a python integer"),
        ("0", gymnasium.error.Error, "must be a python integer"),
        (True, ValueError, "seed must be a non-negative integer below .*, got True"),
    ],
)
def test_bad_seed_raises(make_env, seed, error, message):
    with pytest.raises(error, match=message):
        make_env().reset(seed=seed)
