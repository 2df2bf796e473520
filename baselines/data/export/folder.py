"""The folder of an export: there once it is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dexscrew_envs.files import WriteError, check_folder, claimed, holds_nothing


class ExportError(ValueError):
    """Episodes cannot be exported so, or not to there."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside `out` to write into, which then takes its place; what an earlier attempt left is removed.

    Raises:
        ExportError: there is something at `out`.
        BusyError: another program exports to `out`.
        WriteError: the disk is full, or fails; nothing is left.
    """
    if out.exists() and (not out.is_dir() or not holds_nothing(out)):
        raise ExportError(f"{out} is there already; give another folder, or remove it")
    check_folder(out)
    beside = out.absolute().with_name(f"{out.name}.partial")
    with claimed(beside):
        try:
            inside = beside / "content"
            shutil.rmtree(inside, ignore_errors=True)
            inside.mkdir()
            yield inside
            inside.replace(out)
        except OSError as error:
            free = shutil.disk_usage(beside).free
            raise WriteError(
                f"cannot write {out}: {error.strerror or error} ({free / 1e6:.1f} MB free there); nothing of the "
                "export is left: free some space and give the same command"
            ) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
