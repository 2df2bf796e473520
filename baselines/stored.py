"""Files that another version of this package wrote are named as such, with what to do about them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def check_version(
    found: Any, current: int, path: Path | str, what: str, remedy: str, oldest: int | None = None
) -> None:
    """Raise ValueError unless a file has the current version of its format, or an older one that is still read.

    Args:
        found: the version in the file.
        current: the version that is read here.
        path: of the file.
        what: what the file is, such as "a policy".
        remedy: what to do about a file of an older version.
        oldest: the oldest version that is read; None takes the current one.
    """
    if isinstance(found, bool) or not isinstance(found, int):
        raise ValueError(f"{path} is damaged: version {found!r} of {what}, expected {current}; {remedy}")
    if found > current:
        raise ValueError(
            f"{path} is {what} of a newer version of DexScrew: its format has version {found}, expected {current}; "
            "update this installation"
        )
    if found < (current if oldest is None else oldest):
        raise ValueError(
            f"{path} is {what} of an older version of DexScrew: its format has version {found}, expected {current}; "
            f"{remedy}"
        )


def check_parts(content: Any, parts: Iterable[str], path: Path | str, what: str, remedy: str) -> dict[str, Any]:
    """Return the content of a file if it has all its parts; see `check_version`.

    Raises:
        ValueError: it has none of them, or lacks some, as files of older versions do.
    """
    parts = tuple(parts)
    lacking = [part for part in parts if not isinstance(content, Mapping) or part not in content]
    if not isinstance(content, dict) or (parts and len(lacking) == len(parts)):
        raise ValueError(f"{path} is not {what}; {remedy}")
    if lacking:
        raise ValueError(
            f"{path} is {what} of an older version of DexScrew: it lacks {', '.join(map(repr, lacking))}; {remedy}"
        )
    return content


def read_json(path: Path, parts: Iterable[str], what: str, remedy: str) -> dict[str, Any]:
    """Read a JSON file that has these parts; see `check_version`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON, has none of the parts, or lacks some, as files of older versions do.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; {remedy}") from error
    return check_parts(content, parts, path, what, remedy)


__all__ = ["check_parts", "check_version", "read_json"]
