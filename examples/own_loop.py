"""The environment in a loop of one's own: a shipped policy turns the nut in four environments at once.

`python examples/own_loop.py`
"""

from __future__ import annotations

import gymnasium
import torch

from baselines import policies


def main(steps: int = 100) -> float:
    """Step for so many control steps (50 ms each); return the mean turns of the nut (positive is clockwise)."""
    policy = policies.load("nut-student")
    env = gymnasium.make_vec("DexScrew-Nut-v0", num_envs=4, observe=policy.observe)
    observation, _ = env.reset(seed=0)
    turns = torch.zeros(4)
    for _ in range(steps):
        action = policy.act(observation)  # (4, 12), between -1 and 1
        observation, reward, terminated, truncated, infos = env.step(action)
        turns = infos["rotations"]  # since each episode began
        ended = terminated | truncated  # these have begun anew; infos["final_obs"] holds what they ended with
        if ended.any():
            print(f"{int(ended.sum())} episodes ended; the last reward was {float(reward.mean()):.1f}")
    env.close()
    print(f"{float(turns.mean()):.2f} turns in {steps * 0.05:.0f} s")
    return float(turns.mean())


if __name__ == "__main__":
    main()
