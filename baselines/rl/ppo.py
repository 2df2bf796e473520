"""PPO of Stable-Baselines3, kept in torch from the environment to the update.

The stock algorithm moves every observation through NumPy and computes its advantages there. This subclass replaces
the rollout and the update, and leaves `learn`, callbacks, logger, `save`, `load` and `predict` as they are. It adds
what the paper's recipe needs: normalised observations and values, and a learning rate steered by the KL divergence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.preprocessing import get_action_dim
from torch import Tensor

from baselines import distributed
from baselines.networks import gaussian_kl, log_probability
from baselines.rl.actor_critic import DexScrewActorCritic
from baselines.rl.on_policy import TensorOnPolicy
from dexscrew_envs.lifetime import weak
from dexscrew_envs.sim.cuda_graph import CudaGraph

_BOUND = 1.1
"""Action means beyond plus and minus this cost, so that they do not drift where clipping hides them."""


@dataclass
class Rollout:
    """T steps of N environments; tensors (T, N, ...)."""

    observations: dict[str, Tensor]
    actions: Tensor
    log_probs: Tensor
    means: Tensor
    std: Tensor
    """(A,) standard deviation with which all actions were drawn."""
    values: Tensor
    advantages: Tensor
    returns: Tensor


def generalized_advantages(
    rewards: Tensor, values: Tensor, dones: Tensor, last_value: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """Return the advantages (T, N) by generalised advantage estimation (Schulman et al., 2016).

    Args:
        rewards: (T, N); those of truncated steps already hold the discounted value of what was cut off.
        values: (T, N) values of the observations that were acted on.
        dones: (T, N) whether the episode ended with the step.
        last_value: (N,) values of the observations after the last step.
        gamma: discount factor.
        gae_lambda: trace decay.
    """
    advantages = torch.zeros_like(rewards)
    following, next_value = torch.zeros_like(last_value), last_value
    for t in reversed(range(len(rewards))):
        alive = (~dones[t]).float()
        delta = rewards[t] + gamma * next_value * alive - values[t]
        following = delta + gamma * gae_lambda * alive * following
        advantages[t], next_value = following, values[t]
    return advantages


class TensorPPO(TensorOnPolicy, PPO):
    """PPO on a `TensorVecEnv`.

    Args:
        policy: `DexScrewActorCritic`, or a subclass.
        env: the environment.
        reward_scale: factor of the reward that the algorithm sees.
        target_kl: target KL divergence per pass over a rollout, by which the learning rate adapts.
        final_kl: final target KL; decays geometrically over `kl_steps`, since small batches make noisy steps, which
            must shrink. None keeps the target constant.
        kl_steps: control steps until `final_kl` is reached.
        min_learning_rate: its lower limit.
        max_learning_rate: its upper limit.
        bounds_coef: weight of the cost of action means beyond the action's range.
        idle_actions: indices of actions without effect. They are left out of probabilities and divergence: their means
            drift, and would use up the divergence that the learning rate aims at.
        kwargs: as of `stable_baselines3.PPO`; `batch_size` must divide `n_steps` times the environments.
    """

    policy: DexScrewActorCritic

    def __init__(
        self,
        policy: Any,
        env: Any,
        *,
        reward_scale: float = 0.01,
        target_kl: float = 0.02,
        final_kl: float | None = None,
        kl_steps: int = 4_000_000,
        min_learning_rate: float = 1e-6,
        max_learning_rate: float = 1e-2,
        bounds_coef: float = 1e-3,
        idle_actions: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        for name, value in (("target_kl", target_kl), ("final_kl", final_kl), ("kl_steps", kl_steps)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        if final_kl is not None and final_kl > target_kl:
            raise ValueError(f"final_kl must be at most target_kl = {target_kl}, got {final_kl}")
        self.reward_scale = reward_scale
        self.kl_range = (target_kl, target_kl if final_kl is None else final_kl)
        self.kl_steps = kl_steps
        self.learning_rate_range = (min_learning_rate, max_learning_rate)
        self.bounds_coef = bounds_coef
        self.idle_actions = tuple(idle_actions)
        super().__init__(policy, env, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        self.rollout: Rollout | None = None
        acting = [k for k in range(get_action_dim(self.action_space)) if k not in self.idle_actions]
        self._acting = torch.tensor(acting, device=self.device)
        self._seen = tuple(self.observation_space.spaces)  # type: ignore[attr-defined]
        self._clip = math.nan
        self._learn_minibatch: Callable[..., dict[str, Tensor]] = weak(self._minibatch)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "rollout", "_acting", "_clip", "_learn_minibatch"]

    def _bootstrap_truncated(self, rewards: Tensor, infos: dict[str, Any]) -> Tensor:
        """Add the discounted values (N,) of what truncation cut off to the rewards (N,) of a step."""
        truncated = infos["truncated"]
        if self.device.type != "cpu":  # checking would sync with the GPU; computing all is cheaper
            return rewards + self.gamma * torch.where(truncated, self.policy.values(infos["final_obs"]), 0.0)
        if truncated.any():
            cut_off = {key: tensor[truncated] for key, tensor in infos["final_obs"].items()}
            rewards[truncated] += self.gamma * self.policy.values(cut_off)
        return rewards

    def _log_probability(self, actions: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        acting = self._acting
        return log_probability(actions[:, acting], mean[:, acting], std[acting])

    @torch.no_grad()
    def collect_rollouts(self, env: Any, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill `self.rollout` with steps of all environments."""
        policy = self.policy
        policy.set_training_mode(False)
        callback.on_rollout_start()
        steps: dict[str, list[Tensor]] = {
            k: [] for k in ("actions", "log_probs", "means", "values", "rewards", "dones")
        }
        seen: list[dict[str, Tensor]] = []
        observation: Any = self._last_obs
        std = policy.log_std.exp().clone()
        for _ in range(n_rollout_steps):
            policy.update_norms(observation)
            mean, _, value = policy.distribution_and_value(observation)
            action = mean + std * torch.randn_like(mean)
            new_observation, reward, done, infos = env.step(action)
            self.num_timesteps += env.num_envs * distributed.size()
            env.env.total_steps = self.num_timesteps
            self.statistics.update(reward, done, infos["rotations"], infos.get("reward_terms"))
            scaled = self._bootstrap_truncated(reward * self.reward_scale, infos)
            seen.append(observation)
            for name, tensor in (
                ("actions", action), ("log_probs", self._log_probability(action, mean, std)), ("means", mean),
                ("values", policy.value_norm.denormalize(value)), ("rewards", scaled), ("dones", done),
            ):  # fmt: skip
                steps[name].append(tensor)
            observation = new_observation
            callback.update_locals(locals())
            if not callback.on_step():
                self._last_obs = observation
                return False
        self._last_obs = observation
        stacked = {name: torch.stack(tensors) for name, tensors in steps.items()}
        rewards, dones = stacked.pop("rewards"), stacked.pop("dones")
        values = stacked["values"]
        advantages = generalized_advantages(
            rewards, values, dones, policy.values(observation), self.gamma, self.gae_lambda
        )
        observations = {key: torch.stack([o[key] for o in seen]) for key in observation}
        self.rollout = Rollout(observations, std=std, advantages=advantages, returns=advantages + values, **stacked)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Update the policy with the rollout."""
        rollout, policy = self.rollout, self.policy
        assert rollout is not None
        policy.set_training_mode(True)
        policy.value_norm.update(rollout.returns.flatten()[:, None])
        old_values = policy.value_norm(rollout.values.flatten()[:, None])[:, 0]
        returns = policy.value_norm(rollout.returns.flatten()[:, None])[:, 0]
        advantages = rollout.advantages.flatten()
        mean, var, count = distributed.moments(advantages)
        advantages = (advantages - mean) / (torch.sqrt(var * count / (count - 1)) + 1e-8)
        flat = {key: tensor.flatten(0, 1) for key, tensor in rollout.observations.items()}
        actions, means = rollout.actions.flatten(0, 1), rollout.means.flatten(0, 1)
        log_probs = rollout.log_probs.flatten()
        self._prepare(float(self.clip_range(self._current_progress_remaining)))  # type: ignore[operator]
        columns = (actions, log_probs, means, old_values, returns, advantages, *(flat[key] for key in self._seen))
        sums: dict[str, Tensor] = {}
        updates = 0
        for _ in range(self.n_epochs):
            divergence = torch.zeros((), device=self.device)
            for batch in self.minibatches(len(actions)):
                losses = self._learn_minibatch(rollout.std, *(column[batch] for column in columns))
                updates += 1
                divergence += losses["kl"] * len(batch) / len(actions)
                for name, loss in losses.items():
                    sums[name] = sums[name] + loss if name in sums else loss
            self._adapt_learning_rate(float(distributed.average_(divergence)))
        self._n_updates += self.n_epochs
        for name, tensor in sums.items():
            self.logger.record(f"train/{name}", float(tensor) / updates)
        self.logger.record("train/std", float(policy.log_std.detach()[self._acting].exp().mean()))
        self.logger.record("train/learning_rate", self.current_learning_rate)

    def _prepare(self, clip: float) -> None:
        """Let minibatches be learned with this clipping: on a GPU as one CUDA graph, since its kernels are short."""
        if clip == self._clip:
            return
        self._clip = clip
        if self.device.type == "cuda":
            self.keep_learning_rate_on_device()
            self._learn_minibatch = CudaGraph(weak(self._minibatch), torch.Generator(self.device))

    def _minibatch(
        self,
        old_std: Tensor,
        actions: Tensor,
        log_probs: Tensor,
        old_means: Tensor,
        old_values: Tensor,
        returns: Tensor,
        advantages: Tensor,
        *seen: Tensor,
    ) -> dict[str, Tensor]:
        """Take one step of the optimizer on a minibatch of the rollout; return its losses, and the divergence."""
        policy, acting, clip = self.policy, self._acting, self._clip
        mean, std, value = policy.distribution_and_value(dict(zip(self._seen, seen, strict=True)))
        ratio = torch.exp(self._log_probability(actions, mean, std) - log_probs)
        policy_loss = -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()
        clipped = old_values + (value - old_values).clamp(-clip, clip)
        error = torch.max((value - returns).square(), (clipped - returns).square())
        value_loss = 0.5 * error.mean()
        bounds_loss = (mean.abs() - _BOUND).clamp(min=0).square().sum(dim=1).mean()
        entropy = torch.log(std).sum()
        loss = policy_loss + self.vf_coef * value_loss + self.bounds_coef * bounds_loss
        loss = loss - self.ent_coef * entropy
        self.optimizer_step(loss)
        with torch.no_grad():
            kl = gaussian_kl(mean[:, acting], std[acting], old_means[:, acting], old_std[acting]).mean()
        return {"policy_loss": policy_loss.detach(), "value_loss": value_loss.detach(), "kl": kl}

    def kl_goal(self) -> float:
        """Return the divergence that the learning rate aims at now."""
        first, last = self.kl_range
        return first * (last / first) ** min(self.num_timesteps / self.kl_steps, 1.0)

    def _adapt_learning_rate(self, divergence: float) -> None:
        (low, high), goal = self.learning_rate_range, self.kl_goal()
        if divergence > 2 * goal:
            self.current_learning_rate = max(self.current_learning_rate / 1.5, low)
        elif divergence < goal / 2:
            self.current_learning_rate = min(self.current_learning_rate * 1.5, high)
        self.apply_learning_rate()
