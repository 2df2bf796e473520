"""Replay a recorded episode: the targets that were sent then are sent again, whatever happens now.

`python -m baselines.replay --data demos --episode 3`
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from baselines.data.reader import Demonstrations, Episode
from baselines.progress import Progress
from dexscrew_envs import program
from dexscrew_envs.program import Status
from dexscrew_envs.tasks import TASKS

Vector = NDArray[np.float64]
_ARM_JOINTS = 6
_ARRIVED = 1e-3
"""Distance of all targets to those of the start below which the replay begins (rad)."""
_LONGEST_WAY = 100
"""Control steps after which it begins in any case: what is out of reach stays so."""


class ReplayPolicy:
    """Goes to where an episode began, sends what was sent in it, and then holds.

    Args:
        episode: with the fields `sent_hand` and `sent_arm`.
        name: in tables and files.

    Raises:
        ValueError: the episode lacks a field or has no steps, is of another arm, or has a target that is not finite.
    """

    def __init__(self, episode: Episode, name: str = "replay") -> None:
        for field in ("held_hand", "held_arm", "sent_hand", "sent_arm"):
            if field not in episode.fields:
                raise ValueError(f"{episode.path} has no field {field!r}, which a replay needs")
        if not len(episode):
            raise ValueError(f"{episode.path} has no steps; replay another")
        if (arm := episode.fields["sent_arm"].shape) != (_ARM_JOINTS,):
            raise ValueError(f"{episode.path} has an arm of {arm[0]} joints, and the robot's has {_ARM_JOINTS}")
        self.name, self.task = name, episode.header.task
        self._header = episode.header
        self._start = np.concatenate([episode["held_hand"][0], episode["held_arm"][0]], dtype=float)
        self._targets = np.concatenate([episode["sent_hand"], episode["sent_arm"]], -1).astype(float)
        if not np.isfinite(self._targets).all():
            row = int(np.argmin(np.isfinite(self._targets).all(-1)))
            raise ValueError(f"{episode.path} has a target in step {row} that is not finite; replay another")
        self._joints = episode.fields["sent_hand"].shape[0]
        self.reset()

    def check(self, hand: str, joints: Sequence[str], shapes: Mapping[str, tuple[int, ...]], period: float) -> None:
        """Raise ValueError unless the episode was recorded on such a hand, at this period (s)."""
        ours = (self._header.hand, list(self._header.joints), round(1 / self._header.period, 6))
        theirs = (hand, list(joints), round(1 / period, 6))
        for what, there, here in zip(("hand", "joints", "rate (Hz)"), ours, theirs, strict=True):
            if there != here:
                raise ValueError(f"{self.name} was recorded with the {what} {there}, and here it is {here}")

    def reset(self) -> None:
        """Begin anew."""
        self._row, self._way = -1, 0

    @property
    def finished(self) -> bool:
        """Whether all was sent."""
        return self._row == len(self._targets) - 1

    def act(self, step: Mapping[str, NDArray[Any]]) -> tuple[Vector, Vector]:
        """Return targets of the hand (J,) and of the arm (6,) (rad), given the targets that stand."""
        if self._row < 0:
            held = np.concatenate([step["held_hand"], step["held_arm"]])
            if np.abs(held - self._start).max() > _ARRIVED and self._way < _LONGEST_WAY:
                self._way += 1
                return self._start[: self._joints], self._start[self._joints :]
        self._row = min(self._row + 1, len(self._targets) - 1)
        target = self._targets[self._row]
        return target[: self._joints], target[self._joints :]


def load_replay(folder: Path, number: int) -> ReplayPolicy:
    """Return the replay of an episode.

    Raises:
        FolderError: the folder is no data set.
        ValueError: it has no such episode, or that lacks a field.
    """
    try:
        episode = Demonstrations(folder).episode(number)
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    return ReplayPolicy(episode, f"replay:{folder.name}:{number}")


@dataclass(kw_only=True)
class Args:
    """Replay an episode on a twin in this process; on other twins and robots, see benchmark.real_eval."""

    data: Path
    """Folder of the demonstrations."""
    episode: int
    """Number of the episode."""
    seed: int | None = None
    """Seed of the twin's trial; by default the episode's own, which gives the same twin, of its stratum."""
    shape: str | None = None
    """Shape of the nut or handle; by default the episode's own."""


def _run(args: Args) -> int:
    policy = load_replay(args.data, args.episode)
    episode = Demonstrations(args.data).episode(args.episode)
    header, outcome = episode.header, episode.outcome
    seed = header.seed if args.seed is None else args.seed
    if seed is None:
        raise ValueError(f"{episode.path} was recorded without a seed; give one with --seed")
    known = [name for name, task in TASKS.items() if task.on_robot]
    if header.task not in known:
        raise ValueError(f"{episode.path} is of the task {header.task!r}; a twin replays {' and '.join(known)}")
    made = gymnasium.make(
        f"DexScrew-{header.task.capitalize()}Real-v0", action="full", shape=args.shape or header.shape or None,
        robot=f"twin:{header.stratum}" if header.stratum else "twin", episode_steps=len(episode) + _LONGEST_WAY,
        disable_env_checker=True,
    )  # fmt: skip
    with closing(made):
        env: Any = made.unwrapped
        policy.check(env.task.hand.name, env.task.hand.joints, {}, env.task.control_dt)
        _, info = env.reset(seed=seed)
        ended = False
        with Progress(total=len(episode), desc="replaying", unit="step", leave=False) as bar:
            while not ended:
                held = {"held_hand": env.safety.hand_target, "held_arm": env.safety.arm_target}
                _, _, terminated, truncated, info = env.step(np.concatenate(policy.act(held)))
                ended = terminated or truncated or policy.finished
                bar.update()
    turns = info["rotations"]
    rows = [
        ("turns", "not measured" if math.isnan(turns) else f"{turns:.2f}"),
        ("turns in the recording", "not measured" if outcome.turns is None else f"{outcome.turns:.2f}"),
        ("ended by", info["trip"] or info.get("lost") or ("finished" if info.get("finished") else "end of the replay")),
        ("seed", seed),
    ]  # fmt: skip
    print(tabulate(rows, disable_numparse=True))
    return Status.STOPPED if info["trip"] else Status.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 3 if the safety layer stopped the twin."""
    return program.main("baselines.replay", Args, _run, argv, __doc__, follow_parent=True)


if __name__ == "__main__":
    sys.exit(main())
