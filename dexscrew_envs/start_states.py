"""The states that episodes begin from.

At the published start poses the fingertips of the primitive hand lie 6 to 8 mm inside the object, and a contact solver
would throw it off. So each sampled pose has the fingers that touch opened in small steps until none does, which leaves
the fingertips next to the nut. A bank of such states is built once; a reset picks one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray

from dexscrew_envs.hands import Hand
from dexscrew_envs.scene import Scene, build_scene
from dexscrew_envs.tasks import Task

Array = NDArray[np.float64]

_OPENING_STEP = 0.02
"""Change of each joint in an opening step (rad)."""
_MAX_OPENING_STEPS = 40
_DISTANCE_MARGIN = 0.9
"""States with the fingertip of the thumb or of its opponent beyond this share of the reset distance are dropped."""


@dataclass(frozen=True)
class StartStates:
    """A bank of B start states."""

    joint_pos: Array
    """(B, A) hand joint positions (rad)."""
    hand_pos: Array
    """(B, 3) position of the palm in the world (m)."""
    hand_quat: Array
    """(B, 4) orientation of the palm, (w, x, y, z)."""
    object_pos: Array
    """(B, 3) position of the object's base in the world (m)."""
    object_quat: Array
    """(B, 4) orientation of the object's base, (w, x, y, z)."""
    variant: NDArray[np.int64]
    """(B,) variant of the nut."""
    rejected: int
    """How many samples were dropped: still touching after all opening steps, or too far from the nut."""


def _axis_quat(axis: Array, angle: float) -> Array:
    quat = np.zeros(4)
    mujoco.mju_axisAngle2Quat(quat, axis, angle)
    return quat


