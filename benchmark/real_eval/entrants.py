"""Who takes part in an evaluation: what a command line calls a policy, and under which name it stands in the tables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from baselines import policies
from baselines.bc import policy as clones
from baselines.data.folder import episode_path
from benchmark import paper
from real.autonomous import RobotPolicy
from real.env import DexScrewRealEnv, Observation
from real.robot import Vector
from real.robot_policies import DIRECT, REPLAY, Direct, load_robot_policy
from real.skill import load_skill, student_of
from real.wrist import ScriptedWrist

ROWS: Mapping[str, str] = MappingProxyType(
    {
        "neither": paper.NEITHER, "touch": paper.TOUCH, "history": paper.HISTORY, "full": paper.FULL,
        "direct": paper.DIRECT, "replay": paper.REPLAY,
    }
)  # fmt: skip
"""Short labels of the paper's rows. Policies under them stand beside the paper's results."""
SCRIPTED_WRIST = "scripted-wrist"
_LONGEST = 60
"""Characters of a label."""
_ONLY_TWIN = "{} follows what it sees of a twin in this process; give --robot twin"


@dataclass(frozen=True)
class Entrant:
    """A policy that takes part."""

    label: str
    """Name in tables and files."""
    source: str
    """What `make_policy` makes it from."""
    digest: str
    """SHA-256 of the file that it comes from, in hexadecimal."""

    @property
    def slug(self) -> str:
        """The label as a part of a file's name."""
        return slug_of(self.label)


def slug_of(label: str) -> str:
    """Return a label as a part of a file's name."""
    return re.sub(r"[\W_]+", "-", label.lower()).strip("-")


def parse_entrants(given: Sequence[str], task: str) -> list[Entrant]:
    """Return who takes part, and refuse what cannot.

    Args:
        given: a policy each, or `label=policy`; the labels in `ROWS` stand for rows of the paper.
        task: name of the task.

    Raises:
        ValueError: there is none, one is unknown or for another task, or two have one label.
        FileNotFoundError: there is no such file.
    """
    if not given:
        raise ValueError("--policies needs at least one, such as direct or full=runs/bc/policy.pt")
    found = [_parse(one, task) for one in given]
    for k, entrant in enumerate(found):
        if not entrant.slug or len(entrant.label) > _LONGEST or not entrant.label.isprintable() or "|" in entrant.label:
            raise ValueError(
                f"the label of {entrant.source} needs a letter or digit, at most {_LONGEST} characters, and no '|', "
                f"which parts the columns of tables; got {entrant.label!r}"
            )
        if any(entrant.slug == other.slug for other in found[:k]):
            raise ValueError(f"two policies would be called {entrant.label!r}; give one a label: name={entrant.source}")
    return found


def check_where(entrants: Sequence[Entrant], robot: str) -> None:
    """Refuse policies that see what only a twin in this process shows.

    Raises:
        ValueError: one is among them, and the robot is another; the message names it.
    """
    for entrant in entrants:
        if entrant.source == SCRIPTED_WRIST and robot != "twin":
            raise ValueError(_ONLY_TWIN.format(entrant.label))


def _parse(given: str, task: str) -> Entrant:
    label, equals, source = given.partition("=")
    if not equals or "/" in label or Path(given).exists():  # a path may have the sign, as that of a run lr=0.001
        label, source = "", given
    elif not (label and source):
        raise ValueError(f"a policy with a label is given as label=policy, got {given!r}")
    kind = source.partition(":")[0]
    make_policy(source, task)
    label = label or (kind if kind in (DIRECT, REPLAY) else Path(source).stem)
    return Entrant(ROWS.get(label, label), source, _digest(source, task))


def check_unchanged(entrant: Entrant, task: str) -> None:
    """Refuse a policy whose file was replaced since the evaluation began: its trials would be of two policies.

    Raises:
        ValueError: it was; the message names the policy.
        FileNotFoundError: the file is gone.
    """
    if _digest(entrant.source, task) != entrant.digest:
        raise ValueError(
            f"the file of {entrant.label}, {entrant.source}, was replaced since the evaluation began; evaluate the new "
            "one under another label or in another --out, and give a copy of what is still being trained"
        )


def _digest(source: str, task: str) -> str:
    return hashlib.sha256(_file(source, task).read_bytes()).hexdigest()


def _file(source: str, task: str) -> Path:
    """Return the file that a policy comes from."""
    kind, _, rest = source.partition(":")
    if kind == REPLAY:
        folder, _, number = rest.rpartition(":")
        return episode_path(Path(folder), int(number))
    name = (rest or f"{task}-student") if kind in (DIRECT, SCRIPTED_WRIST) else source
    if name in policies.shipped():
        return Path(policies.__file__).parent / "checkpoints" / f"{name}.pt"
    return clones.file_of(name)


def make_policy(source: str, task: str) -> RobotPolicy:
    """Return a policy by what a command line calls it.

    Args:
        source: what `load_robot_policy` takes; or `scripted-wrist`, the student with a wrist that follows what it sees
            of the twin.
        task: name of the task.

    Raises:
        ValueError: there is no such policy, or it is for another task.
        FileNotFoundError: there is no such file.
    """
    if source == SCRIPTED_WRIST:
        return FollowingWrist(load_skill(student_of(task)))
    return load_robot_policy(source, task)


class FollowingWrist:
    """A finger skill with `real.wrist`: it sees more than a robot measures, so it runs on a twin only.

    Args:
        skill: a policy that needs only what a robot measures.
    """

    name = SCRIPTED_WRIST

    def __init__(self, skill: policies.StoredPolicy) -> None:
        self.task = skill.task
        self._fingers = Direct(skill)

    @property
    def nudges(self) -> int:
        """How often the wrist nudged the hand in this trial."""
        return self._wrist.nudges

    def reset(self, env: DexScrewRealEnv) -> None:
        """See `RobotPolicy.reset`."""
        from real.twin.robot import TwinRobot

        if not isinstance(env.robot, TwinRobot):
            raise ValueError(_ONLY_TWIN.format(self.name))
        self._fingers.reset(env)
        self._plant = env.robot.plant
        self._wrist = ScriptedWrist(self._plant.start_arm_q.copy(), np.random.default_rng([env.np_random_seed, 1]))

    def act(self, env: DexScrewRealEnv, observation: Observation) -> tuple[Vector, Vector]:
        """See `RobotPolicy.act`."""
        hand, _ = self._fingers.act(env, observation)
        return hand, self._wrist.act(self._plant.time, self._plant.turns, self._plant.depth)
