"""The agents that learn by PPO: they differ in what actor and critic see, and in nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass

from baselines.rl.actor_critic import DexScrewActorCritic
from baselines.rl.ppo import TensorPPO
from baselines.rl.sb3_env import TensorVecEnv
from baselines.rl.training import Agent, TrainConfig
from dexscrew_envs.tasks.declare import LARGEST


@dataclass(kw_only=True)
class PPOConfig(TrainConfig):
    """Train by PPO; the learning rate is only the first one, and is then steered by the divergence."""

    target_kl: float = 0.02
    """Divergence between old and new policy that the learning rate aims at."""
    final_kl: float = 0.005
    """Final target divergence; it falls there geometrically over `kl_steps`, since small batches make noisy steps."""
    kl_steps: int = 4_000_000
    """Control steps over which the target divergence falls from `target_kl` to `final_kl`."""
    gamma: float = 0.98
    """Discount factor. The paper's is 0.99; with our small batches the nut is learned faster at a horizon of 2.5 s."""
    gae_lambda: float = 0.95
    """Trace decay of the advantages."""
    clip_range: float = 0.2
    """Clipping of the policy's ratio, and of the normalised value."""
    value_coef: float = 4.0
    """Weight of half the squared value error."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus."""
    reward_scale: float = 0.01
    """Factor of the reward that PPO sees."""
    encoder: tuple[int, ...] = (256, 128, 8)
    """Widths of the encoder of what is seen besides proprioception; the last one is the size of the latent."""
    trunk: tuple[int, ...] = (512, 256, 128)
    """Widths of the trunk."""


def _check(config: PPOConfig) -> None:
    """Refuse what PPO itself would take.

    Raises:
        ValueError: a value is not possible.
    """
    for names, possible, words in (
        (("gamma", "gae_lambda"), lambda value: 0 <= value <= 1, "between 0 and 1"),
        (("clip_range", "reward_scale"), lambda value: 0 < value < math.inf, "positive and finite"),
        (("value_coef", "entropy_coef"), lambda value: 0 <= value < math.inf, "finite and not negative"),
    ):
        for name in names:
            if not possible(getattr(config, name)):
                raise ValueError(f"{name} must be {words}, got {getattr(config, name)}")
            if getattr(config, name) > LARGEST:
                raise ValueError(f"{name} must be at most {LARGEST:g}, got {getattr(config, name)}")


def ppo_agent(name: str, *, actor: tuple[str, ...], critic: tuple[str, ...] | None = None) -> Agent:
    """Return the agent whose actor and critic see these keys of the observation.

    Args:
        name: name in run folders.
        actor: what the actor sees.
        critic: what the critic sees, on a trunk of its own; None shares the actor's trunk.
    """

    def build(env: TensorVecEnv, config: PPOConfig) -> TensorPPO:
        _check(config)
        return TensorPPO(
            DexScrewActorCritic, env, seed=config.seed, n_steps=config.n_steps, batch_size=config.batch_size,
            n_epochs=config.epochs, learning_rate=config.learning_rate, target_kl=config.target_kl,
            final_kl=config.final_kl, kl_steps=config.kl_steps, gamma=config.gamma, gae_lambda=config.gae_lambda,
            ent_coef=config.entropy_coef, clip_range=config.clip_range, vf_coef=config.value_coef,
            max_grad_norm=config.max_grad_norm, reward_scale=config.reward_scale,
            idle_actions=env.env.task.locked_joints, device=env.env.device,
            policy_kwargs={"actor": actor, "critic": critic, "encoder": config.encoder, "trunk": config.trunk},
        )  # fmt: skip

    return Agent(name, tuple(dict.fromkeys((*actor, *(critic or ())))), build)