def _sample_poses(task: Task, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """Sample the poses of palm and object."""
    pitch = _axis_quat(np.array([1.0, 0, 0]), np.deg2rad(rng.uniform(*task.hand_pitch)))
    roll = _axis_quat(np.array([0, 1.0, 0]), np.deg2rad(rng.uniform(*task.hand_roll)))
    hand_quat = np.zeros(4)
    mujoco.mju_mulQuat(hand_quat, roll, pitch)
    hand_pos = np.array(task.hand_position) + rng.uniform(0, task.hand_position_noise, 3)
    object_pos = np.array(task.object_position) + rng.uniform(0, 1, 3) * task.object_position_noise
    direction = rng.uniform(0, 2 * np.pi)
    axis = np.array([np.cos(direction), np.sin(direction), 0.0])
    return hand_pos, hand_quat, object_pos, _axis_quat(axis, np.deg2rad(rng.uniform(0, task.object_tilt)))


def joint_limits(task: Task, model: mujoco.MjModel) -> tuple[Array, Array]:
    """Return the lower and upper limits (A,) of the targets of A joints (rad).

    Raises:
        ValueError: a range of the task lies beyond the joint's own limits.
    """
    joints = task.hand.joints
    lower, upper = model.jnt_range[: len(joints)].T.copy()
    for name, low, high in task.target_ranges:
        k = joints.index(name)
        if low > upper[k] or high < lower[k]:
            raise ValueError(
                f"{task.name}: target_ranges must overlap the joint's own limits, which are {lower[k]:.4g} to "
                f"{upper[k]:.4g} rad for {name}, got {low:g} to {high:g}"
            )
        lower[k], upper[k] = max(lower[k], low), min(upper[k], high)
    return lower, upper


class _Opener:
    """Finds out which fingers touch something, and opens them: away from the object, or sideways from each other."""

    def __init__(self, model: mujoco.MjModel, hand: Hand) -> None:
        self.model, self.hand = model, hand
        self.data = mujoco.MjData(model)
        self.body_finger = np.full(model.nbody, -1)
        roots = {model.body(finger.root).id: k for k, finger in enumerate(hand.fingers)}
        for body in range(1, model.nbody):  # parents come before their children
            self.body_finger[body] = roots.get(body, self.body_finger[model.body_parentid[body]])
        self.geom_finger = self.body_finger[model.geom_bodyid]

    def _opening(self, touching: NDArray[np.int64]) -> Array:
        """Return the step (A,) of the joints that opens the contacts, given as pairs (C, 2) of fingers or -1."""
        hand = self.hand
        step = np.zeros(len(hand.joints))
        for pair in np.unique(np.sort(touching, axis=1), axis=0):
            fingers = [hand.fingers[f] for f in pair if f >= 0]
            parting = hand.parting.get(tuple(finger.name for finger in fingers))
            for opening in [finger.opening for finger in fingers] if parting is None else [parting]:
                for joint, direction in opening.items():
                    step[hand.joints.index(joint)] = direction * _OPENING_STEP
        return step

    def open_until_free(self, joint_pos: Array, lower: Array, upper: Array) -> Array | None:
        """Return joint positions without any contact, or None if opening does not lead there."""
        data = self.data
        for _ in range(_MAX_OPENING_STEPS):
            data.qpos[: len(joint_pos)] = joint_pos
            mujoco.mj_fwdPosition(self.model, data)
            touching = data.contact.dist < 0
            if not touching.any():
                return joint_pos
            step = self._opening(self.geom_finger[data.contact.geom[touching]])
            joint_pos = np.clip(joint_pos + step, lower, upper)
        return None


def _apply_variant(model: mujoco.MjModel, data: mujoco.MjData, scene: Scene, variant: int) -> None:
    """Give the nut of `model` another shape and scale."""
    for field, values in scene.variants.geom_fields.items():
        getattr(model, field)[scene.variants.geoms] = values[variant]
    model.body("nut").pos = scene.variants.nut_position[variant]
    mujoco.mj_setConst(model, data)  # without it the old bounding volumes hide contacts


def build_start_states(task: Task, scene: Scene, count: int, seed: int = 0) -> StartStates:
    """Sample `count` start states; the same task and seed give the same states.

    Raises:
        ValueError: fewer than one sample in ten stands, so the task's numbers leave no room for the hand.
    """
    rng = np.random.default_rng(seed)
    opener = _Opener(scene.spec.compile(), task.hand)
    model, data = opener.model, opener.data
    lower, upper = joint_limits(task, model)
    palm, base = model.body(task.hand.palm).mocapid[0], model.body("object").mocapid[0]
    tips = [model.site(finger.tip).id for finger in task.hand.fingers[:2]]
    nut = model.body("nut").id
    noise = task.start_pose_noise * np.ptp(model.jnt_range[: len(task.hand.joints)], axis=1)
    states: list[tuple[Array, ...]] = []
    chosen: list[int] = []
    rejected = 0
    while len(states) < count:
        if rejected > 20 + 10 * len(states):
            raise ValueError(
                f"the {task.name} task has hardly a start state: {rejected} of {rejected + len(states)} samples were "
                "dropped because fingers stay in contact or beyond the reset distance; check start_pose, "
                "object_position, hand_position and reset_distance, and the signs of what opens the hand's fingers"
            )
        variant = int(rng.integers(len(scene.variants.scale)))
        poses = _sample_poses(task, rng)
        sampled = np.clip(np.array(task.start_pose) + rng.uniform(-noise, noise), lower, upper)
        _apply_variant(model, data, scene, variant)
        data.mocap_pos[palm], data.mocap_quat[palm], data.mocap_pos[base], data.mocap_quat[base] = poses
        free = opener.open_until_free(sampled, lower, upper)
        if free is not None:
            distance = np.linalg.norm(data.site_xpos[tips] - data.xpos[nut], axis=1)
            if (distance < _DISTANCE_MARGIN * task.reset_distance).all():
                states.append((free, *poses))
                chosen.append(variant)
                continue
        rejected += 1
    columns = [np.array(column) for column in zip(*states, strict=True)]
    joint_pos, hand_pos, hand_quat, object_pos, object_quat = columns
    return StartStates(joint_pos, hand_pos, hand_quat, object_pos, object_quat, np.array(chosen), rejected)


@lru_cache(maxsize=8)
def scene_and_start_states(task: Task, count: int = 1024) -> tuple[Scene, StartStates]:
    """Return the task's scene and its bank of start states, built once per process."""
    scene = build_scene(task)
    return scene, build_start_states(task, scene, count)
