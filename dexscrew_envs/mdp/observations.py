"""Observations: proprioception, its history, privileged information, and what may be asked for besides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import gymnasium
import numpy as np
import torch
from torch import Tensor

from dexscrew_envs.hands import Hand
from dexscrew_envs.scene import Variants
from dexscrew_envs.sim.base import Episode, State, TensorStruct
from dexscrew_envs.start_states import StartStates
from dexscrew_envs.tasks import Task

HISTORY_STEPS = 30
"""Pairs of (noisy joint position, target) that the history holds, oldest first."""
PROPRIO_STEPS = 3
"""Pairs that the actor sees."""
MEASURED = ("proprio", "history")
"""Keys that need nothing but the joints and targets of the hand, so that a robot has them, too."""
POINTS = 100
FORCE_BOUND = 100.0
"""Forces on fingertips are clipped to plus and minus this (N)."""


@dataclass(frozen=True)
class Slice:
    """A named part of the privileged observation."""

    name: str
    count: int
    """How many numbers, of each joint or finger where it is of one."""
    bound: float
    """Values are clipped to plus and minus this."""
    meaning: str
    per: Literal["", "joint", "finger"] = ""

    def size(self, hand: Hand) -> int:
        """Return how many numbers it has with this hand."""
        return self.count * {"": 1, "joint": len(hand.joints), "finger": len(hand.fingers)}[self.per]


PRIVILEGED_SLICES = {
    s.name: s
    for s in (
        Slice("object_position", 3, 1.0, "position of the object's base, world frame (m)"),
        Slice("object_scale", 1, 2.0, "scale of the object"),
        Slice("object_mass", 1, 1.0, "mass of the nut (kg)"),
        Slice("object_friction", 1, 20.0, "coefficient of friction"),
        Slice("object_center_of_mass", 3, 0.1, "centre of mass of the nut in its frame (m)"),
        Slice("object_orientation", 4, 1.0, "orientation of the nut, (w, x, y, z), world frame, modulo its symmetry"),
        Slice("object_linear_velocity", 3, 10.0, "linear velocity of the nut's frame, world frame (m/s)"),
        Slice("object_angular_velocity", 3, 100.0, "angular velocity of the nut, world frame (rad/s)"),
        Slice("object_restitution", 1, 1.0, "coefficient of restitution"),
        Slice("fingertip_position", 3, 1.0, "fingertip positions, world frame (m)", "finger"),
        Slice("fingertip_orientation", 4, 1.0, "fingertip orientations, (w, x, y, z), world frame", "finger"),
        Slice("fingertip_linear_velocity", 3, 20.0, "linear fingertip velocities, world frame (m/s)", "finger"),
        Slice(
            "fingertip_angular_velocity",
            3,
            200.0,
            "angular fingertip velocities, world frame (rad/s)",
            "finger",
        ),
        Slice("nut_contact_force", 1, 100.0, "size of the net contact force on the nut (N)"),
        Slice("nut_position", 3, 1.0, "origin of the nut's frame, world frame (m)"),
        Slice("nut_joint_velocity", 1, 100.0, "velocity of the nut's joint (rad/s)"),
        Slice("nut_joint_angle", 1, math.pi, "angle of the nut's joint, modulo its symmetry (rad)"),
        Slice("nut_phase", 2, 1.0, "cosine and sine of the nut's angle times the order of its symmetry"),
        Slice("nut_joint_friction", 1, 1.0, "dry friction of the nut's joint (N m)"),
        Slice("kp", 1, 10.0, "proportional gains of the joint controller (N m/rad)", "joint"),
        Slice("kd", 1, 1.0, "derivative gains of the joint controller (N m s/rad)", "joint"),
        Slice("start_pose", 1, math.pi, "joint positions at the start of the episode (rad)", "joint"),
        Slice("hand_orientation", 4, 1.0, "orientation of the palm, (w, x, y, z), world frame"),
        Slice("hand_position", 3, 1.0, "position of the palm, world frame (m)"),
    )
}
"""Every slice that a task's `privileged` may name."""


@dataclass
class Constants(TensorStruct):
    """What the privileged observation needs of an episode and the state does not hold; N rows, float32."""

    object_pos: Tensor
    scale: Tensor
    symmetry: Tensor
    """(N, 1) order of the rotational symmetry of the nut."""
    start_pose: Tensor
    hand_quat: Tensor
    hand_pos: Tensor
    points: Tensor
    """(N, 100, 3) points on the nut's surface in its frame (m)."""


class EpisodeConstants:
    """The `Constants` of episodes by the start state from which they begin.

    Args:
        variants: the nuts of the scene.
        starts: the bank of start states.
        device: where the constants live.
    """

    def __init__(self, variants: Variants, starts: StartStates, device: torch.device) -> None:
        tensor = partial(torch.as_tensor, dtype=torch.float32, device=device)
        self._variant = torch.as_tensor(starts.variant, device=device)
        self._of_variant = {
            "scale": tensor(variants.scale[:, None]),
            "symmetry": tensor(variants.symmetry[:, None]),
            "points": tensor(variants.points),
        }
        self._of_start = {
            "object_pos": tensor(starts.object_pos),
            "start_pose": tensor(starts.joint_pos),
            "hand_quat": tensor(starts.hand_quat),
            "hand_pos": tensor(starts.hand_pos),
        }

    def __len__(self) -> int:
        return len(self._variant)

    def constants(self, start: Tensor) -> Constants:
        """Return the constants of episodes that begin from these start states (N,), int64."""
        variant = self._variant[start]
        return Constants(
            **{name: values[variant] for name, values in self._of_variant.items()},
            **{name: values[start] for name, values in self._of_start.items()},
        )


