"""From the log of an episode to its file, after its end or after that of the process that recorded it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from baselines.data.episode_file import check_sum, sync_folder, write_episode
from baselines.data.folder import DAMAGED, FINISHED
from baselines.data.header import Outcome
from baselines.data.log import Log, LogError, read_log
from baselines.data.schema import TIME

RECOVERED = "recovered"
"""Reason of the outcome of an episode that was cut off."""


def finish_log(path: Path) -> Path:
    """Make the file of an episode out of its log, whose last line is its outcome, and remove the log.

    Raises:
        LogError: the disk did not keep what was written to the log, which stays.
        WriteError: the disk is full, or fails; the log stays.
    """
    log = read_log(path)
    if log.outcome is None or log.damaged:
        raise LogError(f"{path} is damaged: it does not end with an outcome; the disk may be failing")
    finished = path.with_suffix(FINISHED)
    _write(log, log.outcome, finished)
    path.unlink()
    return finished


def recover(path: Path) -> str:
    """Make the file of an episode out of a log that was left, and remove the log, or set it aside if it is damaged.

    Returns:
        What was found and done, in a sentence.

    Raises:
        OSError: the log cannot be read.
        WriteError: the disk is full, or fails; the log stays.
    """
    finished = path.with_suffix(FINISHED)
    if _is_whole(finished):  # only the removal of the log was left to do
        path.unlink()
        return f"{finished.name} was finished already"
    try:
        log = read_log(path)
    except ValueError as error:
        return f"{error}; it is now {_set_aside(path).name}"
    steps = len(log.rows)
    if steps:
        _write(log, log.outcome or _cut_off(log), finished)
    if log.damaged:
        return f"{path.name} was damaged after {steps} steps, which are kept; the log is now {_set_aside(path).name}"
    path.unlink()
    sync_folder(path.parent)
    return f"{finished.name} was cut off after {steps} steps, which are kept" if steps else f"{path.name} had no step"


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
    path.replace(aside)
    return aside
