"""What the fields of a task may be."""

from __future__ import annotations

import math
from dataclasses import fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dexscrew_envs.tasks.task import Task

_POSITIVE = (
    "timestep", "substeps", "episode_steps", "reset_distance", "student_reset_distance", "idle_window", "action_scale",
    "bolt_radius", "bolt_height", "joint_turns", "scales", "kp", "mass", "push_decay_interval",
)  # fmt: skip
_NOT_NEGATIVE = (
    "joint_friction", "joint_damping", "object_position_noise", "object_tilt", "scale_noise", "hand_position_noise",
    "start_pose_noise", "kd", "friction", "observation_noise", "action_noise", "student_noise", "push_force",
    "overspeed_curriculum",
)  # fmt: skip
_SHARES = ("restitution", "min_contact_damping_ratio", "push_probability", "push_decay")
_HISTORY = 30


def check_task(task: Task) -> None:
    """Check all fields of a task.

    Raises:
        ValueError: one has a value that is not possible; the message says which, and what would be.
    """
    _check_shapes(task)
    privileged = task.privileged
    if not _are_names(privileged) or not privileged or len(set(privileged)) < len(privileged):
        raise ValueError(f"{task.name}: privileged must be a tuple of different names of slices, got {privileged!r}")
    for field in fields(task):
        _check_numbers(task, field.name, str(field.type))
    for names, possible, words in (
        (_POSITIVE, lambda low, high: low > 0, "be positive"),
        (_NOT_NEGATIVE, lambda low, high: low >= 0, "not be negative"),
        (_SHARES, lambda low, high: low >= 0 and high <= 1, "be between 0 and 1"),
    ):
        for name in names:
            value = getattr(task, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if not numbers or not possible(min(numbers), max(numbers)):
                raise ValueError(f"{task.name}: {name} must {words}, got {value!r}")
    if task.turn not in (1, -1):
        raise ValueError(f"{task.name}: turn must be 1 or -1, got {task.turn!r}")
    joints = len(task.hand.joints)
    if len(task.start_pose) != joints:
        raise ValueError(
            f"{task.name}: start_pose must have {joints} numbers, one for each joint of the hand {task.hand.name!r}, "
            f"got {len(task.start_pose)}"
        )
    if not all(0 <= joint < joints for joint in task.locked_joints):
        raise ValueError(f"{task.name}: locked_joints must be between 0 and {joints - 1}, got {task.locked_joints!r}")
    _check_target_ranges(task)
    if not 0 <= task.proprio_delay <= _HISTORY - 3:
        raise ValueError(
            f"{task.name}: proprio_delay must be between 0 and {_HISTORY - 3}, got {task.proprio_delay!r}"
        )  # fmt: skip


def _check_target_ranges(task: Task) -> None:
    words = "target_ranges must be (joint, low, high) with low <= high, for different joints of the hand"
    given = task.target_ranges if isinstance(task.target_ranges, tuple) else (None,)
    right = [
        isinstance(entry, tuple)
        and len(entry) == 3
        and entry[0] in task.hand.joints
        and all(_is_number(end, whole=False) for end in entry[1:])
        and entry[1] <= entry[2]
        for entry in given
    ]
    if not all(right) or len({entry[0] for entry in task.target_ranges}) < len(given):
        raise ValueError(f"{task.name}: {words}, got {task.target_ranges!r}")


def _check_shapes(task: Task) -> None:
    wanted = (task.shape,) if isinstance(task.shape, str) else task.shape
    if not _are_names(wanted):
        raise ValueError(f"{task.name}: shape must be one of {', '.join(task.shapes)}, or several, got {wanted!r}")
    if not wanted:
        raise ValueError(f"{task.name}: shape must name at least one of {', '.join(task.shapes)}")
    for shape in wanted:
        if shape not in task.shapes:
            raise ValueError(f"{task.name}: unknown shape {shape!r}; choose from {', '.join(task.shapes)}")


def _are_names(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) for name in value)


def _check_numbers(task: Task, name: str, kind: str) -> None:
    """Raise ValueError unless a field holds finite numbers, as many as its type says, and a range in its order."""
    if "str" in kind or kind in ("bool", "Hand", "tuple[JointRange, ...]"):
        return
    value = getattr(task, name)
    count, words = {
        "int": (1, "an integer"),
        "float": (1, "a number"),
        "Range": (2, "(low, high) with low <= high"),
        "tuple[float, float]": (2, "two numbers"),
        "Vector3": (3, "three numbers"),
        "tuple[int, ...]": (None, "integers"),
        "tuple[float, ...]": (None, "numbers"),
    }[kind]
    numbers = (value,) if kind in ("int", "float") else value
    if (
        not isinstance(numbers, tuple)
        or len(numbers) != (len(numbers) if count is None else count)
        or not all(_is_number(number, whole="int" in kind) for number in numbers)
        or (kind == "Range" and numbers[0] > numbers[1])
    ):
        raise ValueError(f"{task.name}: {name} must be {words}, got {value!r}")
    if "int" in kind and any(number >= 2**31 for number in numbers):
        raise ValueError(f"{task.name}: {name} must be below 2^31, got {value!r}")


def _is_number(value: Any, *, whole: bool) -> bool:
    """Return whether a value is a finite number, and an integer where a whole one is wanted."""
    return isinstance(value, Integral if whole else Real) and not isinstance(value, bool) and math.isfinite(value)
