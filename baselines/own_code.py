"""Functions and classes of a user that a command line names: `file.py:name` or `module:name`."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any


def load(reference: str, option: str) -> Any:
    """Return what a command line names; the file, or the module, is run.

    Args:
        reference: a file or a module, a colon, and the name in it.
        option: of the command line, for messages.

    Raises:
        ValueError: there is no such file, module or name, or it fails to load.
    """
    where, colon, name = reference.rpartition(":")
    if not colon or not where or not name.isidentifier():
        raise ValueError(f"{option} takes file.py:name or module:name, got {reference!r}")
    try:
        module = _module(where, option)
    except ValueError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ValueError(f"{option}: {where} cannot be loaded: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise ValueError(f"{option}: there is no {name!r} in {where}")
    return getattr(module, name)


def _module(where: str, option: str) -> Any:
    if not where.endswith(".py"):
        return importlib.import_module(where)
    path = Path(where)
    if not path.is_file():
        raise ValueError(f"{option}: there is no file {where}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
