"""Reward terms that a user adds on the command line: `--reward my_terms.py:gentle`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dexscrew_envs.mdp.rewards import RewardTerm


def load(names: Sequence[str]) -> dict[str, RewardTerm]:
    """Return functions by their names.

    Args:
        names: each a file or a module, a colon, and the function in it.

    Raises:
        ValueError: there is no such file, module or function, it fails to load, or the function stands in no file.
    """
    found: dict[str, RewardTerm] = {}
    for name in names:
        where, colon, function = name.rpartition(":")
        if not colon or not where or not function.isidentifier():
            raise ValueError(f"--reward takes file.py:function or module:function, got {name!r}")
        if function in found:
            raise ValueError(f"--reward has two functions called {function!r}; give them different names")
        term = getattr(_module(where), function, None)
        if not callable(term):
            raise ValueError(f"--reward: there is no function {function!r} in {where}")
        try:
            written = Path(inspect.getfile(inspect.unwrap(term)))
        except TypeError:
            raise ValueError(f"--reward takes functions written in Python, and {name} is not one") from None
        if not written.is_file():  # as of a module that is frozen into Python
            raise ValueError(f"--reward takes functions that stand in a file, and {name} stands in {written}")
        found[function] = term
    return found


def _module(where: str) -> Any:
    try:
        if not where.endswith(".py"):
            return importlib.import_module(where)
        path = Path(where)
        if not path.is_file():
            raise ValueError(f"--reward: there is no file {where}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except ValueError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ValueError(f"--reward: {where} cannot be loaded: {type(error).__name__}: {error}") from error


def fingerprints(terms: Mapping[str, RewardTerm]) -> dict[str, str]:
    """Return a digest of the file in which each function stands: a run goes on under the same reward only."""
    return {
        name: hashlib.sha256(Path(inspect.getfile(inspect.unwrap(term))).read_bytes()).hexdigest()[:16]
        for name, term in terms.items()
    }
