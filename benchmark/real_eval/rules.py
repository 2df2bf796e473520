"""What is the same for all trials of an evaluation, and the order of the trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmark import paper
from benchmark.real_eval.entrants import Entrant

Robot = Literal["twin", "server", "config"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is the same for all trials."""

    task: str
    """Name of the task."""
    robot: Robot
    """A twin in this process, one behind a server, or the robot on the network."""
    stratum: str
    """What a twin is drawn from; empty on the robot."""
    limit: float
    """Longest time of a trial (s)."""
    stagnation: float
    """A trial also ends when nothing has turned for so long (s), where turns are measured."""
    perturbation: str
    """What disturbs each trial; empty for nothing."""
    edition: int
    """Of the twin, since the same seed means another trial on another one; 0 on the robot."""
    safety: str
    """Fingerprint of the safety layer's limits."""
    turns_needed: float | None = None
    """Turns that complete a trial on the robot; a twin knows its own."""

    @property
    def where(self) -> str:
        """What the trials run on, in words."""
        words = self.stratum if self.stratum != "nominal" else ""
        on = {"twin": "twin", "server": "twin's server", "config": "robot"}[self.robot]
        return ", ".join(filter(None, (on, words, self.perturbation)))


@dataclass(frozen=True)
class Job:
    """One trial that is to be done."""

    entrant: Entrant
    shape: str
    seed: int
    """On a twin it fixes everything but the policy; on the robot it is the number of the trial."""


def twin_order(entrants: Sequence[Entrant], shapes: Sequence[str], trials: int) -> list[Job]:
    """Return all trials, seed by seed, so that policies stand beside each other however early one stops."""
    return [Job(entrant, shape, seed) for seed in range(trials) for shape in shapes for entrant in entrants]


def robot_order(entrants: Sequence[Entrant], shapes: Sequence[str], trials: int) -> list[Job]:
    """Return all trials, shape by shape, since a person mounts them; each round begins with another policy.

    So what changes slowly, such as a worn nut or a warm motor, meets all policies alike.
    """
    rounds = [[*entrants[k % len(entrants) :], *entrants[: k % len(entrants)]] for k in range(trials)]
    return [Job(entrant, shape, k) for shape in shapes for k, turn in enumerate(rounds) for entrant in turn]


def default_shapes(task: str) -> tuple[str, ...]:
    """Return the shapes of the paper's table, or the task's first where the paper names none."""
    from real.twin.plant import SHAPES

    return paper.NUT_SHAPES if task == "nut" else SHAPES[task][:1]
