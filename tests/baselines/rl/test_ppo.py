from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from fakes import FakeEnv
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from torch.distributions import Normal, kl_divergence

from baselines.rl.actor_critic import DexScrewActorCritic
from baselines.rl.on_policy import EpisodeStatistics
from baselines.rl.ppo import TensorPPO, generalized_advantages
from baselines.rl.sb3_env import NumpyVecEnv, TensorVecEnv

SMALL = {"encoder": (8, 4), "trunk": (32, 16)}


def make(env: FakeEnv, n_steps: int = 8, batch_size: int | None = None, **kwargs) -> TensorPPO:
    kwargs = {"seed": 0, "device": "cpu", "policy_kwargs": SMALL, "n_epochs": 2, "learning_rate": 1e-3} | kwargs
    size = batch_size or n_steps * env.num_envs
    return TensorPPO(DexScrewActorCritic, TensorVecEnv(env), n_steps=n_steps, batch_size=size, **kwargs)


def collect(model: TensorPPO) -> None:
    _, callback = model._setup_learn(model.n_steps * model.n_envs)
    assert model.collect_rollouts(model.env, callback, None, model.n_steps)


# -- advantages -------------------------------------------------------------------------------------------------------


def test_advantages_of_a_case_computed_by_hand():
    rewards = torch.tensor([[1.0], [2.0], [3.0]])
    values = torch.tensor([[0.5], [0.25], [1.0]])
    dones = torch.tensor([[False], [True], [False]])
    advantages = generalized_advantages(rewards, values, dones, torch.tensor([4.0]), gamma=0.5, gae_lambda=0.8)
    # The second step ends an episode: it sees no value after it, and no advantage of the third step.
    third = 3 + 0.5 * 4 - 1
    second = 2 - 0.25
    first = 1 + 0.5 * 0.25 - 0.5 + 0.5 * 0.8 * second
    assert advantages.flatten().tolist() == pytest.approx([first, second, third])


@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
def test_advantages_and_returns_are_those_of_stable_baselines3(gae_lambda):
    rng = np.random.default_rng(0)
    steps, envs, gamma = 50, 6, 0.97
    rewards, values = rng.normal(size=(2, steps, envs)).astype(np.float32)
    dones = rng.random((steps, envs)) < 0.1
    dones[-1, ::2] = True
    last_value = rng.normal(size=envs).astype(np.float32)
    space = gymnasium.spaces.Box(-1, 1, (1,))
    buffer = RolloutBuffer(steps, space, space, "cpu", gae_lambda, gamma, envs)
    buffer.rewards, buffer.values = rewards, values
    buffer.episode_starts[1:] = dones[:-1]  # Stable-Baselines3 keeps where episodes start, not where they end
    buffer.compute_returns_and_advantage(torch.from_numpy(last_value), dones[-1])
    advantages = generalized_advantages(
        torch.from_numpy(rewards), torch.from_numpy(values), torch.from_numpy(dones), torch.from_numpy(last_value),
        gamma, gae_lambda,
    )  # fmt: skip
    np.testing.assert_allclose(advantages.numpy(), buffer.advantages, atol=1e-5)
    np.testing.assert_allclose(advantages.numpy() + values, buffer.returns, atol=1e-5)


@pytest.mark.slow
def test_truncation_bootstraps_with_the_final_observation_and_termination_does_not():
    env = FakeEnv([1, 1, 5], terminates=[True, False, False])
    model = make(env, n_steps=1, gamma=0.9, reward_scale=0.5)
    begin = env.observe()
    env.steps += 1
    final = env.observe()
    env.steps -= 1
    with torch.no_grad():
        model.policy.value_net.bias.fill_(3.0)
    collect(model)
    rollout = model.rollout
    with torch.no_grad():
        before, after = model.policy.values(begin), model.policy.values(final)
    assert (after.abs() > 1).all() and (after - model.policy.values(model._last_obs)).abs()[1] > 1e-3
    reward = -0.5 * (rollout.actions[0] - 0.5).square().mean(dim=1)
    expected = reward - before + 0.9 * torch.tensor([0.0, 1.0, 1.0]) * after
    torch.testing.assert_close(rollout.advantages[0], expected)
    torch.testing.assert_close(rollout.returns[0], expected + before)


