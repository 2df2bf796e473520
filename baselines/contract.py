"""The contract of an exported policy: all that is needed to act with it without this package."""

from __future__ import annotations

from typing import Any

from baselines.policies import ActorPolicy, without_paths
from dexscrew_envs.mdp.observations import (
    FORCE_BOUND,
    HISTORY_STEPS,
    PRIVILEGED_SLICES,
    PROPRIO_STEPS,
    privileged_layout,
)
from dexscrew_envs.scene import build_scene
from dexscrew_envs.start_states import joint_limits
from dexscrew_envs.tasks import Task, make_task

FORMAT = "dexscrew-contract"
VERSION = 2

_PAIRS = {"proprio": PROPRIO_STEPS, "history": HISTORY_STEPS}
_START = (
    "Move the joint targets to start_rad and wait until the fingers stand still; a finger that meets the object stays "
    "where it stops.",
    "Read the joint positions. The first target of each joint is its position, cut to target_range_rad.",
    "Fill every pair of every input with these positions and these targets.",
)
_STEP = (
    "Run the network on the inputs; its output is one action per joint.",
    "Cut each action to the bounds of the output. New target of each joint = its last target + step_rad x action, then "
    "cut to target_range_rad. It is the last target that moves, not the position.",
    "Send the targets, and wait one period, 1 / rate_hz.",
    "Read the joint positions. Append the pair (positions, the targets just sent) to the inputs as the newest, and "
    "drop the oldest. If something on the way changed the targets, a safety layer for example, those that were really "
    "sent stand in the pair, and the next step moves on from them.",
)


def contract(policy: ActorPolicy) -> dict[str, Any]:
    """Return what a caller must know, as values that JSON can hold: joints, inputs, output, start and step.

    Lists of a number for each joint, and both halves of a pair, are in the order of `joints`.
    """
    task = make_task(policy.task, **policy.task_fields)
    return {
        "format": FORMAT,
        "version": VERSION,
        "task": policy.task,
        "rate_hz": 1 / task.control_dt,
        "units": "rad and s, unless a name or a meaning says otherwise",
        "joints": _joints(task),
        "controller": {
            "kp_nm_per_rad": list(task.kp),
            "kd_nm_s_per_rad": list(task.kd),
            "meaning": "of each joint in training, from these ranges: torque = kp (target - position) - kd velocity",
        },
        "inputs": [
            {"name": key, "shape": ["batch", *shape], "dtype": "float32", **_input(key, task)}
            for key, shape in policy.shapes.items()
        ],
        "output": {
            "name": "action", "shape": ["batch", len(task.hand.joints)], "dtype": "float32", "bounds": [-1.0, 1.0],
            "meaning": "one number per joint, in the order of joints; see step",
        },
        "start": list(_START),
        "step": list(_STEP),
        "normalisation": "inside the network: the inputs are given as they are, in their units",
        "files": {
            "policy.onnx": "inputs and output by name",
            "policy.ts": "TorchScript; inputs by position, in the order of inputs",
        },
        "card": without_paths(policy.card),
    }  # fmt: skip


def _joints(task: Task) -> list[dict[str, Any]]:
    """Return each joint in policy order, with where it starts, its limits and how far an action moves its target."""
    model = build_scene(task).model
    ranges, (lower, upper) = model.jnt_range[: len(task.hand.joints)], joint_limits(task, model)
    return [
        {
            "name": name,
            "start_rad": float(min(max(task.start_pose[k], lower[k]), upper[k])),
            "range_rad": [float(end) for end in ranges[k]],
            "target_range_rad": [float(lower[k]), float(upper[k])],
            "step_rad": 0.0 if k in task.locked_joints else task.action_scale,
            "locked": k in task.locked_joints,
        }
        for k, name in enumerate(task.hand.joints)
    ]


def _input(key: str, task: Task) -> dict[str, Any]:
    """Return what one input means."""
    if key in _PAIRS:
        delay = task.proprio_delay if key == "proprio" else 0
        count = _PAIRS[key]
        return {
            "pairs": count,
            "delay": delay,
            "unit": "rad",
            "meaning": f"the last {count} pairs of joint positions and joint targets, one pair per step, "
            "oldest first, newest last; the newest is `delay` steps old",
        }
    if key == "privileged":
        return {
            "meaning": "what only a simulator knows",
            "slices": [
                {"name": name, "from": where.start, "to": where.stop, "clipped_to": PRIVILEGED_SLICES[name].bound,
                 "meaning": PRIVILEGED_SLICES[name].meaning}
                for name, where in privileged_layout(task).items()
            ],
        }  # fmt: skip
    if key == "fingertip_force":
        order = ", ".join(task.hand.finger_names)
        return {"unit": "N", "clipped_to": FORCE_BOUND, "meaning": f"the nut's force on {order}, x, y, z, world frame"}
    return {"unit": "m", "meaning": "points on the nut's surface, x, y, z, world frame"}


__all__ = ["FORMAT", "VERSION", "contract"]
