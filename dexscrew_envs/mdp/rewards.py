"""The reward: seven named terms, and their weighted sum."""

from __future__ import annotations

import torch
from torch import Tensor

from dexscrew_envs.mdp.observations import heights
from dexscrew_envs.sim.base import State
from dexscrew_envs.tasks import JOINTS, Task

_THUMB = JOINTS.index("thumb_bend")


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
        start_pose: (N, 12) joint positions at the start of the episode (rad).
        points: (N, 100, 3) points on the nut's surface in its frame (m).
        threshold: speed above which the nut's speed costs (rad/s).
    """
    speed = rotated / task.control_dt
    distance = tip_distance(state).mean(dim=1)
    extent = heights(state.nut_quat, points)
    extent = extent.amax(dim=1) - extent.amin(dim=1)
    bent = (state.joint_pos - start_pose)[:, :_THUMB]
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
    """Return the distances (N, 2) of thumb and index fingertip from the nut's frame (m)."""
    return torch.linalg.vector_norm(state.tip_pos[:, :2] - state.nut_pos[:, None], dim=2)
