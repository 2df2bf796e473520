"""The folder of a data set: which file is which episode, and what all of them share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from baselines.data.header import SHARED, Header
from baselines.data.schema import Fields
from dexscrew_envs.files import write_json

FINISHED, LOG, DAMAGED = ".h5", ".partial", ".damaged"
"""Endings of finished episodes, of logs, and of logs that were set aside."""
DROPPED = "dropped"
"""The folder within, to which episodes are moved that are dropped."""

_NAME = re.compile(r"episode_(\d{6,})(\.\w+)")
_LAST = 999_999_999  # the largest number that a name holds
_NUMBERING = "numbering.json"


class FolderError(ValueError):
    """A folder holds no data set, or another one; the message says what to do."""


def episode_path(folder: Path, number: int, ending: str = FINISHED) -> Path:
    """Return the path of an episode."""
    return folder / f"episode_{number:06}{ending}"


def numbered(folder: Path, ending: str = FINISHED) -> dict[int, Path]:
    """Return the files of a folder that have an ending, by number, in that order.

    Raises:
        FolderError: there is no such folder, it cannot be read, or one of the files has a name that no recorder gives:
            then two could have one number.
    """
    if not folder.is_dir():
        raise FolderError(f"{folder} is not a folder" if folder.exists() else f"there is no folder {folder}")
    try:
        names = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    except OSError as error:
        raise FolderError(f"cannot read {folder}: {error.strerror}") from error
    found = sorted((int(name[1]), path) for name, path in names if name is not None and name[2] == ending)
    for number, path in found:
        if number > _LAST or path != episode_path(folder, number, ending):
            raise FolderError(
                f"{path} is not named as a recorder names episodes, such as {episode_path(folder, 7, ending).name}: "
                "rename it, with a free number of at most nine digits, or move it elsewhere"
            )
    return dict(found)


def is_dataset(folder: Path) -> bool:
    """Return whether a folder holds episodes, or did.

    Raises:
        FolderError: it cannot be read, or an episode has a name that no recorder gives.
    """
    if (folder / _NUMBERING).is_file() or (folder / DROPPED).is_dir():
        return True
    return any(numbered(folder, ending) for ending in (FINISHED, LOG, DAMAGED))


def next_number(folder: Path) -> int:
    """Return a number that no episode of a folder ever had.

    Raises:
        FolderError: it cannot be read, or an episode has a name that no recorder gives.
    """
    places = [folder] + [folder / DROPPED] * (folder / DROPPED).is_dir()
    used = [number for place in places for ending in (FINISHED, LOG, DAMAGED) for number in numbered(place, ending)]
    try:
        noted = int(json.loads((folder / _NUMBERING).read_text(encoding="utf-8"))["next"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):  # then the names of the files must do
        noted = 0
    return max([0, noted, *(number + 1 for number in used)])


def take_number(folder: Path) -> int:
    """Return a new number for an episode, which nobody will be given again.

    Raises:
        FolderError: all numbers that a name holds are used, or an episode has a name that no recorder gives.
        WriteError: the disk is full, or fails.
    """
    number = next_number(folder)
    if number > _LAST:
        raise FolderError(
            f"{folder} has no number left for an episode: the next would be {number}, and a name holds at most nine "
            "digits; give another folder"
        )
    write_json({"next": number + 1}, folder / _NUMBERING)
    return number


def differences(header: Header, fields: Fields, other: Header, other_fields: Fields) -> list[str]:
    """Return in what two episodes differ that cannot lie in one folder, with both values."""
    found = [
        f"{name} ({getattr(other, name)!r}, not {getattr(header, name)!r})"
        for name in SHARED
        if getattr(header, name) != getattr(other, name)
    ]
    kinds, others = ({name: field.kind for name, field in fs.items()} for fs in (fields, other_fields))
    return found + [
        f"field {name} ({_kind(others.get(name))}, not {_kind(kinds.get(name))})"
        for name in dict.fromkeys([*kinds, *others])
        if kinds.get(name) != others.get(name)
    ]


def _kind(kind: tuple[str, tuple[int, ...], str] | None) -> str:
    return "none" if kind is None else f"{kind[0]} {kind[1]}{f' in {kind[2]}' if kind[2] else ''}"


def numbers_text(numbers: Iterable[int]) -> str:
    """Return numbers as a short text, such as 0 to 3, 5."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
