"""What a policy's actions mean: on which hand, as what, how far, how often. It stands in the policy's file.

So a policy does not change its meaning when a task is edited: where a task differs from what a policy was made for, the
policy is refused, by the name and the value of what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from dexscrew_envs.hands import Hand
from dexscrew_envs.start_states import joint_limits
from dexscrew_envs.tasks import Task

FORM = "relative to the last target"
"""The one form of action so far: a joint's new target is its last one plus `scale_rad` times the action, within its
range."""
_TOLERANCE = 1e-6
_MEANING = {
    "hand": "the hand", "joints": "the joints in the order", "form": "actions", "scale_rad": "an action scale (rad) of",
    "locked": "the locked joints", "range_rad": "targets (rad) within", "rate_hz": "a rate (Hz) of",
    "delay": "a delay of proprioception (control steps) of",
}  # fmt: skip


@cache
def _model(hand: Hand) -> Any:
    return hand.spec().compile()


def interface(task: Task) -> dict[str, Any]:
    """Return what actions mean in a task, as values that JSON can hold; lists are in the order of `joints`."""
    joints = task.hand.joints
    limits = np.transpose(joint_limits(task, _model(task.hand)))
    return {
        "hand": task.hand.name,
        "joints": list(joints),
        "form": FORM,
        "scale_rad": float(task.action_scale),
        "locked": [joints[k] for k in task.locked_joints],
        "range_rad": [[float(end) for end in ends] for ends in limits],
        "rate_hz": round(1 / task.control_dt, 6),
        "delay": task.proprio_delay,
    }


def check_interface(made_for: Mapping[str, Any], task: Task) -> None:
    """Check that actions mean in a task what they mean to a policy.

    Args:
        made_for: the policy's `interface`.
        task: in which it is to act.

    Raises:
        ValueError: they do not; the message names what differs, with both values.
    """
    there = interface(task)
    for name, meaning in _MEANING.items():
        ours, theirs = made_for.get(name), there[name]
        if not _alike(ours, theirs):
            raise ValueError(f"the policy was made for {meaning} {_words(ours)}, and here it is {_words(theirs)}")


def _alike(ours: Any, theirs: Any) -> bool:
    try:
        return ours == theirs or np.allclose(ours, theirs, atol=_TOLERANCE, rtol=0)
    except (TypeError, ValueError):  # names, or another number of joints
        return False


def _words(value: Any) -> str:
    if isinstance(value, list):
        return "(" + ", ".join(map(_words, value)) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


__all__ = ["check_interface", "interface"]
