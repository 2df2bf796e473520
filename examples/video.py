"""A video of a policy: the first seconds of one episode.

`python examples/video.py nut.mp4`

Headless machines draw with `MUJOCO_GL=egl`, which needs the system's libegl1.
"""

from __future__ import annotations

import sys
from pathlib import Path

from baselines import policies
from dexscrew_envs.rendering import video_writer
from dexscrew_envs.vector_env import DexScrewVectorEnv


def main(path: str = "nut.mp4", seconds: float = 5.0) -> Path:
    """Write the video; return its path."""
    policy = policies.load("nut-student")
    env = DexScrewVectorEnv("nut", 1, observe=policy.observe, render_mode="rgb_array", render_size=(240, 320))
    observation, _ = env.reset(seed=0)
    with video_writer(Path(path), env.metadata["render_fps"]) as show:
        for _ in range(round(seconds * env.metadata["render_fps"])):
            observation, *_ = env.step(policy.act(observation))
            show(env.frame())
    env.close()
    print(f"written: {path}")
    return Path(path)


if __name__ == "__main__":
    main(*sys.argv[1:2])
