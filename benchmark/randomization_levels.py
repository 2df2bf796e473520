"""How far the simulation is randomised in an ablation: not at all, as the task says, or wider."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dexscrew_envs.tasks import Task, make_task

LEVELS = ("none", "task", "wider")


def level_fields(task_name: str, level: str) -> dict[str, Any]:
    """Return the fields of a task that differ from it at a level of randomisation, and their values.

    Raises:
        ValueError: the task or the level is unknown.
    """
    task = make_task(task_name)
    if level not in LEVELS:
        raise ValueError(f"unknown randomization {level!r}; choose from {', '.join(LEVELS)}")
    if level == "wider":
        return _wider(task)
    other = task if level == "task" else task.without_randomization()
    changed = {field.name: getattr(other, field.name) for field in fields(Task)}
    return {name: value for name, value in changed.items() if value != getattr(task, name)}


def _wider(task: Task) -> dict[str, Any]:
    """Return ranges that contain the task's: what is uniform around a nominal value spreads two to three times as far.

    Noise on joints and targets is that under which students are scored, so that it is the same for all methods.
    """
    at, width = task.object_position, task.object_position_noise
    low, high = task.joint_friction
    return {
        "friction": (task.friction[0] / 2, task.friction[1]),
        "joint_friction": (low / 2, high * 2),
        "mass": (0.03, 0.1),
        "kp": (2.1, 3.9),
        "kd": (0.007, 0.013),
        "scales": (round(task.scales[0] - 0.05, 2), *task.scales, round(task.scales[-1] + 0.05, 2)),
        "object_position": (at[0] - width[0] / 2, at[1] - width[1] / 2, at[2]),
        "object_position_noise": (2 * width[0], 2 * width[1], 2 * width[2]),
        "object_tilt": task.object_tilt + 10.0,
        "hand_pitch": (task.hand_pitch[0] - 5.0, task.hand_pitch[1] + 5.0),
        "hand_roll": (task.hand_roll[0] - 5.0, task.hand_roll[1] + 5.0),
        "observation_noise": task.student_noise,
        "action_noise": task.student_noise,
        "push_force": 20 * task.push_force,
    }
