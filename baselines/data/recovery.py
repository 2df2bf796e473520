"""From the log of an episode to its file, after its end or after that of the process that recorded it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from baselines.data.episode_file import check_sum, read_about, sync_folder, write_episode
from baselines.data.folder import DAMAGED, FINISHED, episode_path, numbered, take_number
from baselines.data.header import Outcome
from baselines.data.log import Log, LogError, read_log
from baselines.data.schema import TIME

RECOVERED = "recovered"
"""Reason of the outcome of an episode that was cut off."""


def finish_log(path: Path) -> Path:
    """Make the file of an episode out of its log, whose last line is its outcome, and remove the log.

    Returns:
        Its path; it has a new number if a file of another episode came to have its own.

    Raises:
        FolderError: it needs a new number, and the folder has none.
        LogError: the disk did not keep what was written to the log, which stays.
        WriteError: the disk is full, or fails; the log stays.
    """
    log = read_log(path)
    if log.outcome is None or log.damaged:
        raise LogError(f"{path} is damaged: it does not end with an outcome; the disk may be failing")
    finished = _place(path, log)
    _write(log, log.outcome, finished)
    path.unlink()
    return finished


def recover(path: Path) -> str:
    """Make the file of an episode out of a log that was left, and remove the log, or set it aside if it is damaged.

    No other file is written over: where one has the number of the log, the episode gets a new number.

    Returns:
        What was found and done, in a sentence.

    Raises:
        FolderError: it needs a new number, and the folder has none.
        OSError: the log cannot be read.
        WriteError: the disk is full, or fails; the log stays.
    """
    try:
        log = read_log(path)
    except ValueError as error:
        return f"{error}; it is now {_set_aside(path).name}"
    steps, beside = len(log.rows), path.with_suffix(FINISHED)
    finished = _place(path, log) if steps else beside
    already = bool(steps) and _is_whole(finished)  # then only the removal of the log was left to do
    if steps and not already:
        _write(log, log.outcome or _cut_off(log), finished)
    name, kept = beside.name, "are kept"
    if finished != beside:
        name = path.name
        kept += f" as {finished.name}, since {beside.name} is another episode, or damaged"
    if log.damaged:
        return f"{path.name} was damaged after {steps} steps, which {kept}; the log is now {_set_aside(path).name}"
    path.unlink()
    sync_folder(path.parent)
    if not steps:
        return f"{path.name} had no step"
    if already:
        return f"{finished.name} was finished already"
    return f"{name} was cut off after {steps} steps, which {kept}"


def number_is_taken(path: Path, log: Log) -> bool:
    """Return whether the place for the file of a log has one that is another episode's, or that nobody can tell."""
    finished = path.with_suffix(FINISHED)
    return finished.exists() and not _is_own(finished, log)


def _place(path: Path, log: Log) -> Path:
    """Return where to write the file of a log, so that no other is written over."""
    if not number_is_taken(path, log):
        return path.with_suffix(FINISHED)
    # a recovery that was cut off may have made it, under a new number
    made = next((other for other in numbered(path.parent).values() if _is_own(other, log)), None)
    return made or episode_path(path.parent, take_number(path.parent))


def _is_own(finished: Path, log: Log) -> bool:
    """Return whether a file is of a log's episode, so that one of the two is enough."""
    try:
        own = bool(log.header.id) and read_about(finished).header.id == log.header.id
    except ValueError:
        return False
    return own and (not log.damaged or _is_whole(finished))  # of two that are damaged, either may have more steps


def _write(log: Log, outcome: Outcome, path: Path) -> None:
    if outcome.seconds is None:
        outcome = replace(outcome, seconds=float(log.rows[TIME][-1] - log.rows[TIME][0]) + log.header.period)
    write_episode(path, log.header, outcome, log.fields, {name: log.rows[name] for name in log.fields})


def _cut_off(log: Log) -> Outcome:
    turns = log.rows["turns"] if "turns" in log.fields else np.full(1, np.nan)
    known = turns[np.isfinite(turns)]
    return Outcome(reason=RECOVERED, turns=float(known[-1]) if known.size else None)


def _is_whole(path: Path) -> bool:
    try:
        check_sum(path)
    except ValueError:
        return False
    return True


def _set_aside(path: Path) -> Path:
    aside = path.with_suffix(DAMAGED)
    if aside.exists():
        aside = episode_path(path.parent, take_number(path.parent), DAMAGED)
    path.replace(aside)
    return aside
