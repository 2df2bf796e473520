"""What our Stable-Baselines3 algorithms share: they stay in torch from the environment to the update."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

from baselines import distributed
from baselines.rl.actor_critic import DexScrewActorCritic
from baselines.rl.sb3_env import TensorVecEnv
from dexscrew_envs import ambient

_FEWEST = 256
"""Finished episodes over which means are taken at least."""


class EpisodeStatistics:
    """Running sums of each environment's episode, and the last finished ones.

    Steps are only noted as they come, and counted when somebody asks, so that none of them waits for a GPU.
    """

    def __init__(self, num_envs: int, device: torch.device, keep: int) -> None:
        self.reward = torch.zeros(num_envs, device=device)
        self.length = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._finished: deque[tuple[float, int, float]] = deque(maxlen=keep)
        self._noted: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._terms: dict[str, Tensor] = {}
        self._steps = 0
        self.last_terms: dict[str, float] = {}
        """What `reward_terms` returned last."""

    def update(
        self, reward: Tensor, done: Tensor, rotations: Tensor, terms: Mapping[str, Tensor] | None = None
    ) -> None:
        """Take in one step of all environments: tensors (N,), and the terms of the reward by name."""
        for name, term in (terms or {}).items():
            self._terms[name] = self._terms.get(name, 0.0) + term.mean()
        self._steps += 1
        reward, length = self.reward + reward, self.length + 1
        self._noted.append((done, reward, length, rotations))
        self.reward, self.length = torch.where(done, 0.0, reward), torch.where(done, 0, length)

    @property
    def finished(self) -> deque[tuple[float, int, float]]:
        """Reward, length in control steps, and turns of the last finished episodes."""
        if self._noted:
            done, *columns = (torch.stack(tensors) for tensors in zip(*self._noted, strict=True))
            self._noted.clear()
            self._finished.extend(zip(*(column[done].tolist() for column in columns), strict=True))
        return self._finished

    def reward_terms(self) -> dict[str, float]:
        """Return the mean of each reward term per control step since this was last asked for."""
        steps, self._steps = max(self._steps, 1), 0
        terms, self._terms = self._terms, {}
        self.last_terms = {f"reward/{name}": float(term) / steps for name, term in terms.items()}
        return self.last_terms

    def means(self) -> dict[str, float]:
        """Return the means over the last finished episodes, or nothing before the first."""
        finished = self.finished
        if not finished:
            return {}
        columns = zip(*finished, strict=True)
        names = ("episode_reward", "episode_length", "rotations")
        return {name: sum(column) / len(finished) for name, column in zip(names, columns, strict=True)}


_as_in_a_fresh_process = ambient.plain(grad=True, deterministic=None)  # except for the threads, which the caller sets


class TensorOnPolicy(OnPolicyAlgorithm):
    """An on-policy algorithm on a `TensorVecEnv`, whose subclasses collect rollouts and learn without NumPy.

    `learn`, callbacks, logger and `predict` are Stable-Baselines3's.
    """

    policy: DexScrewActorCritic
    batch_size: int
    n_epochs: int

    @_as_in_a_fresh_process
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    @_as_in_a_fresh_process
    def learn(self, *args: Any, **kwargs: Any) -> Any:
        """See Stable-Baselines3."""
        return super().learn(*args, **kwargs)

    @_as_in_a_fresh_process
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """See Stable-Baselines3."""
        return super().predict(*args, **kwargs)

    @classmethod
    @_as_in_a_fresh_process
    def load(cls, *args: Any, **kwargs: Any) -> Any:
        """See Stable-Baselines3."""
        return super().load(*args, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        if self.env is not None and type(self.env) is not TensorVecEnv:
            raise TypeError(f"{type(self).__name__} runs on a TensorVecEnv, got {type(self.env).__name__}")
        size = self.n_steps * self.n_envs
        if size % self.batch_size:
            raise ValueError(f"batch_size must divide n_steps x environments = {size}, got {self.batch_size}")
        # The stock buffer is never used; it would hold a second copy of every rollout in NumPy.
        self.rollout_buffer = None  # type: ignore[assignment]
        # Of many environments whole waves of episodes end together; a few hundred of one wave would not stand for all.
        self.statistics = EpisodeStatistics(self.n_envs, self.device, keep=max(_FEWEST, self.n_envs))
        if not hasattr(self, "current_learning_rate"):  # it comes with a loaded model
            self.current_learning_rate = float(self.lr_schedule(1.0))

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "statistics"]

    def apply_learning_rate(self) -> None:
        """Give the optimizer the current learning rate."""
        for group in self.policy.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(self.current_learning_rate)
            else:
                group["lr"] = self.current_learning_rate

    def keep_learning_rate_on_device(self) -> None:
        """Let the optimizer keep all that changes in tensors on the device, as it must to step in a CUDA graph."""
        optimizer = self.policy.optimizer
        for group in optimizer.param_groups:
            group |= {"capturable": True, "lr": torch.tensor(self.current_learning_rate, device=self.device)}
        for state in optimizer.state.values():
            state["step"] = state["step"].to(self.device)
        # The first step of all is taken outside of the graph.
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")

    def dump_logs(self, iteration: int = 0) -> None:
        """Write the means of the last episodes, and what the update recorded, to the logger."""
        for name, value in self.statistics.means().items():
            self.logger.record(f"rollout/{name}", value)
        for name, value in self.statistics.last_terms.items():
            self.logger.record(name, value)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(step=self.num_timesteps)

    def minibatches(self, count: int) -> tuple[Tensor, ...]:
        """Return the indices of `count` samples, shuffled and split into minibatches."""
        return torch.randperm(count, device=self.device).split(self.batch_size)

    def optimizer_step(self, loss: Tensor) -> None:
        """Take one optimizer step, the gradient that of all ranks together, and clipped."""
        self.policy.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        distributed.average_gradients(self.policy.parameters())
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