def test_a_rollout_holds_what_was_seen_and_done_in_the_order_of_time():
    model = make(FakeEnv([3, 8]), n_steps=4)
    collect(model)
    twin = FakeEnv([3, 8])
    observation, _ = twin.reset()
    for step in range(4):
        for key, tensor in model.rollout.observations.items():
            assert torch.equal(tensor[step], observation[key])
        observation, *_ = twin.step(model.rollout.actions[step])
    assert all(torch.equal(model._last_obs[key], observation[key]) for key in observation)
    assert model.num_timesteps == 8


# -- statistics -------------------------------------------------------------------------------------------------------


def test_statistics_average_the_last_finished_episodes():
    statistics = EpisodeStatistics(2, torch.device("cpu"), keep=3)
    assert statistics.means() == {}
    for step in range(1, 7):  # environment 0 ends after 2, 4 and 6 steps, environment 1 after 3 and 6
        done = torch.tensor([step % 2 == 0, step % 3 == 0])
        statistics.update(torch.tensor([1.0, 10.0 * step]), done, torch.tensor([0.25, float(step)]))
    # The last three: environment 0 at 4, and both at 6.
    assert [tuple(row) for row in statistics.finished] == [(2.0, 2, 0.25), (2.0, 2, 0.25), (150.0, 3, 6.0)]
    means = statistics.means()
    assert means == pytest.approx({"episode_reward": 154 / 3, "episode_length": 7 / 3, "rotations": 6.5 / 3})


def test_training_reports_the_unscaled_reward_and_the_length_of_episodes():
    model = make(FakeEnv([4] * 4), n_steps=8, reward_scale=1e-3)
    collect(model)
    reward = -(model.rollout.actions - 0.5).square().mean(dim=2)
    means = model.statistics.means()
    assert means["episode_length"] == 4
    assert means["rotations"] == pytest.approx((0.4 + 0.8) / 2)
    assert means["episode_reward"] == pytest.approx(float(reward.mean()) * 4, rel=1e-5)


# -- the update -------------------------------------------------------------------------------------------------------


def test_the_learning_rate_is_steered_by_the_divergence_and_bounded():
    model = make(FakeEnv([4] * 4), target_kl=0.02, min_learning_rate=1e-4, max_learning_rate=5e-3)

    def rate_after(divergence: float, times: int = 1) -> float:
        for _ in range(times):
            model._adapt_learning_rate(divergence)
        rates = {group["lr"] for group in model.policy.optimizer.param_groups}
        assert rates == {model.current_learning_rate}
        return model.current_learning_rate

    assert model.current_learning_rate == 1e-3
    assert rate_after(0.02) == 1e-3
    assert rate_after(0.0101) == 1e-3 and rate_after(0.0399) == 1e-3
    assert rate_after(0.009) == pytest.approx(1.5e-3)
    assert rate_after(0.041) == pytest.approx(1e-3)
    assert rate_after(1.0, times=30) == 1e-4
    assert rate_after(0.0, times=30) == 5e-3


def test_training_lowers_the_learning_rate_when_the_policy_moves_far():
    model = make(FakeEnv([4] * 8), learning_rate=5e-3, n_epochs=6, target_kl=1e-5)
    model.learn(64)
    # The first of the six passes sees the policy that acted, and next to no divergence.
    assert model.current_learning_rate == pytest.approx(5e-3 * 1.5 / 1.5**5)


def test_the_divergence_aimed_at_falls_by_equal_factors_and_then_stays():
    model = make(FakeEnv([4] * 8), target_kl=0.02, final_kl=0.005, kl_steps=1000)
    goals = []
    for model.num_timesteps in (0, 500, 1000, 5000):
        goals.append(model.kl_goal())
    assert goals == pytest.approx([0.02, 0.01, 0.005, 0.005])
    constant = make(FakeEnv([4] * 8), target_kl=0.02)
    constant.num_timesteps = 10**9
    assert constant.kl_goal() == 0.02


