"""Small stand-ins: short tasks, tiny trainings, and an environment without physics for what needs exact numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace

import gymnasium
import numpy as np
import torch
from torch import Tensor

from dexscrew_envs.mdp.terminations import TerminationReason
from dexscrew_envs.tasks import NUT

SHORT_NUT = replace(NUT, episode_steps=16, idle_window=8)
"""The nut task, in episodes that end soon."""

TINY = (
    "--num-envs", "8", "--n-steps", "4", "--batch-size", "16", "--epochs", "2", "--threads", "1",
    "--evaluation-episodes", "4", "--no-video",
)  # fmt: skip
"""A training that makes 32 control steps an update."""

SHAPES = {"proprio": (3, 24), "privileged": (4,)}


def box(bound: float, shape: tuple[int, ...]) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(-bound, bound, shape, np.float32)


class FakeEnv:
    """`DexScrewVectorEnv` without physics: rewards -mean((action - 0.5)^2).

    In each step the nut turns by 0.1, in the second episode by 0.2, and so on.

    Args:
        lengths: control steps of the episodes of each environment.
        terminates: whether each environment terminates rather than truncates.
        autoreset: whether episodes restart by themselves.
        shapes: keys of the observation and their shapes.
        device: of all tensors.
    """

    render_mode = None
    metadata = {"render_fps": 20}  # noqa: RUF012 - as Gymnasium has it

    def __init__(
        self,
        lengths: Sequence[int],
        terminates: Sequence[bool] | bool = False,
        autoreset: bool = True,
        shapes: Mapping[str, tuple[int, ...]] = SHAPES,
        device: str = "cpu",
    ) -> None:
        self.shapes = shapes
        self.num_envs = len(lengths)
        self.autoreset = autoreset
        self.device = torch.device(device)
        self.lengths = torch.tensor(lengths, device=device)
        self.terminates = torch.tensor(terminates, device=device).expand(self.num_envs)
        self.task = SimpleNamespace(episode_steps=int(self.lengths.max()), locked_joints=(5, 6))
        self.single_observation_space = gymnasium.spaces.Dict({key: box(2.0, shape) for key, shape in shapes.items()})
        self.single_action_space = box(1.0, (12,))
        self.steps = torch.zeros(self.num_envs, dtype=torch.int64, device=device)
        self.episode = torch.zeros_like(self.steps)
        self.seeds: list[int | None] = []
        self.closed = False

    def observe(self) -> dict[str, Tensor]:
        phase = 0.9 * torch.arange(self.num_envs, device=self.device) + 0.3 * self.steps + 0.5 * self.episode
        return {
            key: torch.sin(phase[:, None] + 0.1 * torch.arange(int(np.prod(shape)), device=self.device)).reshape(
                -1, *shape
            )
            for key, shape in self.shapes.items()
        }

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[dict[str, Tensor], dict]:
        self.seeds.append(seed)
        self.steps.zero_()
        self.episode.zero_()
        return self.observe(), {}

    def step(self, actions: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict]:
        assert isinstance(actions, Tensor)
        self.steps += 1
        done = self.steps >= self.lengths
        reason = (
            torch.where(self.terminates, int(TerminationReason.FINGERS_AWAY), int(TerminationReason.TIME_LIMIT)) * done
        )
        infos = {"rotations": 0.1 * self.steps * (1 + self.episode), "reason": reason}
        observation = self.observe()
        if self.autoreset and (self.device.type != "cpu" or done.any()):  # on a GPU always, as the warp engine does
            infos |= {"final_obs": observation, "_final_obs": done}
            self.steps[done] = 0
            self.episode[done] += 1
            observation = self.observe()
        reward = -(actions - 0.5).square().mean(dim=1)
        return observation, reward, done & self.terminates, done & ~self.terminates, infos

    def render(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True
