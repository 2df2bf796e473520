"""The robot's environment on a twin in this process: odd surroundings, copies, its end, and arguments of odd kinds."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import gymnasium
import numpy as np
import pytest
from robot_fakes import FakeRobot
from surroundings import surrounded

from dexscrew_envs.tasks import NUT
from real.env import DexScrewRealEnv

ACTIONS = np.random.default_rng(0).uniform(-1, 1, (8, 12)).astype(np.float32)


def rollout():
    env = DexScrewRealEnv("nut")
    observation, _ = env.reset(seed=np.int64(1))
    found = [observation[key] for key in sorted(observation)]
    for action in ACTIONS:
        observation, reward, *_ = env.step(action)
        found += [observation[key] for key in sorted(observation)] + [reward]
    env.close()
    return found


@pytest.fixture(scope="module")
def expected():
    return rollout()


@pytest.mark.parametrize(
    "name",
    ["float64", "meta device", "inference_mode", "NumPy raises", "warnings are errors", "no folder", "random numbers"],
)  # fmt: skip
def test_the_twin_does_the_same_in_all_surroundings(expected, name):
    with surrounded(name):
        found = rollout()
    for array, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("how", [copy.deepcopy, copy.copy, pickle.dumps])
@pytest.mark.parametrize("robot", ["twin", FakeRobot()], ids=["twin", "robot"])
def test_a_copy_is_refused_with_the_way_round(how, robot):
    env = DexScrewRealEnv("nut", robot=robot)
    with pytest.raises(TypeError, match=r"robot or its twin cannot be copied or pickled.*same arguments.*same seed"):
        how(env)
    env.close()


@pytest.mark.slow
@pytest.mark.usefixtures("opengl")
@pytest.mark.parametrize("stage", ["made", "reset", "stepped", "drawn"])
def test_what_is_dropped_is_freed_at_once(stage):
    gc.collect()
    gc.disable()
    try:
        env = gymnasium.make("DexScrew-NutReal-v0", render_mode="rgb_array", render_size=(48, 64))
        if stage != "made":
            env.reset(seed=0)
        if stage in ("stepped", "drawn"):
            env.step(ACTIONS[0])
        inner = env.unwrapped
        kept = [env, inner, inner.robot, inner.robot.plant, inner.safety]
        if stage == "drawn":
            env.render()
            kept += [inner._renderer, inner._renderer._renderer]
        kept = [weakref.ref(part) for part in kept]
        del env, inner
        assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"task": NUT}, ValueError, r"unknown task Task\(.*choose from nut, screwdriver"),
        ({"task": None}, ValueError, "unknown task None; choose from nut, screwdriver"),
        ({"observe": None}, ValueError, "observe must name at least one of proprio"),
        ({"observe": 3}, ValueError, "observe must name at least one of proprio"),
        ({"observe": ("proprio", 3)}, ValueError, "unknown observation 3; choose from proprio"),
        ({"episode_steps": "20"}, ValueError, "episode_steps must be an integer of at least 1, got '20'"),
        ({"episode_steps": True}, ValueError, "episode_steps must be an integer of at least 1, got True"),
        ({"render_mode": ["rgb_array"]}, ValueError, "unknown render_mode"),
        ({"limits": "safe"}, TypeError, r"limits must be SafetyLimits\(...\) or None, got 'safe'"),
    ],
    ids=str,
)
def test_arguments_of_odd_kinds_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        DexScrewRealEnv(**arguments)


@pytest.mark.parametrize("options", [{"reset_mask": [True]}, {"start": 1}, [1]], ids=str)
def test_options_of_a_reset_are_refused(options):
    env = DexScrewRealEnv("nut")
    with pytest.raises(ValueError, match=r"this environment has none|options must be a dict"):
        env.reset(options=options)
    env.reset(seed=0, options={})
    env.close()
