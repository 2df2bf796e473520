"""Clone demonstrations: joint targets of hand and arm, with touch and history.

`python -m baselines.bc --data demos --folder runs/nut-bc`
`python -m baselines.bc --data demos --no-tactile --history 1 --folder runs/nut-bc-blind`
`python -m baselines.bc --data demos --preset paper --folder runs/nut-bc-paper`
`python -m baselines.bc --data demos --dagger 2 --folder runs/nut-bc-dagger`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes

from baselines.bc.dagger import Relabelling, train_in_rounds
from baselines.bc.design import PRESETS, Design
from baselines.bc.learner import Training
from baselines.bc.training import train
from dexscrew_envs import program


@dataclass(kw_only=True)
class Args:
    """Train a clone on data sets; an interrupted training goes on by the same command."""

    training: Annotated[Training, OmitArgPrefixes]
    folder: Path | None = None
    """Run folder; by default runs/bc-<preset>-<seed>. A run that was interrupted there goes on."""
    preset: Literal["default", "hourglass", "paper"] = "default"
    """Design: our default, the same with a small hourglass, or the paper's, which needs hours even on a GPU."""
    tactile: bool = True
    """Whether it feels."""
    history: int | None = None
    """Control steps that it sees, such as 1, 5 or 30, and no more unless --memory is given too; by default the
    preset's, and its memory."""
    touch_history: int | None = None
    """Control steps of touch that it sees, at most `history`; by default the preset's."""
    memory: int | None = None
    """Blocks of ten control steps of which it sees the mean of its joints; by default the preset's, or none with
    --history."""
    touch_memory: int | None = None
    """Likewise of touch; by default the preset's."""
    targets: Literal["increments", "absolute"] | None = None
    """What it predicts: motion from the targets that stand, or targets; by default the preset's."""
    held: bool | None = None
    """Whether it sees the targets that stand; by default the preset's."""
    touch: Literal["contact", "pressure", "statistics", "taxels"] | None = None
    """What it feels: how firmly each fingertip touches, that and how hard it is pressed, a few numbers of each, or all
    taxels; by default the preset's."""
    decay: float | None = None
    """The loss weighs the target h steps ahead by decay^h; by default the preset's."""
    execute: int | None = None
    """Steps of a chunk that are taken before the next; by default the preset's."""
    relabelling: Annotated[Relabelling, OmitArgPrefixes] = field(default_factory=Relabelling)
    """Corrections on the twin: DAgger."""


def _design(args: Args) -> Design:
    names = ("history", "touch_history", "memory", "touch_memory", "targets", "held", "touch", "decay", "execute")
    given: dict[str, Any] = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if not args.tactile and (touch := [name for name in given if name.startswith("touch")]):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in touch)
        raise ValueError(f"a clone without touch has no {options}: give these, or --no-tactile")
    if args.history is not None:  # what it sees of the past is then what was said
        given.setdefault("memory", 0)
    return replace(PRESETS[args.preset], tactile=args.tactile, **given)


def _run(args: Args, command: Sequence[str]) -> int:
    args.training.check()
    args.relabelling.check()
    folder = args.folder or Path("runs") / f"bc-{args.preset}-{args.training.seed}"
    if args.relabelling.dagger:
        return train_in_rounds(_design(args), args.training, args.relabelling, folder, command)
    return train(_design(args), args.training, folder, command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    command = ["python", "-m", "baselines.bc", *(sys.argv[1:] if argv is None else argv)]
    return program.main("baselines.bc", Args, lambda args: _run(args, command), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
