"""Randomisation: what is drawn for an episode, and the noise and pushes of each step."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from dexscrew_envs.sim.base import Episode
from dexscrew_envs.tasks import Task
from dexscrew_envs.tasks.declare import drawn_sizes


def _uniform(bounds: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def sample_episode(task: Task, count: int, num_starts: int, generator: torch.Generator) -> Episode:
    """Draw `count` episodes that begin from one of `num_starts` start states."""
    start = torch.randint(num_starts, (count,), generator=generator, device=generator.device)
    drawn = {name: _uniform(getattr(task, name), (count, size), generator) for name, size in drawn_sizes(task).items()}
    joints = (count, len(task.hand.joints))
    normal = partial(torch.randn, joints, generator=generator, device=generator.device)
    return Episode(start, drawn, task.observation_noise[0] * normal(), task.action_noise[0] * normal())


def noisy(value: Tensor, bias: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Return the value with the episode's bias and fresh noise of this standard deviation."""
    return value + bias + deviation * torch.randn(value.shape, generator=generator, device=generator.device)


def push(task: Task, force: Tensor, mass: Tensor, generator: torch.Generator) -> Tensor:
    """Return the force (N, 3) that pushes the nut in a control step, after `force` in the one before.

    A push decays, until one of the step's two draws replaces it.
    """
    if task.push_probability == 0 or task.push_force == 0:
        return force
    count, device = len(force), generator.device
    miss = (1 - task.push_probability) ** 2
    hit = torch.rand((count, 1), generator=generator, device=device) > miss
    fresh = task.push_force * mass * torch.randn((count, 3), generator=generator, device=device)
    return torch.where(hit, fresh, force * task.push_decay ** (task.control_dt / task.push_decay_interval))
