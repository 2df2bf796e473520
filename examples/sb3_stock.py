"""A stock algorithm of Stable-Baselines3 on the batched environment, through NumPy.

`python examples/sb3_stock.py`

Any of its algorithms runs like this. Ours, `baselines.ppo_oracle`, stays in torch from the simulation to the update.
"""

from __future__ import annotations

from stable_baselines3 import PPO

from baselines.rl.sb3_env import NumpyVecEnv
from dexscrew_envs.vector_env import DexScrewVectorEnv


def main(steps: int = 20_000) -> PPO:
    """Train for about so many control steps; return the model."""
    env = NumpyVecEnv(DexScrewVectorEnv("nut", 64, observe=("proprio", "privileged")))
    model = PPO("MultiInputPolicy", env, n_steps=16, batch_size=256, n_epochs=4, gamma=0.98, verbose=1, device="cpu")
    model.learn(steps)
    env.close()
    return model


if __name__ == "__main__":
    main()
