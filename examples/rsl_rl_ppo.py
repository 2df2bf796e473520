"""PPO of rsl_rl on the batched environment, in torch from the simulation to the update.

`pip install rsl-rl-lib`, then `python examples/rsl_rl_ppo.py`

The class is all that it takes: observations as a `TensorDict` of flat groups, and time limits told apart from failures.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict

from dexscrew_envs.vector_env import DexScrewVectorEnv

MODEL = {"class_name": "MLPModel", "hidden_dims": [256, 128], "activation": "elu", "obs_normalization": True}
CONFIG: dict[str, Any] = {
    "num_steps_per_env": 16,
    "save_interval": 50,
    "obs_groups": {"actor": ["proprio", "privileged"], "critic": ["proprio", "privileged"]},
    "actor": {**MODEL, "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 1.0}},
    "critic": MODEL,
    "algorithm": {"class_name": "PPO", "gamma": 0.98, "num_learning_epochs": 4, "entropy_coef": 0.0},
}


class RslRlEnv(VecEnv):
    """The environment as rsl_rl expects it."""

    def __init__(self, env: DexScrewVectorEnv) -> None:
        self.env, self.cfg, self.device = env, {"task": env.task.name}, env.device
        self.num_envs, self.num_actions = env.num_envs, len(env.task.hand.joints)
        self.max_episode_length = env.task.episode_steps
        self.episode_length_buf = torch.zeros(env.num_envs, dtype=torch.long, device=env.device)
        self._observation = env.reset(seed=0)[0]

    def get_observations(self) -> TensorDict:
        """Return the newest observation, each key flat."""
        flat = {key: value.flatten(1) for key, value in self._observation.items()}
        return TensorDict(flat, batch_size=[self.num_envs], device=self.device)

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Take a control step; episodes restart by themselves."""
        self._observation, reward, terminated, truncated, infos = self.env.step(actions)
        done = terminated | truncated
        self.episode_length_buf = torch.where(done, 0, self.episode_length_buf + 1)
        turns = infos["rotations"][done].mean() if done.any() else infos["rotations"].mean()
        return self.get_observations(), reward, done, {"time_outs": truncated, "log": {"/turns": turns}}


def main(iterations: int = 20, num_envs: int = 64, folder: str = "runs/rsl-rl") -> OnPolicyRunner:
    """Train for so many updates of 16 steps in each environment; return the runner.

    Checkpoints and TensorBoard's log go into the folder.
    """
    env = DexScrewVectorEnv("nut", num_envs, observe=("proprio", "privileged"))
    config = copy.deepcopy(CONFIG)  # the runner changes it
    runner = OnPolicyRunner(RslRlEnv(env), config, folder, str(env.device))
    runner.learn(iterations)
    env.close()
    return runner


if __name__ == "__main__":
    main()
