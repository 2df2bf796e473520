"""What acts, and what of it a file can hold; `baselines.policies` saves and loads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

from torch import Tensor

from baselines.interface import check_interface, interface
from dexscrew_envs.tasks import Task, make_task


class Policy(Protocol):
    """Anything that acts: oracle, student, clone, replay, human."""

    task: str
    """Name of the task that it was made for."""
    observe: tuple[str, ...]
    """Keys of the observation that it needs."""
    task_fields: dict[str, Any]
    """Fields of the task that differ from it where this policy is scored."""

    def reset(self, mask: Tensor | None = None) -> None:
        """Begin new episodes where `mask` (N,) is true, or everywhere."""

    def act(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Return actions (N, A) of A joints between -1 and 1 for a batch of observations."""


class StoredPolicy(ABC):
    """A policy that a file can hold: what all kinds have in common.

    Args:
        task: name of its task.
        card: how it was made: command, seed, steps, score, versions.
        shapes: of the observations that it needs, by key and without the batch.
        task_fields: fields of the task in which its training differed.
        made_for: what its actions mean, as `interface` returns it; None takes what they mean in the task.
    """

    kind: ClassVar[str]
    """Name of the kind in `baselines.policies.KINDS`."""
    parts: ClassVar[tuple[str, ...]]
    """What its files hold besides: the keys of `content`."""

    def __init__(
        self,
        task: str,
        card: Mapping[str, Any],
        shapes: Mapping[str, tuple[int, ...]],
        task_fields: Mapping[str, Any] | None = None,
        made_for: Mapping[str, Any] | None = None,
    ) -> None:
        self.task = task
        self.card = dict(card)
        self.task_fields = dict(task_fields or {})
        self._made_for = made_for
        self.shapes = dict(shapes)
        self.observe = tuple(self.shapes)

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """Return what its file holds besides what all have: plain values, and in `state` its tensors by name."""

    @classmethod
    @abstractmethod
    def from_content(cls, content: Mapping[str, Any], task: Task) -> Self:
        """Return the policy of a file's content; any error here is reported as a file that cannot be used."""

    @abstractmethod
    def act(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Return actions (N, A) of A joints between -1 and 1."""

    def reset(self, mask: Tensor | None = None) -> None:
        """Begin new episodes; a policy without memory has nothing to forget."""
        return

    @property
    def interface(self) -> dict[str, Any]:
        """What its actions mean; see `baselines.interface`."""
        if self._made_for is None:
            self._made_for = interface(make_task(self.task, **self.task_fields))
        return dict(self._made_for)

    def check_task(self, task: Task) -> None:
        """Raise ValueError unless actions mean in this task what they mean to the policy."""
        check_interface(self.interface, task)

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise ValueError unless observations of these shapes hold what the policy needs."""
        for key, shape in self.shapes.items():
            if key not in shapes:
                raise ValueError(f"the policy needs {key!r} in the observation; make the environment with observe="
                                 f"{self.observe}")  # fmt: skip
            if tuple(shapes[key]) != shape:
                raise ValueError(f"the policy was trained with {key} of shape {shape}, got {tuple(shapes[key])}: it is "
                                 "for another task, or of another version of DexScrew")  # fmt: skip


__all__ = ["Policy", "StoredPolicy"]
