"""Learning and acting in odd states of the process; what the algorithms themselves do is tested with each."""

from __future__ import annotations

import pytest
import torch
from surroundings import surrounded

from baselines import policies
from baselines.rl.actor_critic import DexScrewActorCritic
from baselines.rl.ppo import TensorPPO
from baselines.rl.sb3_env import TensorVecEnv
from dexscrew_envs.vector_env import DexScrewVectorEnv

NAMES = (
    "float64", "meta device", "device of a with", "no_grad", "inference_mode", "autocast", "deterministic",
    "denormals", "NumPy raises", "warnings are errors", "no folder",
)  # fmt: skip
KEYS = ("proprio", "privileged")


def learn(path):
    """Train, save, load, and return the weights and an action."""
    env = TensorVecEnv(DexScrewVectorEnv("nut", 4, observe=KEYS, num_threads=1, episode_steps=5))
    widths = {"encoder": (16, 4), "trunk": (16,)}
    model = TensorPPO(DexScrewActorCritic, env, n_steps=8, batch_size=16, seed=0, device="cpu", policy_kwargs=widths)
    model.learn(64)
    model.save(path)
    loaded = TensorPPO.load(path, env=env, device="cpu")
    loaded.learn(32)
    observation = {key: value.numpy() for key, value in env.reset().items()}
    action, _ = loaded.predict(observation, deterministic=True)
    return [p.detach().numpy() for p in loaded.policy.parameters()] + [action], loaded


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return learn(tmp_path_factory.mktemp("model") / "model.zip")[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_learning_is_the_same_in_all_surroundings(tmp_path, expected, name):
    generator = torch.get_rng_state()
    with surrounded_but_for_seeds(name):
        found, model = learn(tmp_path / "model.zip")
    torch.set_rng_state(generator)
    assert all(p.requires_grad and not p.is_inference() for p in model.policy.parameters())
    assert len(found) == len(expected)
    for array, other in zip(found, expected, strict=True):
        assert array.dtype == other.dtype and (array == other).all()


def surrounded_but_for_seeds(name):
    """As `surrounded`; Stable-Baselines3 seeds the global generators, as its users expect."""
    return surrounded(name, but_for=("torch generator", "NumPy generator"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, "float16", "random numbers"])
def test_policies_load_and_act_the_same_in_all_surroundings(name):
    observation = DexScrewVectorEnv("nut", 3, num_threads=1).reset(seed=0)[0]
    expected = policies.load("nut-oracle").act(observation)
    with surrounded(name):
        policy = policies.load("nut-oracle")
        action = policy.act(observation)
        with torch.random.fork_rng(devices=()):  # an untrained actor is drawn from the caller's generator
            built = policies.build_actor(policy.shapes)
    assert torch.equal(action, expected) and action.dtype == torch.float32 and not action.is_inference()
    assert all(p.dtype == torch.float32 and p.device.type == "cpu" and p.requires_grad for p in built.parameters())
