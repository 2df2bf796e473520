"""What is the same for all trials of an evaluation, the order of the trials, and the folder that keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmark import paper
from benchmark.real_eval.entrants import Entrant
from benchmark.trials import Trial
from dexscrew_envs.files import check_folder, holds_nothing, plain, write_json

Robot = Literal["twin", "config"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is the same for all trials."""

    task: str
    """Name of the task."""
    robot: Robot
    """A twin in this process, or the robot on the network."""
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

    @property
    def where(self) -> str:
        """What the trials run on, in words."""
        words = self.stratum if self.stratum != "nominal" else ""
        on = "robot" if self.robot == "config" else "twin"
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


class ResultsFolder:
    """A folder with a file for each trial, all by the same rules.

    Args:
        path: of the folder, which the caller has to itself.
        rules: of all trials.
        entrants: whose trials will be added.

    Raises:
        ValueError: the folder holds trials by other rules or of another policy of the same name, or something else.
        WriteError: it cannot be written.
    """

    def __init__(self, path: Path, rules: Rules, entrants: Sequence[Entrant]) -> None:
        self.path = path
        there = read_protocol(path)
        check_protocol(path, there, rules, entrants)
        known = there["policies"] if there else {}
        known = known | {one.label: one.digest for one in entrants}
        write_json({"rules": asdict(rules), "policies": known}, path / _PROTOCOL)

    def log(self, entrant: Entrant) -> Path:
        """Return the folder of a policy's recordings."""
        return self.path / "logs" / entrant.slug

    def read(self, job: Job) -> dict[str, Any] | None:
        """Return the record of a trial, or None if it was not done yet.

        Raises:
            ValueError: the file is damaged.
        """
        path = self._file(job)
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["progress"] is not None:  # a person has yet to say how far it went
                trial_of(record)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is not the record of a trial ({error}); remove it to do that trial again"
            ) from error
        return record

    def write(self, job: Job, record: dict[str, Any]) -> None:
        """Keep the record of a trial."""
        write_json(record, self._file(job))

    def remove(self, job: Job) -> None:
        """Forget a trial, so that it is done again."""
        self._file(job).unlink(missing_ok=True)

    def _file(self, job: Job) -> Path:
        return self.path / "trials" / f"{job.entrant.slug}-{job.shape}-{job.seed:04}.json"


_PROTOCOL = "protocol.json"


def read_protocol(path: Path) -> dict[str, Any] | None:
    """Return what a results folder says of its trials, or None where there is none yet.

    Raises:
        ValueError: the folder cannot be written, or holds something else.
    """
    check_folder(path)
    file = path / _PROTOCOL
    if not file.exists():
        if not holds_nothing(path):
            raise ValueError(f"{path} is not empty and holds no evaluation; give another --out")
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {"rules": dict(content["rules"]), "policies": dict(content["policies"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not the protocol of an evaluation ({error}); give another --out") from error


def check_protocol(path: Path, there: dict[str, Any] | None, rules: Rules, entrants: Sequence[Entrant]) -> None:
    """Refuse a folder whose trials do not stand beside those that are asked for.

    Raises:
        ValueError: it holds trials by other rules, or of another policy of the same name; the message says which.
    """
    if there is None:
        return
    wanted = plain(asdict(rules))
    differing = [f"{name} {there['rules'].get(name)!r}, not {value!r}" for name, value in wanted.items()
                 if there["rules"].get(name) != value]  # fmt: skip
    if differing:
        raise ValueError(f"{path} holds trials by other rules: {'; '.join(differing)}; give another --out")
    for entrant in entrants:
        if there["policies"].get(entrant.label, entrant.digest) != entrant.digest:
            raise ValueError(
                f"{path} holds trials of another policy called {entrant.label!r}; give another label "
                f"(name={entrant.source}), or another --out"
            )


def trial_of(record: dict[str, Any]) -> Trial:
    """Return the part of a trial's record that statistics need."""
    return Trial(record["seed"], record["progress"], record["complete"], record["seconds"], record["kind"])


def default_shapes(task: str) -> tuple[str, ...]:
    """Return the shapes of the paper's table, or the task's first where the paper names none."""
    from real.twin.plant import SHAPES

    return paper.NUT_SHAPES if task == "nut" else SHAPES[task][:1]
