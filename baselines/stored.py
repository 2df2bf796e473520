"""Files of tensors and values: whole or not at all, never pickles; those of other versions are named as such."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dexscrew_envs import files

_ROOT = r"(?:[A-Za-z]:[\\/]|~?/(?!/)|\.\./)"
_OUTSIDE = (
    re.compile(rf"""(?<=['"]){_ROOT}(?:[^'"]*[/\\])?(?=[^'"/\\]*['"])"""),  # quoted, so that it may hold spaces
    re.compile(rf"""(?<![^\s'":=,(\[]){_ROOT}(?:[^\s'"/\\]*[/\\])*"""),
)
"""The folders of a path that is absolute, or leads up from here."""


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


def without_paths(value: Any) -> Any:
    """Return a card, or a part of one, with absolute paths cut to their last part: they tell whose machine it was.

    Relative paths are kept, unless they lead up from here.
    """
    if isinstance(value, Mapping):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(item) for item in value]
    if not isinstance(value, str):
        return value
    for folder in (Path.cwd(), Path.home()):
        if len(folder.parts) > 1:
            value = value.replace(f"{folder}/", "/")  # also where the folder's name has a space
    for folders in _OUTSIDE:
        value = folders.sub("", value)
    return value


def write_atomically(content: Any, path: Path) -> None:
    """`torch.save`, whole or not at all.

    Raises:
        WriteError: the disk is full.
    """
    import torch  # not above: data sets need this module, but not torch

    buffer = io.BytesIO()  # on a full disk torch's own writer fails with words of its own
    torch.save(content, buffer)
    files.write_bytes(buffer.getvalue(), path)


def format_of(path: Path) -> str:
    """Return the format that a file of `write_atomically` names, or "" if it is not one."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a broken file fails in as many ways as there are bytes to lose
        return ""
    return str(content.get("format", "")) if isinstance(content, dict) else ""


KINDS_OF_FILES = {
    "dexscrew-clone": "a clone of hand and arm: benchmark.real_eval and real.autonomous let it act",
    "dexscrew-policy": "a policy of the fingers alone: benchmark.real_eval takes it as direct:FILE",
}
"""Formats of policies, and who takes them."""


def read(
    path: Path,
    expected_format: str,
    parts: Sequence[str] = (),
    remedy: str = "make it again",
    versions: tuple[int, int] = (1, 1),
) -> dict[str, Any]:
    """Read a file that `write_atomically` wrote.

    Args:
        path: of the file.
        expected_format: its `format`, such as "dexscrew-policy".
        parts: keys that it must have.
        remedy: what to do about a file that cannot be used.
        versions: of its format, the oldest that is read, and the current one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, of another format, or of an older or newer version; the message says which.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file fails in as many ways as there are bytes to lose
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a whole {expected_format} file ({reason}); copy or train it again") from error
    if not isinstance(content, dict) or content.get("format") != expected_format:
        kind = KINDS_OF_FILES.get(str(content.get("format")), "") if isinstance(content, dict) else ""
        raise ValueError(f"{path} is not a {expected_format} file" + (f"; it is {kind}" if kind else ""))
    what = f"a {expected_format} file"
    oldest, current = versions
    check_version(content.get("version"), current, path, what, remedy, oldest)
    return check_parts(content, parts, path, what, remedy)


__all__ = ["check_parts", "check_version", "read", "read_json", "without_paths", "write_atomically"]
