"""Play a task in a window: watch a policy turn the nut, push the nut, and give it another shape.

`python -m baselines.play --policy nut-student`
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gymnasium
import mujoco
import numpy as np
import torch
from torch import Tensor

from baselines import policies
from baselines.evaluate import conditions
from dexscrew_envs import ambient, program
from dexscrew_envs.hands import load_hand
from dexscrew_envs.mdp.rewards import TERMS
from dexscrew_envs.mdp.terminations import TerminationReason
from dexscrew_envs.program import Status
from dexscrew_envs.scene import NUT_JOINT
from dexscrew_envs.sim.mujoco import MujocoSimulator
from dexscrew_envs.tasks import make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv
from dexscrew_envs.window import Window

KEYS: Mapping[str, str] = {
    "space": "pause, or go on",
    "r": "begin anew (or backspace)",
    "s": "next shape",
    "p": "push the nut back",
    "n": "noise on or off",
}
"""Names of the keys, and what they do."""
_LETTERS = [name for name in KEYS if len(name) == 1]
_CODES = {32: "space", 259: "r", **{ord(letter.upper()): letter for letter in _LETTERS}}
"""The keys by their codes in GLFW."""

_PUSH_TORQUE = 0.1
"""Torque of a push (N m): fingers on the nut give way by some degrees, a free nut turns back by a turn or two."""
_PUSH_STEPS = 2
"""Control steps for which a push acts: 0.1 s."""
_MEAN_STEPS = 20
"""Control steps over which the shown reward is averaged: 1 s."""
_MOST_STEPS = 10
"""Control steps between two pictures at most: slow drawing does not slow the hand, unless it takes longer (0.5 s)."""


class Still:
    """A policy that leaves the targets of all joints where they are; see `Policy`."""

    observe: tuple[str, ...] = ("proprio",)

    def __init__(self, task: str, **task_fields: Any) -> None:
        self.task, self.task_fields = task, task_fields

    def reset(self, mask: Tensor | None = None) -> None:
        """Begin new episodes; there is nothing to forget."""

    def act(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Return actions (N, A) of zero."""
        proprio = observation["proprio"]
        return torch.zeros(len(proprio), proprio.shape[2] // 2)


class Player:
    """One environment, the policy that plays it, and what keys do to both. It knows no window.

    Args:
        policy: acts on the observations.
        shape: shape of the nut to begin with; by default the first that the policy was trained with.
        seed: of the episodes.

    Raises:
        ValueError: the task has no such shape, the seed is negative, or the policy's actions mean something else in
            the task.
    """

    def __init__(self, policy: policies.Policy, shape: str = "", seed: int = 0) -> None:
        task = make_task(policy.task, **{**policy.task_fields, **({"shape": shape} if shape else {})})
        if isinstance(policy, policies.StoredPolicy):  # others, such as `Still`, say nothing of what actions mean
            policy.check_task(task)
        self.policy, self._every_shape = policy, task.shapes
        self.env = DexScrewVectorEnv(
            policy.task, observe=policy.observe, num_threads=1, autoreset=False, **self._fields(noise=True)
        )
        assert isinstance(self.env.sim, MujocoSimulator)
        self._batch = self.env.sim.batch
        self.model, self.data = self.env.sim.render_state(0)
        self._nut, self._joint = self.model.body("nut").id, self.model.joint(NUT_JOINT).id
        bank, variants = self.env.sim.start_states, self.env.sim.scene.variants
        self.shapes = tuple(variants.shapes[k] for k in np.unique(variants.shape[bank.variant]))
        """The shapes that an episode can begin with."""
        self.shape = task.sampled_shapes[0]
        if self.shape not in self.shapes:
            raise ValueError(f"no episode can begin with {self.shape!r}; choose from {', '.join(self.shapes)}")
        self.paused, self.noise = False, True
        self.news = ""
        """How the last episode ended."""
        self._recent: deque[dict[str, float]] = deque(maxlen=_MEAN_STEPS)
        self._seed: int | None = seed
        self.begin()

    def begin(self) -> None:
        """Begin an episode with a nut of the chosen shape."""
        while True:  # a reset draws the shape together with the start
            self._observation, _ = self.env.reset(seed=self._seed)
            self._seed = None
            self.mirror()
            if self.model.mesh(self.model.geom("nut_0").dataid[0]).name.startswith(f"{self.shape}_"):
                break
        self.policy.reset(None)
        self.steps, self.turns, self._push_left = 0, 0.0, 0
        self._recent.clear()

    def press(self, code: int) -> None:
        """Do what a key stands for, given its code in GLFW; one that stands for nothing does nothing."""
        match _CODES.get(code):
            case "space":
                self.paused = not self.paused
            case "r":
                self.begin()
            case "s":
                self.shape = self.shapes[(self.shapes.index(self.shape) + 1) % len(self.shapes)]
                self.begin()
            case "p":
                self._push_left = _PUSH_STEPS
            case "n":
                self.noise = not self.noise
                # The environment reads these fields at every step, and what it draws for an episode at its beginning.
                self.env.task = make_task(self.policy.task, **self._fields(noise=self.noise))
                self.begin()

    @ambient.plain(threads=1)  # the others would wait for those that draw
    def step(self) -> str:
        """Advance by a control step (50 ms), unless paused; return how the episode ended, if it did."""
        if self.paused:
            return ""
        self._push()
        action = self.policy.act(self._observation)
        self._observation, _, terminated, truncated, infos = self.env.step(action)
        self.steps += 1
        self.turns = round(infos["rotations"].item(), 2) + 0.0  # no minus before a zero
        self._recent.append({name: term.item() for name, term in infos["reward_terms"].items()})
        if not (terminated | truncated).any():
            return ""
        reason = TerminationReason(infos["reason"].item()).name.lower().replace("_", " ")
        self.news = f"{self.turns:.1f} turns in {self.seconds:.1f} s, ended by {reason}"
        self.begin()
        return self.news

    @property
    def terms(self) -> dict[str, float]:
        """The terms of the reward, means over the last second."""
        return {name: sum(terms[name] for terms in self._recent) / max(1, len(self._recent)) for name in TERMS}

    @property
    def seconds(self) -> float:
        """Time since the episode began (s)."""
        return self.steps * self.env.task.control_dt

    def mirror(self) -> None:
        """Bring `model` and `data` up to date, which are what is drawn."""
        self._batch.get_model(0, self.model)
        self._batch.get_data(0, self.data)
        mujoco.mj_forward(self.model, self.data)

    def _fields(self, *, noise: bool) -> dict[str, Any]:
        """Return the fields of the policy's task in which it plays: with every shape, and with noise or without."""
        factor = float(noise)
        return conditions(self.policy, randomize=True, noise=factor, push=factor, fields={"shape": self._every_shape})

    def _push(self) -> None:
        """Turn the nut against the hand, while a push lasts."""
        torque = 0.0
        if self._push_left:
            self._push_left -= 1
            torque = -_PUSH_TORQUE
        self._batch.xfrc_applied[0, self._nut, 3:] = torque * self.data.xaxis[self._joint]


def texts(player: Player, title: str) -> list[tuple[int, int, str, str]]:
    """Return what is written over the picture: font, place, names and their values, for the viewer's `set_texts`."""
    terms = player.terms
    rows = {
        "policy": title,
        "shape": player.shape,
        "noise": "on" if player.noise else "off",
        "time": f"{player.seconds:.1f} s",
        "turns": f"{player.turns:.2f}",
        "reward": f"{sum(terms.values()):+.2f}",
        **{f"  {name}": f"{value:+.2f}" for name, value in terms.items()},
    }
    font, place = mujoco.mjtFont, mujoco.mjtGridPos
    found = [
        (font.mjFONT_NORMAL, place.mjGRID_TOPLEFT, "\n".join(rows), "\n".join(rows.values())),
        (font.mjFONT_NORMAL, place.mjGRID_BOTTOMLEFT, "\n".join(KEYS), "\n".join(KEYS.values())),
    ]
    if player.paused:
        found.append((font.mjFONT_BIG, place.mjGRID_TOPRIGHT, "paused", ""))
    if player.news:
        found.append((font.mjFONT_NORMAL, place.mjGRID_BOTTOMRIGHT, "last episode", player.news))
    return found


def play(player: Player, title: str, seconds: float = math.inf) -> None:
    """Play in a window at real speed, until that is closed or for some time.

    Args:
        player: what is played.
        title: name of the policy.
        seconds: how long (s).

    Raises:
        gymnasium.error.DependencyNotInstalled: there is no display; the message says why.
    """
    with Window(player.model, player.data, player.mirror, "".join(_LETTERS)) as window:
        for key, what in KEYS.items():
            print(f"{key:>5}  {what}", flush=True)
        period = player.env.task.control_dt
        began = due = time.monotonic()
        while window.is_open and time.monotonic() - began < seconds:
            for code in window.pressed():
                player.press(code)
            steps = min(_MOST_STEPS, 1 + int((time.monotonic() - due) / period))
            for news in filter(None, (player.step() for _ in range(steps))):
                print(news, flush=True)
            window.show(texts(player, title))
            due = max(due + steps * period, time.monotonic() - _MOST_STEPS * period)
            time.sleep(max(0.0, due - time.monotonic()))


@dataclass(kw_only=True)
class Args:
    """Watch a policy in a window, at real speed; the keys that do something are printed and shown."""

    policy: str = ""
    """Name of a shipped policy, the path of a policy file, or none, with which the hand holds still; by default the
    task's student."""
    task: str = ""
    """Task, such as nut or screwdriver; by default the policy's own, which it must be, and without a policy nut."""
    hand: str = ""
    """File that makes the policy's hand, if that is one of your own; see docs/extend.md."""
    shape: str = ""
    """Shape to begin with; of a nut triangle, square, hexagon, cross; of a handle octagon, dodecagon, spheres."""
    seed: int = 0
    """Seed of the episodes."""
    seconds: float | None = None
    """Time after which it ends by itself (s); by default it ends when the window is closed."""


def load(args: Args) -> policies.Policy:
    """Return the policy that the arguments ask for.

    Raises:
        ValueError: there is no such policy, or it is for another task or hand; the message says what would be right.
    """
    if args.task:
        make_task(args.task)  # which says what it may be
    if args.policy == "none":
        return Still(args.task or "nut", **({"hand": load_hand(args.hand).name} if args.hand else {}))
    name = args.policy or f"{args.task or 'nut'}-student"
    policy = policies.load(name, args.hand)
    if args.task not in ("", policy.task):
        raise ValueError(f"{name} was trained for the task {policy.task!r}, not {args.task!r}")
    return policy


def _play(args: Args) -> int:
    if args.seconds is not None and not args.seconds > 0:
        raise ValueError(f"--seconds must be positive, got {args.seconds}")
    player = Player(load(args), args.shape, args.seed)
    with closing(player.env):
        try:
            play(player, args.policy or f"{player.policy.task}-student", args.seconds or math.inf)
        except gymnasium.error.DependencyNotInstalled as error:
            instead = "`python -m baselines.evaluate --video` needs none"
            raise gymnasium.error.DependencyNotInstalled(f"{error}; {instead}") from None
    return Status.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("baselines.play", Args, _play, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
