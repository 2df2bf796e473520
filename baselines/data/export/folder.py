"""The folder of an export: there once it is complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dexscrew_envs.files import check_folder, filling


class ExportError(ValueError):
    """Episodes cannot be exported so, or not to there."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a folder of its own beside `out` to write into, which then takes the place of `out`.

    Raises:
        ExportError: there is something at `out`.
        WriteError: the disk is full, or fails; nothing is left.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out} is there already; give another folder, or remove it")
    check_folder(out)
    check_folder(out.absolute().parent)
    with filling(out.absolute()) as folder:
        yield folder
