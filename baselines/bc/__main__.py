"""Clone demonstrations: joint targets of hand and arm, with touch and history.

`python -m baselines.bc --data demos --folder runs/nut-bc`
`python -m baselines.bc --data demos --no-tactile --history 1 --folder runs/nut-bc-blind`
`python -m baselines.bc --data demos --preset paper --folder runs/nut-bc-paper`
`python -m baselines.bc --data demos --dagger 2 --folder runs/nut-bc-dagger`
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from baselines.bc.dagger import Relabelling, train_in_rounds
from baselines.bc.design import PRESETS, Design
from baselines.bc.learner import Training
from baselines.bc.training import train
from dexscrew_envs import program

_MOST_THREADS = 256


@dataclass(kw_only=True)
class Args:
    """Train a clone on data sets; an interrupted training goes on by the same command."""

    data: tuple[Path, ...]
    """Folders of demonstrations, of one task and hand."""
    labels: tuple[Path, ...] = ()
    """Labels of clones to learn from as well, such as runs/nut-bc/labels-1 of an earlier training with --dagger."""
    folder: Path | None = None
    """Run folder; by default runs/bc-<preset>-<seed>. A run that was interrupted there goes on."""
    preset: Literal["default", "hourglass", "paper"] = "default"
    """Design: our default, the same with a small hourglass, or the paper's, which needs hours even on a GPU."""
    tactile: bool = True
    """Whether it feels."""
    history: int | None = None
    """Control steps that it sees, such as 1, 5 or 30; by default the preset's."""
    touch_history: int | None = None
    """Control steps of touch that it sees, at most `history`; by default the preset's."""
    targets: Literal["increments", "absolute"] | None = None
    """What it predicts: motion from the targets that stand, or targets; by default the preset's."""
    held: bool | None = None
    """Whether it sees the targets that stand; by default the preset's."""
    touch: Literal["statistics", "taxels"] | None = None
    """What it feels: a few numbers of each fingertip, or all taxels; by default the preset's."""
    decay: float | None = None
    """The loss weighs the target h steps ahead by decay^h; by default the preset's."""
    execute: int | None = None
    """Steps of a chunk that are taken before the next; by default the preset's."""
    progress: float = 0.7
    """Least share of the turns needed that an episode must have made to be learned from; 0 takes all."""
    pauses: bool = False
    """Learn also from steps in which the finger skill was off."""
    validation: float = 0.1
    """Share of the episodes to validate on, at least one."""
    steps: int = 6000
    """Steps of the optimiser."""
    batch_size: int = 512
    """Windows of a step."""
    learning_rate: float = 1e-3
    """Largest learning rate of AdamW; it rises at first, then falls to zero as a cosine."""
    weight_decay: float = 0.01
    """Of AdamW."""
    average: float = 0.999
    """Decay of the moving average of the weights, which becomes the policy."""
    dagger: int = 0
    """Rounds in which the clone acts on twins, skill and operator label what it did, and it learns anew from all."""
    dagger_episodes: int = 40
    """Episodes of a round."""
    skill: str = ""
    """Policy that labels the fingers in those rounds: a name or a file; by default that of the demonstrations."""
    seed: int = 0
    """Seed of network, batches and split."""
    threads: int = 0
    """Threads; 0 takes all."""


def _design(args: Args) -> Design:
    given: dict[str, Any] = {
        name: getattr(args, name)
        for name in ("history", "touch_history", "targets", "held", "touch", "decay", "execute")
        if getattr(args, name) is not None
    }
    return replace(PRESETS[args.preset], tactile=args.tactile, **given)


def _run(args: Args, command: Sequence[str]) -> int:
    if args.threads > (most := max(_MOST_THREADS, os.cpu_count() or 1)):
        raise ValueError(f"threads must be at most {most}, got {args.threads}")
    training = Training(
        data=args.data, labels=args.labels, folder=args.folder or Path("runs") / f"bc-{args.preset}-{args.seed}",
        seed=args.seed, progress=args.progress, pauses=args.pauses, validation=args.validation, steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate, weight_decay=args.weight_decay, average=args.average, threads=args.threads,
    )  # fmt: skip
    if args.dagger < 0:
        raise ValueError(f"dagger must be a number of rounds that is not negative, got {args.dagger}")
    if args.skill and not args.dagger:
        raise ValueError("--skill labels the fingers in the rounds of --dagger; give their number, such as --dagger 2")
    if not args.dagger:
        return train(_design(args), training, command)
    relabelling = Relabelling(rounds=args.dagger, episodes=args.dagger_episodes, skill=args.skill)
    return train_in_rounds(_design(args), training, relabelling, command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    command = ["python", "-m", "baselines.bc", *(sys.argv[1:] if argv is None else argv)]
    return program.main("baselines.bc", Args, lambda args: _run(args, command), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
