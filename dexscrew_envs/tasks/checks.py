"""Checks of the fields of a task that are no plain numbers; see `declare.Check`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dexscrew_envs.hands import Hand
from dexscrew_envs.shapes import SHAPES
from dexscrew_envs.tasks.declare import Numbers, is_number

if TYPE_CHECKING:
    from dexscrew_envs.tasks.task import Task


def check_name(name: str, value: Any, task: Task) -> None:
    """The task's own name."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a name, got {value!r}")


def check_names(name: str, value: Any, task: Task) -> None:
    """Different names."""
    if not _are_names(value) or not value or len(set(value)) < len(value):
        raise ValueError(f"{name} must be a tuple of different names, got {value!r}")


def check_flag(name: str, value: Any, task: Task) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def check_hand(name: str, value: Any, task: Task) -> None:
    """A hand."""
    if not isinstance(value, Hand):
        raise ValueError(f"{name} must be a Hand, got {value!r}")


def check_shape(name: str, value: Any, task: Task) -> None:
    """One or several of the task's shapes."""
    wanted, known = (value,) if isinstance(value, str) else value, ", ".join(task.shapes)
    if not _are_names(wanted):
        raise ValueError(f"{name} must be one of {known}, or several, got {wanted!r}")
    if not wanted:
        raise ValueError(f"{name} must name at least one of {known}")
    for shape in wanted:
        if shape not in task.shapes:
            hint = f"; {shape!r} exists, but the task's `shapes` do not name it" if shape in SHAPES else ""
            raise ValueError(f"unknown {name} {shape!r}; choose from {known}{hint}")


def check_turn(name: str, value: Any, task: Task) -> None:
    """A direction."""
    if not is_number(value, whole=True) or value not in (1, -1):
        raise ValueError(f"{name} must be 1 or -1, got {value!r}")


def check_pose(name: str, value: Any, task: Task) -> None:
    """A number for each joint of the hand."""
    Numbers("numbers")(name, value, task)
    joints = len(task.hand.joints)
    if len(value) != joints:
        raise ValueError(
            f"{name} must have {joints} numbers, one for each joint of the hand {task.hand.name!r}, got {len(value)}"
        )


def check_joints(name: str, value: Any, task: Task) -> None:
    """Indices of joints."""
    last = len(task.hand.joints) - 1
    if not isinstance(value, tuple) or not all(is_number(joint, whole=True) for joint in value):
        raise ValueError(f"{name} must be integers, got {value!r}")
    if not all(0 <= joint <= last for joint in value):
        raise ValueError(f"{name} must be between 0 and {last}, got {value!r}")
    if len(set(value)) > last:
        raise ValueError(f"{name} must leave at least one joint that moves, got all {last + 1}")


def check_target_ranges(name: str, value: Any, task: Task) -> None:
    """Ranges of different joints."""
    entries = value if isinstance(value, tuple) else (None,)
    right = [
        isinstance(entry, tuple)
        and len(entry) == 3
        and entry[0] in task.hand.joints
        and all(map(is_number, entry[1:]))
        and entry[1] <= entry[2]
        for entry in entries
    ]
    if not all(right) or len({entry[0] for entry in entries}) < len(entries):
        raise ValueError(
            f"{name} must be (joint, low, high) with low <= high, for different joints of the hand, got {value!r}"
        )


def check_together(task: Task) -> None:
    """Check what fields must be to each other.

    Raises:
        ValueError: no episode is possible with them.
    """
    way = 2 * math.pi * task.joint_turns
    if task.joint_end_margin >= way:
        raise ValueError(
            f"joint_end_margin must be below 2 pi joint_turns = {way:.4g} rad, or every episode ends at once, got "
            f"{task.joint_end_margin:g}"
        )
    if task.scale_noise >= min(task.scales):
        raise ValueError(
            f"scale_noise must be below the smallest of scales, {min(task.scales):g}, since a scale is positive, got "
            f"{task.scale_noise:g}"
        )
    if task.bolt_height <= task.bolt_radius:
        raise ValueError(
            f"bolt_height must be above bolt_radius = {task.bolt_radius:g} m, since the bolt ends in a half sphere, "
            f"got {task.bolt_height:g}"
        )


def _are_names(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) for name in value)
