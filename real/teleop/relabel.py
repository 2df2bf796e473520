"""A clone acts on twins, and what skill and operator would have done is recorded beside it: the labels of DAgger.

A clone errs, so it meets states that no demonstration has (Ross et al., 2011). On a twin the right answer to them is
free: the skill gives it for the fingers, and an operator without a person's delay and errors for the wrist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from baselines.data.folder import FolderError, differences, numbered
from baselines.data.header import Header
from baselines.data.reader import Demonstrations
from baselines.data.schema import Fields
from baselines.data.writer import Recorder
from real.env import DexScrewRealEnv, Observation
from real.hand_poses import SQUEEZE
from real.kinematics import forward, inverse
from real.robot import RobotError, Vector
from real.robot_policies import load_robot_policy
from real.skill import load_skill
from real.teleop.collect import Collected, collect, run_episode
from real.teleop.finger_skill import Noise
from real.teleop.setup import Setup, policy_digest, recorded_fields
from real.teleop.tutor import LATE, Tutor
from real.twin.objects import OBJECTS

SPELL = 100
"""Control steps for which one of them acts before it is drawn anew who does."""
SHARE = 0.75
"""Share of the spells in which the clone acts. The rest keeps its errors from ending every episode early."""
ALONE = 0.5
"""Share of the episodes in which the clone acts alone, since one that is helped now and then is never lost for long."""
DRIFT = 0.003
"""Largest speed at which the wrist goes up or down besides while a clone that is not alone acts on an object that stays
(m/s). How high the hand is over a nut shows in time only, and a clone that was never far above or below it does not
find back."""


class Shared:
    """A policy of hand and arm that acts in some spells of an episode, drawn at random.

    Args:
        policy: name or file of the policy.
        task: that it is for.
        seed: of the draws.
        share: of the spells.
        drift: largest speed at which the wrist goes up or down besides in a spell (m/s).
    """

    def __init__(self, policy: str, task: str, seed: int, *, share: float = SHARE, drift: float = 0.0) -> None:
        self._policy, self._share = load_robot_policy(policy, task), share
        self._rng, self._drifts = np.random.default_rng([seed, 0xDA66]), np.random.default_rng([seed, 0xD21F])
        self._steps, self._acts = 0, True
        self._largest = self._drift = drift

    def reset(self, env: DexScrewRealEnv) -> None:
        """See `Actor.reset`."""
        self._policy.reset(env)

    def act(self, env: DexScrewRealEnv, observation: Observation) -> tuple[Vector, Vector] | None:
        """See `Actor.act`."""
        targets = self._policy.act(env, observation)  # also when it does not count, for its history
        if self._steps % SPELL == 0:
            self._acts = self._rng.random() < self._share
            self._drift = self._largest * self._drifts.uniform(-1.0, 1.0)
        self._steps += 1
        if not self._acts:
            return None
        hand, arm = targets
        return hand, _raised(arm, self._drift * env.task.control_dt)


def _raised(arm: Vector, height: float) -> Vector:
    """Return joint targets of the arm (6,) (rad) that are higher (m), or the same where it does not reach further."""
    pose = forward(arm)
    pose[2] += height
    try:
        return inverse(pose, arm) if height else arm
    except RobotError:
        return arm


def _episode(policy: str, about: dict[str, Any], setup: Setup, seed: int) -> Collected:
    stays = OBJECTS[setup.task].stays
    if np.random.default_rng([seed, 0xA10E]).random() < ALONE:
        actor = Shared(policy, setup.task, seed, share=1.0)
    else:
        actor = Shared(policy, setup.task, seed, drift=DRIFT if stays else 0.0)
    found = run_episode(setup, seed, Tutor(stays=stays), Noise(), actor)
    return replace(found, extras=about | setup.extras)


def _check_actor(folder: Path, about: dict[str, Any]) -> None:
    """Raise FolderError if a folder has labels of another clone, or of one that acted by other rules."""
    if not folder.is_dir() or not numbered(folder):
        return
    for episode in Demonstrations(folder):
        if any(episode.header.extras.get(name) != value for name, value in about.items()):
            raise FolderError(
                f"{folder} has labels of another clone, or of one that acted by the rules of another version; remove "
                "it, or train in another --folder"
            )


def _recorded(setup: Setup) -> tuple[Header, Fields]:
    """Return header and fields of the labels."""
    env = setup.make_env()
    try:
        return setup.header(env, Tutor.name), recorded_fields(env)
    finally:
        env.close()


def check(
    header: Header, fields: Fields, *, skill: str, stratum: str, shapes: Sequence[str], press: float = 0.0
) -> None:
    """Refuse demonstrations that `relabel` cannot label, before a clone is trained on them.

    Args:
        header: of a demonstration.
        fields: of its steps.
        skill: policy that labels the fingers: a name or a file.
        stratum: of the demonstrations.
        shapes: of all of them.
        press: as `relabel` takes it.

    Raises:
        ValueError: the twin has no such task, shape or stratum, there is no such skill, or labels of the twin would
            not be of the same kind as the demonstrations.
        FileNotFoundError: there is no such file of a skill.
    """
    if header.task not in OBJECTS:
        raise ValueError(f"the twin has no task {header.task!r}, as these data have; it knows {', '.join(OBJECTS)}")
    known = OBJECTS[header.task].shapes
    if unknown := ", ".join(repr(shape) for shape in shapes if shape not in known):
        raise ValueError(
            f"the twin has no {header.task} of the shape {unknown}, as these data have; it knows {', '.join(known)}"
        )
    load_skill(skill)
    ours = _recorded(Setup(task=header.task, policy=skill, stratum=stratum, shape=shapes[0], press=press))
    if differing := differences(header, fields, *ours):
        raise ValueError(
            f"a clone cannot learn from these data and from labels of the twin together, which differ: "
            f"{'; '.join(differing)}"
        )


def relabel(
    clone: Path, out: Path, *, task: str, skill: str, stratum: str, shapes: Sequence[str], episodes: int, seed: int,
    processes: int = 0, press: float = 0.0,
) -> None:  # fmt: skip
    """Record a clone's episodes with the right answers, but for those that the folder has already.

    Args:
        clone: file of the clone.
        out: folder of the data set.
        task: of the clone.
        skill: policy that labels the fingers: a name or a file.
        stratum: of the twins.
        shapes: of the objects; the episodes take turns.
        episodes: how many the folder should have in the end.
        seed: of the first; the others follow.
        processes: that run side by side; 0 takes all CPUs.
        press: how much further than the skill wants the fingers close while it runs (rad), as in the demonstrations.

    Raises:
        FolderError: the folder has labels of another clone, or of another version.
        ValueError: there is no such skill, shape or stratum, or the clone does not fit.
    """
    seconds = OBJECTS[task].seconds if task in OBJECTS else None  # what a clone does after a trial's time nobody asks
    setup = Setup(task=task, policy=skill, stratum=stratum, shape=shapes[0], seconds=seconds, press=press)
    header, fields = _recorded(setup)
    jobs = [(shapes[k % len(shapes)], seed + k) for k in range(episodes)]
    about = {
        "actor": clone.parent.name, "actor_sha256": policy_digest(str(clone)),
        "sharing": {"share": SHARE, "alone": ALONE, "drift": DRIFT, "late": LATE, "squeeze": SQUEEZE},
    }  # fmt: skip
    _check_actor(out, about)
    with Recorder(out, header, fields) as recorder:
        for _ in collect(setup, recorder, jobs, partial(_episode, str(clone), about), processes=processes):
            pass


relabel.check = check  # type: ignore[attr-defined]  # what `--dagger` asks first, see `baselines.bc.dagger.ENTRY_POINTS`
