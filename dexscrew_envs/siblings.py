"""Whether the packages that go by our names are ours.

Names such as `real` and `baselines` are common. A folder or another package of that name in the working directory, or
earlier on `sys.path`, takes the place of ours, wholly or with some of its modules. This module needs no more than
Python 3.10's standard library.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
NAMES = ("baselines", "benchmark", "dexscrew_envs", "real")


class HiddenWarning(UserWarning):
    """A folder without an `__init__.py` goes by the name of one of our packages."""


def hidden_by(name: str) -> str | None:
    """Return the path of what was imported in the place of our package of this name, or None."""
    module = sys.modules.get(name)
    if module is None:
        return None
    found = next(iter(getattr(module, "__path__", ())), None) or getattr(module, "__file__", None)
    return None if found is None or Path(found).resolve() == _ROOT / name else str(found)


def sentence(name: str, other: str | Path | None = None) -> str:
    """Say that our package of this name is hidden, by what, and what helps."""
    other = other or hidden_by(name)
    return (
        f"{other} hides DexScrew's own package {name!r}, which is {_ROOT / name}; start from another folder, "
        "rename that one, or take it off sys.path (PYTHONPATH)"
    )


def check(*names: str) -> None:
    """Look at packages of ours that the caller imported or belongs to.

    A mere folder does no harm, as long as it has no module of a name that ours has too: what Python does not find there
    an editable installation finds in our package.

    Raises:
        ImportError: another package is in the place of one; a folder is only warned of.
    """
    for name in names:
        if hidden_by(name) is None:
            continue
        if getattr(sys.modules[name], "__file__", None) is not None:
            raise ImportError(sentence(name), name=name)
        warnings.warn(sentence(name), HiddenWarning, stacklevel=3)


def check_working_directory(name: str) -> None:
    """Look for another package of this name in the working directory, where `python -m` looks first.

    Raises:
        ImportError: there is one. A mere folder hides nothing from `python -m`, and a checkout of ours has all of them.
    """
    if os.environ.get("PYTHONSAFEPATH") or Path("dexscrew_envs").is_dir():
        return
    if Path(name, "__init__.py").is_file():
        raise ImportError(sentence(name, Path.cwd() / name), name=name)
    if Path(f"{name}.py").is_file():
        raise ImportError(sentence(name, Path.cwd() / f"{name}.py"), name=name)


def runs_program() -> str | None:
    """Return the package whose module `python -m` runs, if the module is one of ours."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None:
        return None
    name = spec.name.split(".")[0]
    return name if name in NAMES and Path(spec.origin or "").is_relative_to(_ROOT / name) else None


def check_program() -> None:
    """`check` the package of the module that `python -m` runs, if the module is one of ours."""
    name = runs_program()
    if name is not None:
        check(name)


def explained(error: ImportError) -> str | None:
    """Return a sentence about an import that failed because one of our packages is hidden, or None."""
    name = (error.name or "").split(".")[0]
    return sentence(name) if name in NAMES and hidden_by(name) is not None else None