def perturb(policy: DexScrewActorCritic) -> None:
    """Move a policy away from the one that drew the actions, so that ratios differ from one."""
    torch.manual_seed(1)
    with torch.no_grad():
        policy.log_std.add_(0.1 * torch.randn(12))
        policy.action_net.bias.add_(0.2 * torch.randn(12))


def test_the_policy_loss_is_that_of_stock_ppo_on_the_same_numbers():
    model = make(FakeEnv([4] * 8), n_steps=8, n_epochs=1)
    collect(model)
    stock = PPO(
        DexScrewActorCritic, NumpyVecEnv(FakeEnv([4] * 8)), n_steps=8, batch_size=64, n_epochs=1, policy_kwargs=SMALL,
        device="cpu",
    )  # fmt: skip
    perturb(model.policy)
    stock._setup_learn(64)
    stock.policy.load_state_dict(model.policy.state_dict())
    buffer, rollout = stock.rollout_buffer, model.rollout
    buffer.observations = {key: tensor.numpy() for key, tensor in rollout.observations.items()}
    buffer.actions, buffer.log_probs = rollout.actions.numpy(), rollout.log_probs.numpy()
    buffer.values, buffer.returns = rollout.values.numpy(), rollout.returns.numpy()
    buffer.advantages, buffer.full = rollout.advantages.numpy(), True
    stock.train()
    model.train()
    loss = stock.logger.name_to_value["train/policy_gradient_loss"]
    assert stock.logger.name_to_value["train/clip_fraction"] > 0.1
    assert abs(loss) > 1e-3
    assert model.logger.name_to_value["train/policy_loss"] == pytest.approx(loss, rel=1e-4)


