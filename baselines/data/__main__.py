"""Look at demonstrations, check, merge, drop, draw and export them.

`python -m baselines.data info demos`
`python -m baselines.data export demos --to lerobot --out demos-lerobot`
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tabulate import tabulate
from tyro.conf import Positional

from baselines.data import checking, editing
from baselines.data.folder import DROPPED, LOG, FolderError, numbered, numbers_text
from baselines.data.reader import Demonstrations, Episode
from baselines.data.schema import TIME, step_fields
from baselines.progress import Progress
from dexscrew_envs import program
from dexscrew_envs.extras import EXTRAS, missing
from dexscrew_envs.files import check_folder, to_json
from dexscrew_envs.program import Status

_LATE = 1.5  # periods between two steps, from which on the second is late


@dataclass(kw_only=True)
class Info:
    """List the episodes of a data set."""

    folder: Positional[Path]
    """Folder of the data set."""
    json: bool = False
    """Print the list as one JSON object on the last line."""


@dataclass(kw_only=True)
class Check:
    """Look at every byte: exit status 0 if finished episodes are whole, unfinished ones recoverable, and all of a kind.

    A copy of another episode is not sound. Changes nothing and recovers nothing. It says which are not sound, and the
    exit status is then 3.
    """

    folder: Positional[Path]
    """Folder of the data set."""


@dataclass(kw_only=True)
class Merge:
    """Copy the finished episodes of data sets into one. A merge that was interrupted goes on.

    Fields that a robot adds, such as the scene of a twin, are left out where not all folders have them. So are episodes
    that were dropped from the folder to copy to.
    """

    folders: Positional[tuple[Path, ...]]
    """Folders of the data sets."""
    out: Path
    """Folder to copy to; it may hold episodes of the same kind."""
    compressed: bool = False
    """Whether to make small files, to pass on; training reads the others faster."""


@dataclass(kw_only=True)
class Drop:
    """Move episodes out of a data set, to its folder `dropped`, from where they can be moved back."""

    folder: Positional[Path]
    """Folder of the data set."""
    numbers: Positional[tuple[int, ...]]
    """Numbers of the episodes."""


@dataclass(kw_only=True)
class Plot:
    """Draw joints, wrist and touch of episodes over time, a picture each."""

    folder: Positional[Path]
    """Folder of the data set."""
    numbers: Positional[tuple[int, ...]] = ()
    """Numbers of the episodes; by default all."""
    out: Path | None = None
    """Folder for the pictures; by default that of the data set."""


@dataclass(kw_only=True)
class Export:
    """Write finished episodes in the format of another project."""

    folder: Positional[Path]
    """Folder of the data set."""
    to: Literal["lerobot", "robomimic", "mcap"]
    """The format; lerobot and mcap have extras of those names."""
    out: Path
    """Folder to make."""
    mark: Literal["success", "failure", "none"] | None = None
    """Only episodes that are marked so."""
    flatten_tactile: bool = False
    """Whether to append the taxels to LeRobot's observation.state, where its own policies see them."""


def _info(args: Info) -> int:
    episodes = Demonstrations(args.folder)
    rows = [_summary(episode) for episode in episodes]
    print(tabulate([list(row.values()) for row in rows], headers=list(rows[0]), floatfmt=".1f"))
    header, seconds = episodes.header, sum(row["seconds"] or 0.0 for row in rows)
    size = sum(episode.path.stat().st_size for episode in episodes)
    print(
        f"\n{len(rows)} episodes of {header.task} with {header.hand}, {sum(map(len, episodes))} steps, "
        f"{seconds / 60:.1f} minutes, {size / 1e6:.1f} MB"
    )
    unfinished = numbered(args.folder, LOG)
    if unfinished:
        print(f"not finished: {numbers_text(unfinished)}; the next recorder of the folder recovers them")
    if args.json:
        print(to_json({"task": header.task, "hand": header.hand, "episodes": rows, "unfinished": list(unfinished)}))
    return Status.DONE


