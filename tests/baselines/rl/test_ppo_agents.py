from __future__ import annotations

import json
from types import ModuleType

import pytest
import torch
from fakes import TINY, FakeEnv

from baselines import policies, ppo_asymmetric, ppo_oracle, ppo_unprivileged
from baselines.rl.ppo_agents import PPOConfig
from baselines.rl.sb3_env import TensorVecEnv

ALL = {"proprio": (3, 24), "privileged": (4,), "fingertip_force": (5, 3)}
AGENTS = {
    ppo_oracle: ("oracle", {"proprio", "privileged"}, {"proprio", "privileged"}),
    ppo_asymmetric: ("asymmetric", {"proprio"}, {"proprio", "privileged", "fingertip_force"}),
    ppo_unprivileged: ("unprivileged", {"proprio"}, {"proprio"}),
}


@pytest.mark.parametrize("module", AGENTS)
def test_actor_and_critic_see_what_they_should_and_nothing_else(module):
    name, actor, critic = AGENTS[module]
    agent = module.AGENT
    assert agent.name == name and set(agent.observe) == actor | critic
    env = TensorVecEnv(FakeEnv([4] * 4, shapes={key: ALL[key] for key in agent.observe}))
    model = agent.build(env, PPOConfig(num_envs=4, n_steps=4, batch_size=16))
    seen = {key: torch.randn(6, *ALL[key], requires_grad=True) for key in agent.observe}
    for output, keys in (
        (model.policy.distribution_and_value(seen)[0], actor),
        (model.policy.distribution_and_value(seen)[2], critic),
    ):
        gradients = torch.autograd.grad(output.square().sum(), list(seen.values()), allow_unused=True)
        found = {key for key, g in zip(seen, gradients, strict=True) if g is not None and (g != 0).any()}
        assert found == keys
    assert set(model.policy.actor().body.shapes) == actor


@pytest.mark.slow
@pytest.mark.parametrize("module", AGENTS)
def test_a_run_leaves_a_policy_that_needs_only_what_its_actor_sees(module: ModuleType, tmp_path):
    name, actor, _ = AGENTS[module]
    assert module.main([*TINY, "--steps", "64", "--folder", str(tmp_path)]) == 0
    assert set(policies.load(tmp_path / "policy.pt").observe) == actor
    results = json.loads((tmp_path / "metrics.json").read_text())
    assert results["agent"] == name and results["evaluation"]["episodes"] == 4
    assert results["command"].startswith(f"python -m baselines.{module.__name__.split('.')[-1]} ")


def test_a_critic_of_its_own_learns(tmp_path):
    config = PPOConfig(num_envs=8, n_steps=8, batch_size=64)
    model = ppo_asymmetric.AGENT.build(TensorVecEnv(FakeEnv([4] * 8, shapes=ALL)), config)
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    model.learn(2 * 64)
    changed = {key for key, value in model.policy.state_dict().items() if not torch.equal(value, before[key])}
    for part in ("pi_features_extractor.trunk", "vf_features_extractor.trunk", "vf_features_extractor.encoder"):
        assert any(key.startswith(part) for key in changed), part
    assert any(key.startswith("vf_features_extractor.norms.fingertip_force") for key in changed)
