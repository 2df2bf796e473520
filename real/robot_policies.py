"""The policies of hand and arm that can be tried: clones, a skill with the arm still, and recorded episodes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import torch
from numpy.typing import NDArray

from baselines import policies
from baselines.bc import policy as clones
from baselines.replay import load_replay
from dexscrew_envs.tasks import TASKS
from real.autonomous import RobotPolicy
from real.env import DexScrewRealEnv, Observation
from real.robot import Vector
from real.skill import load_skill, student_of

DIRECT, REPLAY = "direct", "replay"


class TargetPolicy(Protocol):
    """A policy that knows a step by the names of a data set's fields, such as `ClonePolicy` and `ReplayPolicy`."""

    name: str
    task: str

    def check(self, hand: str, joints: Sequence[str], shapes: Mapping[str, tuple[int, ...]], period: float) -> None:
        """Raise ValueError where it does not fit a robot."""

    def reset(self) -> None:
        """Begin an episode."""

    def act(self, step: Mapping[str, NDArray[Any]]) -> tuple[Vector, Vector]:
        """Return joint targets of hand and arm (rad)."""


class FromFields:
    """Lets a `TargetPolicy` act on the robot.

    Args:
        policy: acts on the fields of a data set.
    """

    def __init__(self, policy: TargetPolicy) -> None:
        self._policy = policy
        self.name, self.task = policy.name, policy.task

    def reset(self, env: DexScrewRealEnv) -> None:
        """See `RobotPolicy.reset`."""
        shapes = _shapes(env) | {key: value.shape for key, value in _beside(env).items()}
        hand = env.task.hand
        self._policy.check(hand.name, hand.joints, shapes, env.task.control_dt)
        self._policy.reset()

    def act(self, env: DexScrewRealEnv, observation: Observation) -> tuple[Vector, Vector]:
        """See `RobotPolicy.act`."""
        return self._policy.act({**observation, **_beside(env)})


def _shapes(env: DexScrewRealEnv) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an environment's observation, by key."""
    space = env.observation_space
    assert isinstance(space, gymnasium.spaces.Dict)
    return {key: tuple(inner.shape or ()) for key, inner in space.spaces.items()}


def _beside(env: DexScrewRealEnv) -> dict[str, NDArray[Any]]:
    """Return the fields of a data set that an observation of the environment lacks."""
    return {
        "held_hand": env.safety.hand_target, "held_arm": env.safety.arm_target,
        "resultant": env.reading.hand.resultant,
    }  # fmt: skip


class Direct:
    """A finger skill with the arm still: what it learned in simulation, as it is.

    Args:
        skill: a policy that needs only what a robot measures.
        name: in tables and files.
    """

    def __init__(self, skill: policies.StoredPolicy, name: str = DIRECT) -> None:
        self._skill = skill
        self.name, self.task = name, skill.task

    def reset(self, env: DexScrewRealEnv) -> None:
        """See `RobotPolicy.reset`."""
        self._skill.check_task(env.task)
        self._skill.check(_shapes(env))
        self._skill.reset()
        self._arm = env.safety.arm_target.copy()

    def act(self, env: DexScrewRealEnv, observation: Observation) -> tuple[Vector, Vector]:
        """See `RobotPolicy.act`."""
        batch = {key: torch.from_numpy(observation[key])[None] for key in self._skill.observe}
        return env.skill_targets(self._skill.act(batch)[0].numpy()), self._arm


def load_robot_policy(name: str, task: str) -> RobotPolicy:
    """Return a policy by what a command line calls it.

    Args:
        name: `direct`, the task's student with the arm still; the name of another skill, or `direct:POLICY`, which
            may be a file; `replay:FOLDER:NUMBER`, a recorded episode; or the name or the file of a clone.
        task: that it is for.

    Raises:
        ValueError: there is no such policy, or it is for another task; the message says what would be right.
        FileNotFoundError: there is no such file.
    """
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; choose from {', '.join(TASKS)}")
    kind, _, rest = name.partition(":")
    found: RobotPolicy
    if kind == DIRECT:
        found = Direct(load_skill(rest or student_of(task)), name)
    elif name in policies.shipped():
        found = Direct(load_skill(name), name)
    elif kind == REPLAY:
        folder, _, number = rest.rpartition(":")
        if not folder or not number.isdecimal():
            raise ValueError(
                f"a recorded episode is given as replay:FOLDER:NUMBER, such as replay:demos:3, got {name!r}"
            )
        found = FromFields(load_replay(Path(folder), int(number)))
    else:
        _check_known(name)
        found = FromFields(clones.load(name))
    if found.task != task:
        raise ValueError(f"{name} was made for the task {found.task!r}, not {task!r}")
    return found


def _check_known(name: str) -> None:
    """Refuse what is neither the name of a clone nor looks like a file, with what may have been meant."""
    if name in clones.shipped() or Path(name).suffix or Path(name).is_file():
        return
    students = [skill for skill in policies.shipped() if skill.endswith("-student")]
    known = (DIRECT, *students, *clones.shipped())
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"unknown policy {name!r}{hint}; choose from {', '.join(known)}, or give replay:FOLDER:NUMBER or the path of a "
        "clone's file, such as runs/nut-bc/policy.pt"
    )
