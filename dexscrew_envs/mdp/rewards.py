"""The reward: seven named terms, those that a user adds, and their weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dexscrew_envs.mdp.observations import heights
from dexscrew_envs.sim.base import Episode, State
from dexscrew_envs.tasks import Task

TERMS = ("rotate", "proximity", "pose", "torque", "work", "overspeed", "height")
"""Names of the task's terms."""


@dataclass(frozen=True)
class Transition:
    """One control step of N environments, as an added reward term sees it."""

    task: Task
    """The task."""
    state: State
    """The state after the step."""
    rotated: Tensor
    """(N,) how far the nut turned in the step (rad)."""
    targets: Tensor
    """(N, A) joint targets of the step, without noise (rad)."""
    action: Tensor
    """(N, A) the action, clipped to plus and minus 1."""
    previous_action: Tensor
    """(N, A) that of the step before; 0 in the first step of an episode."""
    episode: Episode
    """What was drawn for the episode."""


class RewardTermError(ValueError):
    """An added reward term failed, or returned something else than a reward."""


RewardTerm = Callable[[Transition], Tensor]
"""Returns a weighted term (N,), float32, on the state's device. It is a pure function: its tensors are not its own to
change, and on the warp engine it is recorded once and replayed."""


def check_added_terms(terms: Mapping[str, RewardTerm] | None) -> dict[str, RewardTerm]:
    """Return the terms that a user adds.

    Raises:
        ValueError: they are not functions by name, or a name is that of a term of the task's.
    """
    if terms is not None and not isinstance(terms, Mapping):
        raise ValueError(f"reward_terms must be a dict of functions by name, got {terms!r}")
    for name, term in (terms or {}).items():
        if not isinstance(name, str) or not callable(term):
            raise ValueError(f"reward_terms must be functions by name, got {name!r}: {term!r}")
        if name in TERMS:
            raise ValueError(f"{name!r} is a term of the task, whose weight is a field; give the new term another name")
    return dict(terms or {})


def added_terms(terms: Mapping[str, RewardTerm], transition: Transition) -> dict[str, Tensor]:
    """Return the terms (N,) that a user adds.

    Raises:
        RewardTermError: one fails, or does not return a float tensor (N,).
    """
    found = {}
    for name, term in terms.items():
        try:
            value = term(transition)
        except (Exception, SystemExit) as error:
            raise RewardTermError(f"the reward term {name!r} failed: {type(error).__name__}: {error}") from error
        wanted = transition.rotated
        if not isinstance(value, Tensor) or value.shape != wanted.shape or not value.is_floating_point():
            got = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise RewardTermError(
                f"the reward term {name!r} must return a float tensor {tuple(wanted.shape)}, got {got}"
            )
        found[name] = value.to(wanted.dtype)
    return found


def check_finite(terms: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Check the values (N,) of added terms.

    Raises:
        RewardTermError: one is not finite.
    """
    for name in names:
        finite = torch.isfinite(terms[name])
        if not finite.all():
            where = (~finite).nonzero()[:, 0].tolist()
            raise RewardTermError(f"the reward term {name!r} is not finite in environments {where[:8]}")


def overspeed_threshold(task: Task, total_steps: float) -> float:
    """Return the speed (rad/s) above which the nut's speed costs, after this many control steps of training.

    It moves linearly between the curriculum's ends, in stages of 5 %.
    """
    begin, end = task.overspeed_curriculum
    progress = min(max((total_steps - begin) / max(end - begin, 1.0), 0.0), 1.0)
    low, high = task.overspeed_threshold
    return low + (high - low) * int(progress * 20 + 1e-9) / 20


def reward_terms(
    task: Task, state: State, rotated: Tensor, start_pose: Tensor, points: Tensor, threshold: float | Tensor
) -> dict[str, Tensor]:
    """Return the weighted terms (N,) of the reward of one control step.

    Args:
        task: the task.
        state: the state after the step.
        rotated: (N,) how far the nut turned in the step (rad).
        start_pose: (N, A) joint positions at the start of the episode (rad).
        points: (N, 100, 3) points on the nut's surface in its frame (m).
        threshold: speed above which the nut's speed costs (rad/s).
    """
    speed = rotated / task.control_dt
    distance = tip_distance(state).mean(dim=1)
    extent = heights(state.nut_quat, points)
    extent = extent.amax(dim=1) - extent.amin(dim=1)
    others = len(task.hand.joints) - len(task.hand.thumb)
    bent = (state.joint_pos - start_pose)[:, :others]
    power = (state.torque.abs() * state.joint_vel.abs()).sum(dim=1)
    return {
        "rotate": task.rotate_weight * speed.clamp(-task.rotate_clip, task.rotate_clip),
        "proximity": task.proximity_weight * (1 - distance / task.reset_distance).clamp(0, 1),
        "pose": task.pose_weight * bent.square().sum(dim=1),
        "torque": task.torque_weight * state.torque.square().sum(dim=1),
        "work": task.work_weight * power.square(),
        "overspeed": task.overspeed_weight * (speed - threshold).clamp(min=0),
        "height": task.height_weight * torch.where(extent > task.height_threshold, extent, 0.0),
    }


def tip_distance(state: State) -> Tensor:
    """Return the distances (N, 2) of the fingertips of thumb and opposing finger from the nut's frame (m)."""
    return torch.linalg.vector_norm(state.tip_pos[:, :2] - state.nut_pos[:, None], dim=2)
