"""A clone acts on twins, and what skill and operator would have done is recorded beside it: the labels of DAgger.

A clone errs, so it meets states that no demonstration has (Ross et al., 2011). On a twin the right answer to them is
free: the skill gives it for the fingers, and an operator without a person's delay and errors for the wrist.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from baselines.bc.features import REST_STEPS
from baselines.data.folder import FolderError, numbered
from baselines.data.reader import Demonstrations
from baselines.data.writer import Recorder
from real.env import DexScrewRealEnv, Observation
from real.hand_poses import SQUEEZE
from real.kinematics import forward, inverse, matrix_to_pose, pose_to_matrix
from real.robot import RobotError, Vector
from real.robot_policies import load_robot_policy
from real.teleop.collect import Collected, collect, run_episode
from real.teleop.finger_skill import Noise
from real.teleop.operator import Orders, Scene
from real.teleop.setup import Setup, policy_digest, recorded_fields
from real.teleop.strokes import MIDDLE, SWEEP, Strokes, opening
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
LATE = 6
"""Control steps after which the tutor acts on how far the hand is open, about a person's delay. Without it a stroke
would open the hand by 3 cm, where those of the demonstrations open it by 9, and some nuts turn by wide strokes only."""
_GAIN = 2.0
"""Speed of the tutor's wrist for its distance from where it should be (1/s)."""
_SPEED = 0.02
"""Its largest speed (m/s), that of the scripted operator."""
_TURN_GAIN, _TURN_SPEED = 1.0, 0.1
"""The same of its turning (1/s, rad/s)."""
_RETURN = 0.5
"""What its vertical speed grows by for each distance beyond the sweep of its strokes (1/s)."""
_STANDSTILL = 0.05
"""Turns in `_WATCHED` below which it searches for a place where the fingers turn the object again."""
_WATCHED = 40
"""Control steps."""
_RADIUS = 0.004
"""Radius of the circle in which it searches (m), the largest of the scripted operator's nudges."""
_CIRCLING = 1.0
"""Angular speed on that circle (rad/s)."""


class Tutor:
    """An operator that sees at once and exactly, and answers from wherever the wrist is.

    An object that stays where it is, such as a nut, it works by strokes, over the place where the episode began. Only
    how far the hand is open it sees late, as a person does.
    Another, such as a driver, it follows down and never lets go of: when nothing turns it leads the wrist in a circle
    beside where the episode began, and stays where things turn again. The circle goes on from wherever the wrist is, so
    what it does can be told from what a clone sees.

    Args:
        stays: whether the object stays where it is when the hand lets go of it.
    """

    name = "tutor"

    def __init__(self, *, stays: bool = False) -> None:
        self._strokes = Strokes() if stays else None
        self._reference: Vector | None = None
        """(3,) of the wrist as the episode began, its height over the grip point of the object (m)."""
        self._rotation: Vector = np.eye(3)
        """(3, 3) of the wrist then."""
        self._apart: deque[float] = deque(maxlen=LATE + 1)
        """Distances of the fingertips from the thumb's, the newest last (m)."""
        self._closed = 0.0
        """That distance as the episode began (m)."""
        self._turns: deque[float] = deque(maxlen=_WATCHED)

    def start(self) -> None:
        """See `Operator.start`."""

    def close(self) -> None:
        """See `Operator.close`."""

    def orders(self, scene: Scene) -> Orders:
        """See `Operator.orders`."""
        if scene.ended:
            return Orders(mark="success" if scene.finished else "failure")
        skill = scene.time >= REST_STEPS * 0.05
        if scene.sight is None:
            return Orders(skill=skill)
        # Over the object as it goes down, but not to where a driver leans: that would make it lean further.
        here = scene.wrist[:3] - (0.0, 0.0, scene.sight.grip[2])
        if self._reference is None:
            self._reference, self._rotation = here, pose_to_matrix(scene.wrist)[:3, :3]
            self._closed = opening(scene)
        self._apart.append(opening(scene))
        away = here - self._reference
        if self._strokes is not None:
            return self._by_strokes(self._strokes, scene, away) if skill else Orders()
        speed = -_GAIN * away
        if self._stands_still(scene, skill):
            speed[:2] = _circle(away[:2])
        else:  # inside of the circle one place is as good as another, as long as something turns there
            speed[:2] *= max(0.0, 1.0 - _RADIUS / max(float(np.linalg.norm(away[:2])), 1e-9))
        return Orders(skill=skill, nudge=np.concatenate([speed.clip(-_SPEED, _SPEED), np.zeros(3)]))

    def _by_strokes(self, strokes: Strokes, scene: Scene, away: Vector) -> Orders:
        """Return what working by strokes wants, with the wrist brought back to its place and direction of the start."""
        orders = strokes.orders(float(away[2]), self._apart[0] - self._closed)
        turned = np.eye(4)
        turned[:3, :3] = self._rotation @ pose_to_matrix(scene.wrist)[:3, :3].T
        nudge = orders.nudge.copy()
        nudge[:2] = -_GAIN * away[:2]
        nudge[2] -= _RETURN * (away[2] - away[2].clip(MIDDLE - SWEEP, MIDDLE + SWEEP))
        nudge[:3] = nudge[:3].clip(-_SPEED, _SPEED)
        nudge[3:] = (_TURN_GAIN * matrix_to_pose(turned)[3:]).clip(-_TURN_SPEED, _TURN_SPEED)
        return replace(orders, nudge=nudge)

    def _stands_still(self, scene: Scene, skill: bool) -> bool:
        """Return whether the skill ran for long enough and nothing turned."""
        if not skill or scene.turns is None:
            return False
        self._turns.append(scene.turns)
        return len(self._turns) == _WATCHED and self._turns[-1] - self._turns[0] < _STANDSTILL


def _circle(away: Vector) -> Vector:
    """Return the velocity (2,) (m/s) that leads from beside the start (2,) (m) onto the circle and around."""
    distance = float(np.linalg.norm(away))
    outward = away / distance if distance > 1e-4 else np.array([1.0, 0.0])
    around = np.array([-outward[1], outward[0]])
    return _CIRCLING * (max(distance, 0.001) * around + (_RADIUS - distance) * outward)


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
    return replace(found, extras=about)


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


def relabel(
    clone: Path, out: Path, *, task: str, skill: str, stratum: str, shapes: Sequence[str], episodes: int, seed: int,
    processes: int = 0,
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

    Raises:
        FolderError: the folder has labels of another clone, or of another version.
        ValueError: there is no such skill, shape or stratum, or the clone does not fit.
    """
    seconds = OBJECTS[task].seconds if task in OBJECTS else None  # what a clone does after a trial's time nobody asks
    setup = Setup(task=task, policy=skill, stratum=stratum, shape=shapes[0], seconds=seconds)
    env = setup.make_env()
    try:
        header, fields = setup.header(env, Tutor.name), recorded_fields(env)
    finally:
        env.close()
    jobs = [(shapes[k % len(shapes)], seed + k) for k in range(episodes)]
    about = {
        "actor": clone.parent.name, "actor_sha256": policy_digest(str(clone)),
        "sharing": {"share": SHARE, "alone": ALONE, "drift": DRIFT, "late": LATE, "squeeze": SQUEEZE},
    }  # fmt: skip
    _check_actor(out, about)
    with Recorder(out, header, fields) as recorder:
        for _ in collect(setup, recorder, jobs, partial(_episode, str(clone), about), processes=processes):
            pass