def observation_space(task: Task, keys: Sequence[str]) -> gymnasium.spaces.Dict:
    """Return the space of one environment's observation with these keys."""
    bounds = privileged_bounds(task).numpy()
    pair, fingers = 2 * len(task.hand.joints), len(task.hand.fingers)

    def box(bound: float | np.ndarray, *shape: int) -> gymnasium.spaces.Box:
        high = np.broadcast_to(np.asarray(bound, np.float32), shape).copy()
        return gymnasium.spaces.Box(-high, high, shape, np.float32)

    spaces = {
        "proprio": box(math.pi, PROPRIO_STEPS, pair),
        "history": box(math.pi, HISTORY_STEPS, pair),
        "privileged": box(bounds, len(bounds)),
        "fingertip_force": box(FORCE_BOUND, fingers, 3),
        "point_cloud": box(1.0, POINTS, 3),
    }
    return gymnasium.spaces.Dict({key: spaces[key] for key in keys})


def privileged_layout(task: Task) -> dict[str, slice]:
    """Return where each named slice stands in the task's privileged observation.

    Raises:
        ValueError: the task names a slice that does not exist.
    """
    layout, start = {}, 0
    for name in task.privileged:
        if name not in PRIVILEGED_SLICES:
            raise ValueError(f"unknown privileged slice {name!r}; choose from {', '.join(PRIVILEGED_SLICES)}")
        layout[name] = slice(start, start + PRIVILEGED_SLICES[name].size(task.hand))
        start = layout[name].stop
    return layout


def privileged_bounds(task: Task) -> Tensor:
    """Return the bounds (P,) of the privileged observation."""
    slices = [PRIVILEGED_SLICES[name] for name in privileged_layout(task)]
    return torch.cat([torch.full((s.size(task.hand),), s.bound) for s in slices])


def privileged(task: Task, state: State, episode: Episode, constants: Constants, bounds: Tensor) -> Tensor:
    """Return the privileged observation (N, P) of the state."""
    symmetry = constants.symmetry[:, 0]
    angle, orientation = up_to_symmetry(state.nut_angle, state.nut_quat, symmetry, task.turn)
    phase, drawn = symmetry * angle, episode.drawn
    values = {
        "object_position": constants.object_pos,
        "object_scale": constants.scale,
        "object_mass": drawn["mass"],
        "object_friction": drawn["friction"],
        "object_center_of_mass": drawn["center_of_mass"],
        "object_orientation": orientation,
        "object_linear_velocity": state.nut_velocity[:, 3:],
        "object_angular_velocity": state.nut_velocity[:, :3],
        "object_restitution": drawn["restitution"],
        "fingertip_position": state.tip_pos.flatten(1),
        "fingertip_orientation": state.tip_quat.flatten(1),
        "fingertip_linear_velocity": state.tip_velocity[..., 3:].flatten(1),
        "fingertip_angular_velocity": state.tip_velocity[..., :3].flatten(1),
        "nut_contact_force": torch.linalg.vector_norm(state.nut_force, dim=1, keepdim=True),
        "nut_position": state.nut_pos,
        "nut_joint_velocity": state.nut_speed[:, None],
        "nut_joint_angle": angle[:, None],
        "nut_phase": torch.stack([torch.cos(phase), torch.sin(phase)], dim=1),
        "nut_joint_friction": drawn["joint_friction"],
        "kp": drawn["kp"],
        "kd": drawn["kd"],
        "start_pose": constants.start_pose,
        "hand_orientation": constants.hand_quat,
        "hand_position": constants.hand_pos,
    }
    return torch.cat([values[name] for name in task.privileged], dim=1).clamp(-bounds, bounds)


def up_to_symmetry(angle: Tensor, quat: Tensor, symmetry: Tensor, turn: int = 1) -> tuple[Tensor, Tensor]:
    """Return angle (N,) and orientation (N, 4) of nuts turned back by whole periods of their symmetry.

    Of all poses in which a nut looks the same this is the one nearest to the start of its joint. A network need then
    not learn by itself that corners recur.

    Args:
        angle: (N,) angle of the joint, about the nut's own axis (0, 0, -turn) (rad).
        quat: (N, 4) orientation of the nut, (w, x, y, z).
        symmetry: (N,) order of the nut's rotational symmetry.
        turn: the task's direction, 1 or -1.
    """
    period = 2 * math.pi / symmetry
    periods = period * torch.round(angle / period)
    cos, sin = torch.cos(periods / 2), turn * torch.sin(periods / 2)
    w, x, y, z = quat.unbind(1)
    turned = torch.stack([w * cos - z * sin, x * cos + y * sin, y * cos - x * sin, z * cos + w * sin], dim=1)
    return angle - periods, torch.where(turned[:, :1] < 0, -turned, turned)


def rotate(quat: Tensor, vectors: Tensor) -> Tensor:
    """Rotate vectors (N, K, 3) by unit quaternions (N, 4), (w, x, y, z)."""
    axis = quat[:, None, 1:].expand_as(vectors)
    twice = 2 * torch.linalg.cross(axis, vectors)
    return vectors + quat[:, None, :1] * twice + torch.linalg.cross(axis, twice)


def point_cloud(state: State, constants: Constants) -> Tensor:
    """Return the points (N, 100, 3) on the nut's surface in the world frame (m)."""
    return state.nut_pos[:, None] + rotate(state.nut_quat, constants.points)


def heights(quat: Tensor, points: Tensor) -> Tensor:
    """Return the vertical coordinates (N, K) of points (N, K, 3) after rotation by unit quaternions (N, 4)."""
    w, x, y, z = quat.unbind(1)
    row = torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z], dim=1)
    return torch.bmm(points, row[:, :, None])[:, :, 0]
