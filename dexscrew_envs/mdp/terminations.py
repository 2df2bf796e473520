"""Terminations, each with a reason, and the windows over which two of them look."""

from __future__ import annotations

import math
from enum import IntEnum

import torch
from torch import Tensor

from dexscrew_envs.mdp.rewards import tip_distance
from dexscrew_envs.sim.base import State, write_rows
from dexscrew_envs.tasks import Task


class TerminationReason(IntEnum):
    """Why an episode ended; where several hold, the lowest number is reported."""

    RUNNING = 0
    INVALID_PHYSICS = 1
    """The simulation diverged (a NaN or an infinity)."""
    FINGERS_AWAY = 2
    """The thumb's or index finger's tip left the nut."""
    STAGNATION = 3
    """The nut did not turn over the window."""
    NO_CONTACT = 4
    """Nothing touched the nut over the window."""
    JOINT_END = 5
    """The nut came close to the end of its joint."""
    TIME_LIMIT = 6
    """Truncation."""


class IdleWindow:
    """Remembers the nut's angle and the last contact, to judge stagnation and lost contact."""

    def __init__(self, task: Task, num_envs: int, device: torch.device) -> None:
        self.task = task
        self.angles = torch.zeros(num_envs, task.idle_window, device=device)
        self.steps = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.without_contact = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._cursor = torch.zeros(1, dtype=torch.int64, device=device)

    def reset(self, rows: Tensor) -> None:
        """Forget some environments; see `write_rows`."""
        write_rows(self.steps, rows, 0)
        write_rows(self.without_contact, rows, 0)

    def update(self, state: State) -> None:
        """Take in the state after a control step."""
        self.angles.index_copy_(1, self._cursor, state.nut_angle[:, None])
        self._cursor.add_(1).remainder_(self.task.idle_window)
        self.steps += 1
        touched = torch.linalg.vector_norm(state.nut_force, dim=1) > self.task.contact_threshold
        self.without_contact.add_(1).masked_fill_(touched, 0)

    def stagnant(self) -> Tensor:
        """Return (N,) whether the window is full and the nut's angle hardly varied in it."""
        variance = self.angles.var(dim=1, correction=0)
        return (self.steps >= self.task.idle_window) & (variance < self.task.stagnation_variance)

    def contact_lost(self) -> Tensor:
        """Return (N,) whether nothing touched the nut over the window."""
        return self.without_contact >= self.task.idle_window


def terminations(task: Task, state: State, window: IdleWindow, steps: Tensor, valid: Tensor) -> Tensor:
    """Return the reason (N,) to end, int64.

    Args:
        task: the task.
        state: the state after the step.
        window: updated with that state.
        steps: (N,) control steps since the episode began.
        valid: (N,) whether the physics is finite.
    """
    end = 2 * math.pi * task.joint_turns - task.joint_end_margin
    reason = torch.zeros_like(steps)
    for code, holds in (
        (TerminationReason.TIME_LIMIT, steps >= task.episode_steps),
        (TerminationReason.JOINT_END, state.nut_angle > end),
        (TerminationReason.NO_CONTACT, window.contact_lost()),
        (TerminationReason.STAGNATION, window.stagnant()),
        (TerminationReason.FINGERS_AWAY, (tip_distance(state) > task.reset_distance).any(dim=1)),
        (TerminationReason.INVALID_PHYSICS, ~valid),
    ):
        reason = torch.where(holds, int(code), reason)
    return reason
