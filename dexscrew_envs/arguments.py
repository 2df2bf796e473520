"""Checks of arguments that the environments share: each says what was wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST_ENVS = 1_000_000
"""Environments in one batch at most: far more than a CPU simulates well, or than a GPU has room for."""


def num_envs(value: Any) -> int:
    """Return how many environments a batch has; raise ValueError unless it is an integer of 1 to a million."""
    return integer("num_envs", value, 1, most=MOST_ENVS)


def boolean(name: str, value: Any) -> bool:
    """Return a boolean; raise ValueError for anything else, such as "no", which would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def integer(name: str, value: Any, least: int, wanted: str = "", most: int = 2**31 - 1) -> int:
    """Return an integer of `least` to `most`; raise ValueError, which says what is wanted, for anything else."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    if whole and value > most:
        limit = "below 2^31" if most == 2**31 - 1 else f"at most {most:,}"
        raise ValueError(f"{name} must be {limit}, got {value}")
    if not whole or value < least:
        raise ValueError(f"{name} must be {wanted or f'an integer of at least {least}'}, got {value!r}")
    return int(value)


def index(name: str, value: Any, count: int) -> int:
    """Return the index of one of `count` things; raise ValueError for anything else."""
    if integer(name, value, 0, wanted := f"an integer of 0 to {count - 1}") >= count:
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return int(value)


def several(value: Any) -> Any:
    """Return a list, an array or the like as a tuple, and anything else, such as one name, as it is."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def observation_keys(value: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys that an observation shall have.

    Args:
        value: one key, or several.
        known: those that there are.

    Raises:
        ValueError: no key is given, or an unknown one.
    """
    keys = (value,) if isinstance(value, str) else several(value)
    if not isinstance(keys, tuple) or not keys:
        raise ValueError(f"observe must name at least one of {', '.join(known)}, got {value!r}")
    for key in keys:
        if not isinstance(key, str) or key not in known:
            raise ValueError(f"unknown observation {key!r}; choose from {', '.join(known)}")
    return keys


def time_limit(max_episode_steps: Any, task_fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return fields of a task with its time limit, which Gymnasium calls `max_episode_steps`.

    Raises:
        ValueError: it is not an integer of at least 1, or both names are given, with different values.
    """
    if max_episode_steps is None:
        return task_fields
    limit = integer("max_episode_steps", max_episode_steps, 1)
    other = task_fields.get("episode_steps", limit)
    if other != limit:
        raise ValueError(
            f"max_episode_steps is another name of episode_steps; give one of them, got {limit} and {other}"
        )
    return {**task_fields, "episode_steps": limit}


def render_mode(value: Any) -> str | None:
    """Return a render mode of ours; raise ValueError for any other."""
    if value is not None and not (isinstance(value, str) and value == "rgb_array"):
        raise ValueError(f"unknown render_mode {value!r}; choose None or 'rgb_array'")
    return value


def seed(value: Any) -> int | None:
    """Return a seed of one reset; raise ValueError unless it is None or an integer of 0 to 2^63 - 1."""
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not 0 <= value < 2**63:
        raise ValueError(f"seed must be a non-negative integer below 2^63, got {value!r}")
    return int(value)


def options(value: Any, known: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Return the options of a reset.

    Raises:
        ValueError: they are no dict, or have a key that means nothing here.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"options must be a dict or None, got {value!r}")
    for key in value:
        if key not in known:
            there_is = f"choose from {', '.join(map(repr, known))}" if known else "this environment has none"
            raise ValueError(f"unknown option {key!r} of reset; {there_is}")
    return value


def reset_mask(value: Any, count: int, device: torch.device) -> Tensor:
    """Return which environments (N,) a reset begins anew; None means all.

    Raises:
        ValueError: they are not N booleans, or none is true.
    """
    if value is None:
        return torch.ones(count, dtype=torch.bool, device=device)
    try:
        mask = torch.as_tensor(value, device=device)
    except (TypeError, ValueError, RuntimeError):
        mask = torch.empty(0)
    if mask.shape != (count,) or mask.dtype != torch.bool or not mask.any():
        raise ValueError(f"reset_mask must be {count} booleans of which at least one is true")
    return mask


def actions(value: Any, shape: tuple[int, int], device: torch.device, *, check_values: bool) -> Tensor:
    """Return actions as float32 between -1 and 1.

    Args:
        value: tensor, array or list of floating-point numbers.
        shape: that they must have.
        device: to which they go.
        check_values: whether to look at the values, which on a GPU would wait for it.

    Raises:
        TypeError: they are not floating point.
        ValueError: they have another shape, or a value that is not finite.
    """
    try:
        value = np.array(value) if isinstance(value, np.ndarray) else value  # torch takes not every view
        tensor = torch.as_tensor(value, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"actions must be a floating-point tensor with values, got {type(value).__name__}") from error
    if tensor.shape != shape:
        raise ValueError(f"actions must have shape {shape}, got {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise TypeError(f"actions must be floating point, got {tensor.dtype}")
    if check_values and not (finite := torch.isfinite(tensor)).all():
        bad = (~finite.all(dim=1)).nonzero()[:, 0].tolist()
        raise ValueError(f"actions must be finite; those of environments {bad[:8]} are not")
    return tensor.float().clamp(-1.0, 1.0)
