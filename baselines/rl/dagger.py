"""DAgger (Ross et al., 2011) online: a student acts, and learns what its oracle would have done there.

Rollouts are not aggregated: each is learned from once, since new ones cost little.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import LinearSchedule
from torch import Tensor

from baselines import distributed
from baselines.networks import Actor, RunningNorm
from baselines.policies import ActorPolicy
from baselines.rl.on_policy import TensorOnPolicy


def distillation_losses(
    student: Actor, observations: Mapping[str, Tensor], actions: Tensor, latents: Tensor
) -> dict[str, Tensor]:
    """Return the paper's two losses: the squared errors of action and latent, summed over their components.

    Args:
        student: what learns.
        observations: a batch of N.
        actions: (N, A) actions of the oracle.
        latents: (N, L) the oracle's latents.
    """
    mean, latent = student.act_and_latent(observations)
    return {
        "action": (mean - actions).square().sum(dim=1).mean(),
        "latent": (latent - latents).square().sum(dim=1).mean(),
    }


class TensorDAgger(TensorOnPolicy):
    """Distils an oracle into a student that does not see what the oracle sees.

    The environment's observation holds the keys of both. Trunk, head and the normalisation of proprioception start as
    the oracle's.

    Args:
        policy: `DexScrewActorCritic`; its critic is not used.
        env: a `TensorVecEnv`.
        oracle: what labels the student's states.
        learning_rate: of Adam at first; it falls to zero linearly over the training.
        n_steps: steps of each environment between updates.
        batch_size: of a minibatch; it divides `n_steps` times the environments.
        n_epochs: passes over the data of an update.
        max_grad_norm: the gradient is clipped to this norm.
        kwargs: as of Stable-Baselines3.

    Raises:
        ValueError: the oracle needs another observation than the environment gives, or has no latent.
    """

    def __init__(
        self,
        policy: Any,
        env: Any,
        *,
        oracle: ActorPolicy,
        learning_rate: float = 1e-3,
        n_steps: int = 16,
        batch_size: int = 1024,
        n_epochs: int = 4,
        max_grad_norm: float = 1.0,
        **kwargs: Any,
    ) -> None:
        self.oracle = oracle
        self.batch_size, self.n_epochs = batch_size, n_epochs
        super().__init__(
            policy, env, learning_rate=LinearSchedule(learning_rate, 0.0, 1.0), n_steps=n_steps, gamma=1.0,
            gae_lambda=1.0, ent_coef=0.0, vf_coef=0.0, max_grad_norm=max_grad_norm, use_sde=False,
            sde_sample_freq=-1, **kwargs,
        )  # fmt: skip

    def _setup_model(self) -> None:
        super()._setup_model()
        space = self.observation_space
        self.oracle.check({key: tuple(box.shape or ()) for key, box in space.spaces.items()})  # type: ignore[attr-defined]
        theirs, ours = self.oracle.actor.to(self.device), self.policy.actor()
        if theirs.body.encoder is None:
            raise ValueError("the oracle sees nothing but proprioception, so there is no latent to distil")
        ours.body.norms["proprio"].load_state_dict(theirs.body.norms["proprio"].state_dict())
        ours.body.trunk.load_state_dict(theirs.body.trunk.state_dict())
        ours.head.load_state_dict(theirs.head.state_dict())
        self.data: dict[str, Tensor] = {}

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "oracle", "data"]

    @torch.no_grad()
    def collect_rollouts(self, env: Any, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Let the student act, and keep what it saw and what the oracle would have done."""
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        student = self.policy.actor()
        history_norm = student.body.norms["history"]
        assert isinstance(history_norm, RunningNorm)
        kept: list[dict[str, Tensor]] = []
        observation: Any = self._last_obs
        for _ in range(n_rollout_steps):
            history_norm.update(observation["history"])
            action, latent = self.oracle.actor.act_and_latent(observation)
            kept.append({key: observation[key] for key in student.body.shapes} | {"action": action, "latent": latent})
            observation, reward, done, infos = env.step(student(observation))
            self.num_timesteps += env.num_envs * distributed.size()
            env.env.total_steps = self.num_timesteps
            self.statistics.update(reward, done, infos["rotations"], infos.get("reward_terms"))
            callback.update_locals(locals())
            if not callback.on_step():
                self._last_obs = observation
                return False
        self._last_obs = observation
        self.data = {key: torch.cat([step[key] for step in kept]) for key in kept[0]}
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Fit the student to the rollout."""
        self.policy.set_training_mode(True)
        self.current_learning_rate = self.lr_schedule(self._current_progress_remaining)
        self.apply_learning_rate()
        student, data = self.policy.actor(), self.data
        sums: dict[str, Tensor] = {}  # on the device: to read each loss would wait for a GPU
        updates = 0
        for _ in range(self.n_epochs):
            for batch in self.minibatches(len(data["action"])):
                observations = {key: data[key][batch] for key in student.body.shapes}
                losses = distillation_losses(student, observations, data["action"][batch], data["latent"][batch])
                self.optimizer_step(losses["action"] + losses["latent"])
                updates += 1
                for name, loss in losses.items():
                    sums[name] = sums[name] + loss.detach() if name in sums else loss.detach()
        for name, total in sums.items():
            self.logger.record(f"train/{name}_loss", float(total) / updates)
