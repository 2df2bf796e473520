"""Rollouts under random actions, and how their results compare."""

from __future__ import annotations

import torch


def random_actions(env, generator):
    return 2 * torch.rand(env.num_envs, 12, generator=generator) - 1


def rollout(env, steps, seed=0):
    """Return everything that resetting and stepping returns, as a flat list of tensors."""
    generator = torch.Generator().manual_seed(seed)
    found = []

    def keep(value):
        if isinstance(value, dict):
            for name in sorted(value):
                keep(value[name])
        elif isinstance(value, torch.Tensor):
            found.append(value.clone())
        else:
            for item in value:
                keep(item)

    keep(env.reset(seed=seed))
    for _ in range(steps):
        keep(env.step(random_actions(env, generator)))
    return found


def same(first, second):
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def within(space, observation):
    return space.contains({key: value.numpy() for key, value in observation.items()})
