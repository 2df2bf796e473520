"""The fields of a task as command-line options: `--env.shape square --env.friction 0.3 1`.

Training, evaluation and the ablation take them as one nested dataclass; what was given goes to the environment as its
keywords, into the policy file, and into the run folder's configuration.
"""

from __future__ import annotations

from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from dexscrew_envs.reference import attribute_docstrings
from dexscrew_envs.tasks import Task
from dexscrew_envs.tasks.declare import changeable_fields


def _options() -> list[tuple[str, Any, Any]]:
    """Return name, type and default of each option; without a value a field is the task's own."""
    kinds, meanings = get_type_hints(Task), attribute_docstrings(Task)
    found = []
    for item in changeable_fields(Task):
        if item.name == "hand":  # the programs take it as --hand
            continue
        kind = tuple[str, ...] if item.name == "shape" else kinds[item.name]
        annotated = Annotated[kind | None, tyro.conf.arg(help=meanings[item.name], help_behavior_hint="(task's own)")]  # type: ignore[valid-type]
        found.append((item.name, annotated, field(default=None)))
    return found


if TYPE_CHECKING:

    class TaskOptions:
        """Fields of the task that differ from it; None leaves one as it is."""

        def __init__(self, **fields: Any) -> None: ...

else:
    TaskOptions = make_dataclass("TaskOptions", _options(), kw_only=True, frozen=True)
    TaskOptions.__module__ = __name__
    TaskOptions.__doc__ = "Fields of the task that differ from it; docs/tasks.md says more of each."


def changes(options: TaskOptions) -> dict[str, Any]:
    """Return the fields that were given, by name."""
    return {name: value for name, value in vars(options).items() if value is not None}
