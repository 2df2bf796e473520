"""One environment, in NumPy: a vector environment of one behind Gymnasium's plain interface."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch

from dexscrew_envs import arguments
from dexscrew_envs.mdp.terminations import TerminationReason
from dexscrew_envs.tasks import Task
from dexscrew_envs.vector_env import DexScrewVectorEnv

Observation = dict[str, np.ndarray]


class DexScrewEnv(gymnasium.Env[Observation, np.ndarray]):
    """One hand that fastens one nut or screw.

    Observation and action are those of `DexScrewVectorEnv` without its first dimension, as float32 arrays. Infos of a
    step: `rotations`, signed turns of the nut since the episode began; `reward_terms`, name to weighted value; and
    `reason`, why the episode ended in lower case, such as "fingers_away", or "running".

    Args:
        task: "nut" or "screwdriver", or a `Task`.
        render_mode: None or "rgb_array"; through `gymnasium.make` also "human", which needs pygame.
        kwargs: as of `DexScrewVectorEnv`: `shape`, `randomize`, `observe`, `num_threads`, and fields of the task.

    `gymnasium.make(id, max_episode_steps=...)` puts Gymnasium's own time limit around it, which can only shorten
    episodes, and leaves the reason at "running"; the task's `episode_steps` is the limit itself.

    Raises:
        ValueError: an argument has a value that is not known or not possible.
        TypeError: a field is not one of the task's.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - Gymnasium's own form

    def __init__(self, task: str | Task = "nut", *, render_mode: str | None = None, **kwargs: Any) -> None:
        if "num_envs" in kwargs:
            raise TypeError("gymnasium.make gives one environment; for several call gymnasium.make_vec(id, num_envs=N)")
        if "autoreset" in kwargs:
            raise TypeError("a single environment is reset by its caller; autoreset is for gymnasium.make_vec")
        self.vector = DexScrewVectorEnv(task, 1, autoreset=False, render_mode=render_mode, **kwargs)
        self.task = self.vector.task
        self.metadata = {**self.metadata, "render_fps": self.vector.metadata["render_fps"]}
        self.render_mode = render_mode
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self.privileged_layout = self.vector.privileged_layout

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        """Begin a new episode; the same seed gives the same episode.

        Raises:
            RuntimeError: the environment is closed.
            ValueError: there are options, of which it has none, or the seed is above 2^63 - 1.
            gymnasium.error.Error: the seed is not an integer, or is negative.
        """
        arguments.options(options)
        if isinstance(seed, np.integer):  # Gymnasium takes Python's own alone
            seed = int(seed)
        super().reset(seed=seed)
        observation, _ = self.vector.reset(seed=seed)
        return self._numpy(observation), {}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Advance by one control step (50 ms).

        Raises:
            RuntimeError: the environment was never reset, or it is closed.
            TypeError: the action is not floating point.
            ValueError: the action has not the shape (A,) of the hand's A joints, or a value that is not finite.
        """
        action = np.asarray(action)
        if action.shape != self.action_space.shape:
            raise ValueError(f"the action must have shape {self.action_space.shape}, got {action.shape}")
        if not np.issubdtype(action.dtype, np.floating):
            raise TypeError(f"the action must be floating point, got {action.dtype}")
        if not np.isfinite(action).all():
            raise ValueError(f"the action must be finite, got {action.tolist()}")
        with np.errstate(under="ignore"):
            tensor = torch.from_numpy(np.clip(action[None], -1.0, 1.0).astype(np.float32))
        observation, reward, terminated, truncated, infos = self.vector.step(tensor)
        info = {
            "rotations": float(infos["rotations"][0]),
            "reward_terms": {name: float(term[0]) for name, term in infos["reward_terms"].items()},
            "reason": TerminationReason(int(infos["reason"][0])).name.lower(),
        }
        return self._numpy(observation), float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> np.ndarray | None:
        """Return an RGB frame (height, width, 3), uint8, or None without a render mode."""
        frames = self.vector.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        """Free the simulator and the renderer."""
        self.vector.close()

    @staticmethod
    def _numpy(observation: dict[str, torch.Tensor]) -> Observation:
        return {key: value[0].cpu().numpy().copy() for key, value in observation.items()}