def _summary(episode: Episode) -> dict[str, Any]:
    header, outcome = episode.header, episode.outcome
    return {
        "episode": episode.number, "shape": header.shape, "stratum": header.stratum, "operator": header.operator,
        "policy": header.policy, "seed": header.seed, "steps": len(episode), "seconds": outcome.seconds,
        "late": int((np.diff(episode[TIME]) > _LATE * header.period).sum()), "mark": outcome.mark,
        "turns": outcome.turns, "needed": outcome.needed, "reason": outcome.reason,
    }  # fmt: skip


def _check(args: Check) -> int:
    findings = checking.check(args.folder)
    rows = [(finding.path.name, "sound" if finding.sound else "NOT SOUND", finding.said) for finding in findings]
    print(tabulate(rows, headers=("file", "", "")))
    wrong = sum(not finding.sound for finding in findings)
    print(f"\n{len(findings)} files, {wrong} of them not sound" if wrong else f"\n{len(findings)} files, all sound")
    return Status.STOPPED if wrong else Status.DONE


def _merge(args: Merge) -> int:
    merged = editing.merge(args.folders, args.out, compressed=args.compressed)
    print(f"copied {merged.copied} episodes to {args.out}; {merged.present} were there already")
    if merged.dropped:
        dropped = args.out / DROPPED
        print(f"left out {merged.dropped} episodes that lie in {dropped}; remove those there to copy them again")
    if merged.left_out:
        print(f"left out, since not all folders have it: {', '.join(merged.left_out)}")
    for folder in args.folders:
        unfinished = numbered(folder, LOG)
        if unfinished:
            print(f"not copied from {folder}, since not finished: {numbers_text(unfinished)}")
    return Status.DONE


def _drop(args: Drop) -> int:
    if not args.numbers:
        raise ValueError("give the numbers of the episodes to drop")
    for path in editing.drop(args.folder, args.numbers):
        print(f"moved to {path}")
    return Status.DONE


def _plot(args: Plot) -> int:
    from baselines.data import pictures

    found = _demonstrations(args.folder)
    out = args.out or args.folder
    check_folder(out)
    chosen = [_numbered(found, number) for number in args.numbers] or list(found)
    with Progress(chosen, desc="plot", unit="episode", delay=1.0) as bar:
        for episode in bar:
            pictures.draw(episode, out / f"{episode.name}.png")
    print(f"{len(chosen)} pictures in {out}")
    return Status.DONE


def _export(args: Export) -> int:
    if args.flatten_tactile and args.to != "lerobot":
        raise ValueError("--flatten-tactile is for --to lerobot alone")
    episodes = _demonstrations(args.folder).where(mark=args.mark)
    if not episodes:
        raise FolderError(f"{args.folder} holds no finished episode that is marked {args.mark}")
    try:
        module = importlib.import_module(f"baselines.data.export.{args.to}")
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        raise ImportError(missing(error.name, f"an export to {args.to}")) from error
    options = {"flatten_tactile": True} if args.flatten_tactile else {}
    module.export(episodes, args.out, **options)
    print(f"exported {len(episodes)} episodes to {args.out}")
    return Status.DONE


def _demonstrations(folder: Path) -> Demonstrations:
    """Return a data set that has all fields of a demonstration.

    Raises:
        FolderError: it has not, or is none.
    """
    found = Demonstrations(folder)
    lacking = [name for name in step_fields(1, 1) if name not in found.fields]
    if lacking:
        raise FolderError(f"{folder} does not hold demonstrations: its steps lack {', '.join(lacking)}")
    return found


def _numbered(found: Demonstrations, number: int) -> Episode:
    try:
        return found.episode(number)
    except KeyError as error:
        raise FolderError(error.args[0]) from error


_ACTIONS: dict[type, Callable[[Any], int]] = {
    Info: _info,
    Check: _check,
    Merge: _merge,
    Drop: _drop,
    Plot: _plot,
    Export: _export,
}


def _run(args: Any) -> int:
    return _ACTIONS[type(args)](args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    commands: Any = Info | Check | Merge | Drop | Plot | Export
    return program.main("baselines.data", commands, _run, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
