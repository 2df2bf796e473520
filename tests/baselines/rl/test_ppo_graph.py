"""The update as a CUDA graph, which takes a GPU, and what can be shown of it without one."""

from __future__ import annotations

import copy

import pytest
import torch
from fakes import FakeEnv
from torch import Tensor

from baselines.rl.actor_critic import DexScrewActorCritic
from baselines.rl.ppo import TensorPPO
from baselines.rl.sb3_env import TensorVecEnv

SMALL = {"encoder": (8, 4), "trunk": (32, 16)}


def make(device: str, **kwargs: float) -> TensorPPO:
    """Return a model with a rollout to learn from."""
    env = FakeEnv([4, 5, 6, 7], device=device)
    model = TensorPPO(
        DexScrewActorCritic, TensorVecEnv(env), n_steps=8, batch_size=16, n_epochs=2, learning_rate=1e-3, seed=0,
        device=device, policy_kwargs=SMALL, **kwargs,
    )  # fmt: skip
    _, callback = model._setup_learn(1000)
    model.collect_rollouts(model.env, callback, None, 8)
    return model


def in_order(model: TensorPPO) -> None:
    """Let the model take its minibatches in the order of time."""
    model.minibatches = lambda count: torch.arange(count, device=model.device).split(model.batch_size)


def test_a_learning_rate_on_the_device_is_changed_in_place():
    model = make("cpu")
    model.keep_learning_rate_on_device()
    (group,) = model.policy.optimizer.param_groups
    rate = group["lr"]
    assert isinstance(rate, Tensor) and float(rate) == pytest.approx(1e-3)
    model.current_learning_rate = 5e-4
    model.apply_learning_rate()
    assert group["lr"] is rate and float(rate) == pytest.approx(5e-4)


def test_each_update_clips_as_the_schedule_says():
    clips = iter([0.2, 0.2, 0.1])
    one, other = make("cpu", clip_range=lambda _: next(clips)), make("cpu", clip_range=0.2)
    for model in (one, other):
        in_order(model)
    for same in (True, True, False):
        one.train()
        other.train()
        assert torch.equal(one.policy.action_net.weight, other.policy.action_net.weight) is same


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_graph_learns_what_plain_calls_learn():
    graphed, plain = make("cuda"), make("cuda")
    plain._prepare = lambda clip: setattr(plain, "_clip", clip)
    for model in (graphed, plain):
        in_order(model)
    assert all(torch.equal(a, b) for a, b in zip(graphed.policy.parameters(), plain.policy.parameters(), strict=True))
    before = copy.deepcopy(graphed.policy.state_dict())
    for _ in range(5):
        graphed.train()
        plain.train()
        assert graphed.current_learning_rate == plain.current_learning_rate
    for name, value in plain.policy.state_dict().items():
        torch.testing.assert_close(graphed.policy.state_dict()[name], value, rtol=1e-3, atol=1e-5)
    assert not torch.equal(before["action_net.weight"], graphed.policy.state_dict()["action_net.weight"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_training_goes_on_from_what_a_graph_learned():
    model, resumed = make("cuda"), make("cuda")
    model.train()
    state = copy.deepcopy(model.policy.optimizer.state_dict())
    resumed.policy.load_state_dict(model.policy.state_dict())
    resumed.policy.optimizer.load_state_dict(state)
    resumed.current_learning_rate = model.current_learning_rate
    resumed.rollout = model.rollout
    for each in (model, resumed):
        in_order(each)
        each.train()
    for name, value in model.policy.state_dict().items():
        torch.testing.assert_close(resumed.policy.state_dict()[name], value, rtol=1e-3, atol=1e-5)
