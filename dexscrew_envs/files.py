"""Writing files, whole or not at all; strict JSON; folders that one program has to itself."""

from __future__ import annotations

import contextlib
import glob
import json
import math
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from dexscrew_envs.program import DISK_ERRORS, Status

_FULL = 64 * 1024  # less than this is full: writers need some room to fail in (bytes)
_LOCK, _HOLDER, _PARTIAL = ".lock", ".holder.json", ".partial-"


class WriteError(OSError):
    """A file could not be written; the one that was there before is as it was."""

    exit_status = Status.CUT_SHORT


class BusyError(ValueError):
    """Another program has the folder to itself."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a neighbour to write, which then takes the place of `path`; a crash leaves the old file.

    Neighbours have unique names that end as `path` does. Those of processes that were killed are removed.

    Raises:
        WriteError: the disk is full, or fails; the message has the path and the space.
    """
    beside = _neighbour(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield beside
        with open(beside, "rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    except Exception as error:
        if isinstance(error, WriteError):
            raise
        full = _free(path) < _FULL  # the writer's own error may not say so
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno not in DISK_ERRORS and not full and _concerns(error, beside):
            raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
        if full or (isinstance(error, OSError) and error.errno in DISK_ERRORS):
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "No space left on device"
            raise WriteError(
                f"cannot write {path}: {reason} ({_free(path) / 1e6:.1f} MB free there); what was there before is "
                "kept: free some space and give the same command"
            ) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Give a neighbour to fill, which then takes the place of `folder`; where that fails, nothing is left.

    Neighbours have unique names, so that they are nobody's. Those of processes that were killed are removed.

    Args:
        folder: to make; there is none, or an empty one.

    Raises:
        WriteError: the disk is full, or fails; the message has the folder and the space.
    """
    beside = _neighbour(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        beside.mkdir()
        yield beside
        beside.replace(folder)
    except Exception as error:
        cause = (isinstance(error, WriteError) and error.__cause__) or error  # a WriteError names the neighbour
        full = _free(folder) < _FULL or getattr(cause, "errno", None) in DISK_ERRORS
        if not full and not isinstance(error, OSError):
            raise
        words = cause if isinstance(cause, OSError) else "No space left on device"
        reason = getattr(cause, "strerror", None) or words
        remedy = ": free some space and give the same command" * full
        raise WriteError(
            f"cannot write {folder}: {reason} ({_free(folder) / 1e6:.1f} MB free there); nothing of it is left{remedy}"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _concerns(error: OSError, beside: Path) -> bool:
    """Return whether an error is about the file that is being written, whose name the user does not know."""
    return error.filename is None or str(error.filename) == str(beside)


def check_place(path: Path) -> None:
    """Refuse a place for a file that cannot be written, before the work whose result it is to hold.

    Raises:
        ValueError: it is a folder, or its parent is not a folder or cannot be written.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written, or made.

    Raises:
        ValueError: it is a file, or it, or what is to hold it, cannot be written.
    """
    there = next((place for place in (folder, *folder.absolute().parents) if os.path.lexists(place)), Path("/"))
    if not there.is_dir():
        what = "a link that leads nowhere" if there.is_symlink() and not there.exists() else "a file"
        raise ValueError(f"cannot write into {folder}: {there} is {what}, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"cannot write into {folder}: {there} is read-only, or not yours to write")


def _free(path: Path) -> int:
    """Return the free space where a file is to be (bytes)."""
    for folder in (path.parent, *path.parent.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(folder).free
    return sys.maxsize


def _owner() -> str:
    """Return how the names of all neighbours begin that processes of this machine make."""
    return f"{_PARTIAL}{re.sub(r'[^A-Za-z0-9]', '', platform.node())[:32]}-"


def _neighbour(path: Path) -> Path:
    """Return a unique name beside a path that ends as its own does."""
    return path.with_name(f"{_owner()}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")


def _sweep(path: Path) -> None:
    """Remove what processes of this machine that are gone left beside a path."""
    for left in path.parent.glob(f"{_owner()}*-{glob.escape(path.name)}"):
        pid = left.name.removeprefix(_owner()).split("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def write_bytes(data: bytes, path: Path) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(data)


def write_text(text: str, path: Path) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    write_bytes(text.encode(), path)


def plain(content: Any) -> Any:
    """Return content as JSON gives it back: NumPy's values, paths and tuples as plain ones, no NaN or infinity."""
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(value) for value in content]
    if isinstance(content, np.ndarray):
        return plain(content.tolist())
    if isinstance(content, np.generic):
        return plain(content.item())
    if isinstance(content, Path):
        return str(content)
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def to_json(content: Any, *, indent: int | None = None) -> str:
    """Return strict JSON: what is not a finite number is null, and all signs are ASCII."""
    return json.dumps(plain(content), indent=indent, allow_nan=False)


def write_json(content: Any, path: Path) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(to_json(content, indent=1) + "\n", path)


def holds_nothing(folder: Path, besides: Sequence[str] = ()) -> bool:
    """Return whether a folder is missing, or holds nothing but what this module leaves in it, and files named so."""
    ours = (_LOCK, _HOLDER, *besides)
    return not folder.is_dir() or not any(
        entry.name not in ours and not entry.name.startswith(_PARTIAL) for entry in folder.iterdir()
    )


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Have a folder to oneself; the lock ends with the process, however that ends.

    Raises:
        BusyError: another program has it; the message names that.
    """
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(
            f"{folder} is in use by {_holder(folder)}; wait for it, end it, or give another folder"
        ) from None
    try:
        note = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%F %T"), "command": sys.argv}
        write_json(note, folder / _HOLDER)
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / _HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        note = json.loads((folder / _HOLDER).read_text())
        return f"process {note['pid']} on {note['host']}, since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another program"
