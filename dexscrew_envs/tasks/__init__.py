"""All tasks. Each is a module of this package with a `TASK`; ids, options, reference and tests are made from them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from dexscrew_envs.hands import Hand, get_hand
from dexscrew_envs.tasks.declare import changeable_fields
from dexscrew_envs.tasks.nut import TASK as NUT
from dexscrew_envs.tasks.screwdriver import TASK as SCREWDRIVER
from dexscrew_envs.tasks.task import DEVIATIONS, Task

_SUPPORT = ("checks", "declare", "task")


def _found() -> dict[str, Task]:
    """Return the task of every module here by its name: those of the paper first."""
    names = sorted(module.name for module in iter_modules(__path__) if module.name not in _SUPPORT)
    tasks = [NUT, SCREWDRIVER, *(import_module(f"{__name__}.{name}").TASK for name in names)]
    return {task.name: task for task in tasks}


TASKS: Mapping[str, Task] = _found()


def make_task(task: str | Task, *, randomize: bool = True, **changes: Any) -> Task:
    """Return a task, given itself or by its name, with some of its fields changed.

    Another hand (`hand`, itself or by its name) brings its own fields of the task; those in `changes` come first.

    Raises:
        ValueError: the task, a shape or a value is unknown; the message names what is known. Or the hand has no numbers
            for the task.
        TypeError: a field is unknown.
    """
    if not isinstance(task, Task):
        if not isinstance(task, str) or task not in TASKS:
            raise ValueError(f"unknown task {task!r}; choose from {', '.join(TASKS)}")
        task = TASKS[task]
    if not isinstance(randomize, bool):
        raise ValueError(f"randomize must be True or False, got {randomize!r}")
    known = [field.name for field in changeable_fields(Task)]
    for field in changes:
        if field not in known:
            close = difflib.get_close_matches(field, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; the fields are {', '.join(known)}"
            raise TypeError(f"the {task.name} task has no field {field!r}{hint}")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in changes.items()}
    if "hand" in values:
        task = _with_hand(task, values.pop("hand"))
    base = task if randomize else task.without_randomization()
    return replace(base, **values)


def _with_hand(task: Task, hand: str | Hand) -> Task:
    if not isinstance(hand, (str, Hand)):
        raise ValueError(f"{task.name}: hand must be a Hand or the name of one, got {hand!r}")
    try:
        hand = hand if isinstance(hand, Hand) else get_hand(hand)
    except ValueError as error:
        raise ValueError(f"{task.name}: {error}") from None
    if hand is task.hand:
        return task
    if task.name not in hand.tasks:
        raise ValueError(f"the hand {hand.name!r} has no numbers for the task {task.name!r}, only for "
                         f"{', '.join(hand.tasks) or 'none'}")  # fmt: skip
    unknown = sorted(set(hand.tasks[task.name]) - {item.name for item in fields(Task)})
    lacking = [name for name in ("start_pose", "action_scale") if name not in hand.tasks[task.name]]
    if unknown or lacking:
        what = f"has no field {unknown[0]!r}" if unknown else f"needs {lacking[0]!r}"
        raise ValueError(f"the hand {hand.name!r} describes the task {task.name!r} wrongly: the task {what}")
    own = {"locked_joints": (), "target_ranges": (), **hand.tasks[task.name]}
    return replace(task, hand=hand, **own)


__all__ = ["DEVIATIONS", "NUT", "SCREWDRIVER", "TASKS", "Task", "make_task"]
