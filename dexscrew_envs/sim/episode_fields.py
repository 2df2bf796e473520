"""What an episode's draws do to the model: one table, from which both engines write.

A randomised quantity is a field of the task, declared with `drawn`, and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dexscrew_envs.sim.base import Episode
from dexscrew_envs.sim.readout import Readout
from dexscrew_envs.tasks import NUT, Task
from dexscrew_envs.tasks.declare import drawn_sizes

ALL = slice(None)
Index = tuple[Any, ...]


@dataclass(frozen=True)
class EpisodeField:
    """One quantity's place in the model."""

    field: str
    """Array of MjModel, with one row per environment."""
    quantity: str
    """Field of the task, and entry of `Episode.drawn`."""
    place: Callable[[Readout], Index]
    """Where in a row of the array it stands; what it leaves out are the values' own dimensions."""
    transform: Callable[[Task, Tensor], Tensor] = lambda task, values: values
    """From the quantity to the array's values."""

    def values(self, task: Task, episode: Episode, dtype: torch.dtype) -> Tensor:
        """Return what to write, computed in this precision: one row per episode."""
        return self.transform(task, episode.drawn[self.quantity].to(dtype))


def check_fields(fields: Sequence[EpisodeField]) -> None:
    """Refuse a table that does not fit the task.

    A row without its quantity would fail late, and a quantity without a row would be drawn and change nothing.

    Raises:
        ValueError: one lacks the other.
    """
    drawn, written = set(drawn_sizes(NUT)), {field.quantity for field in fields}
    if unknown := sorted(written - drawn):
        raise ValueError(f"a row writes {unknown[0]!r}, which no field of Task draws; those drawn are {sorted(drawn)}")
    if lost := sorted(drawn - written):
        raise ValueError(f"Task draws {lost[0]!r}, and no row of the table writes it into the model")


def damping_ratio(task: Task, restitution: Tensor) -> Tensor:
    """Return the damping ratio of a linear contact with this coefficient of restitution."""
    log = torch.log(restitution.clamp(1e-6, 1 - 1e-6))
    return (-log / torch.sqrt(torch.pi**2 + log.square())).clamp(min=task.min_contact_damping_ratio)


FIELDS = (
    EpisodeField("body_mass", "mass", lambda at: (at.nut_body,), lambda _, mass: mass[:, 0]),
    EpisodeField("body_ipos", "center_of_mass", lambda at: (at.nut_body,)),
    EpisodeField("dof_frictionloss", "joint_friction", lambda at: (at.nut,), lambda _, friction: friction[:, 0]),
    EpisodeField("geom_friction", "friction", lambda _: (ALL, 0)),
    EpisodeField("geom_solref", "restitution", lambda _: (ALL, 1), damping_ratio),
    EpisodeField("actuator_gainprm", "kp", lambda _: (ALL, 0)),
    EpisodeField("actuator_biasprm", "kp", lambda _: (ALL, 1), lambda _, kp: -kp),
    EpisodeField("actuator_biasprm", "kd", lambda _: (ALL, 2), lambda _, kd: -kd),
)
check_fields(FIELDS)
NAMES = tuple(dict.fromkeys((*(field.field for field in FIELDS), "body_pos", "body_inertia")))
"""Arrays that episodes change; the last two follow from the nut's variant, too, and are written by the engines."""
