from __future__ import annotations

import pytest
import torch

from dexscrew_envs.mdp.randomization import sample_episode
from dexscrew_envs.sim import State, make_simulator
from dexscrew_envs.tasks import make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv

EVERYTHING = ("proprio", "history", "privileged", "fingertip_force", "point_cloud")


@pytest.fixture
def make_env():
    """Build vector environments on one thread, with every observation, and close them after the test."""
    built = []

    def make(task="nut", num_envs=4, **kwargs):
        env = DexScrewVectorEnv(task, num_envs, **{"num_threads": 1, "observe": EVERYTHING, **kwargs})
        built.append(env)
        return env

    yield make
    for env in built:
        env.close()


@pytest.fixture
def make_sim():
    """Build a simulator on one thread, reset to episodes that are returned beside it."""

    def make(task="nut", num_envs=4, seed=0, **changes):
        task = make_task(task, **changes)
        sim = make_simulator("mujoco", task, num_envs, num_threads=1)
        generator = torch.Generator().manual_seed(seed)
        episode = sample_episode(task, num_envs, len(sim.start_states.variant), generator)
        sim.reset(torch.arange(num_envs), episode)
        return sim, episode

    return make


@pytest.fixture
def make_state():
    """Build a state at rest with everything at the origin, but for the fields that are given."""

    def make(num_envs, **fields):
        shapes = {
            "joint_pos": (12,),
            "joint_vel": (12,),
            "torque": (12,),
            "nut_angle": (),
            "nut_speed": (),
            "nut_pos": (3,),
            "nut_quat": (4,),
            "nut_velocity": (6,),
            "nut_force": (3,),
            "tip_pos": (5, 3),
            "tip_quat": (5, 4),
            "tip_velocity": (5, 6),
            "tip_force": (5, 3),
        }
        values = {name: torch.zeros(num_envs, *shape) for name, shape in shapes.items()}
        values["nut_quat"][..., 0] = 1.0
        values["tip_quat"][..., 0] = 1.0
        for name, value in fields.items():
            values[name] = torch.as_tensor(value, dtype=torch.float32).expand(num_envs, *shapes[name]).clone()
        return State(**values)

    return make