def test_the_recorded_divergence_is_that_of_the_policies_before_and_after():
    model = make(FakeEnv([4] * 8), n_steps=8, n_epochs=1)
    collect(model)
    flat = {key: tensor.flatten(0, 1) for key, tensor in model.rollout.observations.items()}

    def distribution() -> Normal:
        with torch.no_grad():
            mean, std, _ = model.policy.distribution_and_value(flat)
        return Normal(mean, std)

    old = Normal(model.rollout.means.flatten(0, 1), model.rollout.std)
    perturb(model.policy)
    expected = float(kl_divergence(old, distribution()).sum(dim=1).mean())
    model.train()
    assert expected > 0.01
    assert model.logger.name_to_value["train/kl"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_a_policy_learns_the_action_that_is_rewarded():
    model = make(FakeEnv([20] * 16), n_steps=16, n_epochs=4, batch_size=64, reward_scale=1.0, gamma=0.9, target_kl=0.05)
    observation = FakeEnv([20] * 16).observe()

    def distance() -> float:
        with torch.no_grad():
            return float((model.policy.distribution_and_value(observation)[0] - 0.5).abs().mean())

    before = distance()
    model.learn(16 * 16 * 60)
    assert before > 0.4
    assert distance() < 0.1
    assert model.statistics.means()["episode_length"] == 20


def learned(seed: int) -> dict[str, torch.Tensor]:
    model = make(FakeEnv([3, 5, 7, 9]), n_steps=4, batch_size=8, seed=seed)
    model.learn(64)
    return model.policy.state_dict()


def test_learning_is_repeatable_with_a_seed():
    first, again, other = learned(1), learned(1), learned(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_the_seed_reaches_the_environment_once():
    env = FakeEnv([4] * 4)
    make(env, seed=123).learn(32)
    assert env.seeds == [123]


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size:UserWarning")
def test_a_batch_size_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"batch_size must divide n_steps x environments = 32, got 24"):
        make(FakeEnv([4] * 4), n_steps=8, batch_size=24)


def test_an_environment_in_numpy_is_refused():
    with pytest.raises(TypeError, match="runs on a TensorVecEnv, got NumpyVecEnv"):
        TensorPPO(DexScrewActorCritic, NumpyVecEnv(FakeEnv([4] * 4)), n_steps=8, batch_size=32, device="cpu")


# -- what is left to Stable-Baselines3 --------------------------------------------------------------------------------


class StopAfter(BaseCallback):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def _on_step(self) -> bool:
        return self.n_calls < self.steps


def test_a_callback_can_stop_the_training():
    model = make(FakeEnv([4] * 4), n_steps=8)
    model.learn(10_000, callback=StopAfter(11))
    assert model.num_timesteps == 44


def test_predict_gives_the_mean_action_within_the_action_space():
    env = FakeEnv([4] * 4)
    model = make(env)
    model.learn(32)
    with torch.no_grad():
        model.policy.action_net.bias[0] = 7.0
        mean, _, _ = model.policy.distribution_and_value(env.observe())
    numpy = {key: tensor.numpy() for key, tensor in env.observe().items()}
    actions, _ = model.predict(numpy, deterministic=True)
    np.testing.assert_allclose(actions, mean.clamp(-1, 1).numpy(), atol=1e-6)
    assert (actions[:, 0] == 1.0).all()
    single, _ = model.predict({key: array[2] for key, array in numpy.items()}, deterministic=True)
    np.testing.assert_allclose(single, actions[2], atol=1e-6)


def test_save_and_load_give_the_same_actions_and_learning_goes_on(tmp_path):
    env = FakeEnv([4] * 4)
    model = make(env, target_kl=1e-6, reward_scale=0.3, n_steps=8)
    model.learn(64)
    assert model.current_learning_rate < 1e-3
    model.save(tmp_path / "model.zip")
    again = TensorPPO.load(tmp_path / "model.zip", env=TensorVecEnv(FakeEnv([4] * 4)), device="cpu")
    numpy = {key: tensor.numpy() for key, tensor in env.observe().items()}
    np.testing.assert_array_equal(
        again.predict(numpy, deterministic=True)[0], model.predict(numpy, deterministic=True)[0]
    )
    assert again.current_learning_rate == model.current_learning_rate
    assert (again.reward_scale, again.kl_goal(), again.num_timesteps) == (0.3, 1e-6, 64)
    again.learn(32, reset_num_timesteps=False)
    assert again.num_timesteps == 96


def test_a_model_is_loaded_without_an_environment_to_predict(tmp_path):
    model = make(FakeEnv([4] * 4))
    model.save(tmp_path / "model.zip")
    numpy = {key: tensor.numpy() for key, tensor in FakeEnv([4] * 2).observe().items()}
    loaded = TensorPPO.load(tmp_path / "model.zip", device="cpu")
    np.testing.assert_array_equal(
        loaded.predict(numpy, deterministic=True)[0], model.predict(numpy, deterministic=True)[0]
    )


def test_stock_callbacks_save_the_model_while_it_learns(tmp_path):
    make(FakeEnv([4] * 4)).learn(64, callback=CheckpointCallback(save_freq=10, save_path=str(tmp_path)))
    assert {path.name for path in tmp_path.iterdir()} == {"rl_model_40_steps.zip"}


@pytest.mark.parametrize("idle", [(), (5, 6, 7, 8)])
def test_idle_actions_neither_learn_nor_count(idle):
    model = make(FakeEnv([4] * 8), n_steps=8, idle_actions=idle)
    collect(model)
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    rows = list(idle) or [5, 6, 7, 8]
    rollout = model.rollout
    acting = [k for k in range(12) if k not in idle]
    normal = Normal(rollout.means, rollout.std)
    expected = normal.log_prob(rollout.actions)[..., acting].sum(dim=-1)
    torch.testing.assert_close(rollout.log_probs, expected)
    model.train()
    after = model.policy.state_dict()
    for key in ("action_net.weight", "action_net.bias", "log_std"):
        assert torch.equal(after[key][rows], before[key][rows]) == bool(idle)
        assert not torch.equal(after[key][:5], before[key][:5])
