"""What `test_distributed.py` runs under torchrun, and alone: a training without physics, whose end every rank tells."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from fakes import FakeEnv

from baselines import distributed
from baselines.rl.actor_critic import DexScrewActorCritic
from baselines.rl.ppo import TensorPPO
from baselines.rl.sb3_env import TensorVecEnv
from baselines.rl.training import _set_ranks_apart

ENVS, STEPS, ROLLOUT = 16, 16, 256


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with distributed.process_group():
        rank, size = distributed.rank(), distributed.size()
        env = FakeEnv([20] * (ENVS // size))
        env.seed = torch.Generator().manual_seed  # type: ignore[attr-defined]
        model = TensorPPO(
            DexScrewActorCritic, TensorVecEnv(env), seed=0, device="cpu", n_steps=STEPS, batch_size=64 // size,
            reward_scale=1.0, gamma=0.9, target_kl=0.05, policy_kwargs={"encoder": (8, 4), "trunk": (32, 16)},
        )  # fmt: skip
        _set_ranks_apart(model, env, 0)  # type: ignore[arg-type]
        drawn: list[torch.Tensor] = []
        train = model.train

        def record() -> None:
            drawn.append(model.rollout.actions.clone())
            train()

        model.train = record  # type: ignore[method-assign]
        model.learn(30 * ROLLOUT)
        error = float((model.policy.actor()(env.observe()) - 0.5).square().mean().detach())
        torch.save(
            {
                "policy": model.policy.state_dict(), "learning_rate": model.current_learning_rate,
                "actions": drawn, "steps": model.num_timesteps, "error": error,
            },
            folder / f"{size}-{rank}.pt",
        )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
