"""The folder of a training: it belongs to one configuration, and holds the checkpoint to go on from."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from baselines import distributed, policies
from baselines.stored import read_json
from dexscrew_envs.files import BusyError, claimed, holds_nothing, plain, write_json

CHECKPOINT_FORMAT = "dexscrew-checkpoint"
CHECKPOINT_VERSION = 1
_PARTS = (
    "steps", "learning_rate", "policy", "optimizer", "seconds", "torch_rng", "env_rng", "invalid_physics", "curve",
)  # fmt: skip
_REMEDY = "give another folder with --folder, or go on with the version that wrote it"
_FREE = ("steps", "folder", "threads", "checkpoint_every", "video", "evaluation_episodes")
"""Fields that may differ when a run goes on. But for `steps` of a student, whose learning rate then falls from where it
would have been in a training of the new length, they do not change what is learned in a step."""
_BOUND = {"bc": ("steps",)}
"""Those of them that are bound for an agent: a clone's learning rate falls to zero over its steps, and would jump."""
_LONG = 80
"""Characters beyond which a refusal says only in how much two lists differ."""


class RunFolderError(ValueError):
    """The run folder cannot be used as it is."""


@contextmanager
def open_run_folder(
    folder: Path, wanted: dict[str, Any], command: Sequence[str], parts: Sequence[str] = _PARTS
) -> Iterator[dict[str, Any] | None]:
    """Have the folder to oneself, for this configuration; give its checkpoint, or None for a fresh run.

    Args:
        folder: of the run.
        wanted: the configuration.
        command: that was given.
        parts: that a checkpoint must have.

    Raises:
        RunFolderError: the folder belongs to something else, or another program is at work in it.
    """
    wanted = plain(wanted)
    with ExitStack() as stack:
        refusal = _claim(folder, wanted, stack) if distributed.rank() == 0 else ""
        if not refusal and distributed.rank() == 0:
            write_json({"config": wanted, "command": list(command), "versions": versions()}, folder / "config.json")
        if distributed.any_rank(bool(refusal)):
            raise RunFolderError(refusal or "another rank refused the run folder")
        checkpoint = folder / "checkpoint.pt"
        yield policies.read(checkpoint, CHECKPOINT_FORMAT, parts, _REMEDY) if checkpoint.exists() else None


def check_run_folder(folder: Path, wanted: dict[str, Any]) -> None:
    """Refuse a folder that `open_run_folder` would refuse now, before the work that comes first; nothing of it changes.

    Args:
        folder: of the run.
        wanted: the configuration.

    Raises:
        RunFolderError: the folder belongs to something else, or another program is at work in it.
    """
    refusal = _refusal(folder, plain(wanted))
    if not refusal and folder.is_dir():
        with ExitStack() as stack:
            refusal = _claim(folder, plain(wanted), stack)
    if refusal:
        raise RunFolderError(refusal)


def _claim(folder: Path, wanted: dict[str, Any], stack: ExitStack) -> str:
    """Lock the folder; return why it cannot be used for this configuration, or nothing."""
    refusal = _refusal(folder, wanted)  # before the lock, which would leave a file in a folder that is not ours
    if refusal:
        return refusal
    try:
        stack.enter_context(claimed(folder))
    except BusyError as error:
        return str(error)
    return _refusal(folder, wanted)


def _refusal(folder: Path, wanted: dict[str, Any]) -> str:
    """Return why the folder cannot be used for this configuration, or nothing."""
    path = folder / "config.json"
    if not path.exists():
        if not holds_nothing(folder):
            return f"{folder} is not empty and holds no run; give another folder with --folder"
        return ""
    try:
        differing = _differences(read_json(path, ("config",), "a configuration", _REMEDY)["config"], wanted)
    except (TypeError, AttributeError):
        return f"{path} is not a configuration; {_REMEDY}"
    except ValueError as error:
        return str(error)
    if not differing:
        return ""
    return (
        f"{folder} holds a run of another configuration: {', '.join(differing)}; give another folder with --folder, or "
        "remove that one"
    )


def _differences(there: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    """Return each field that differs, with both values."""
    found = []
    bound = _BOUND.get(wanted.get("agent", ""), ())
    for key in [*wanted, *(key for key in there if key not in wanted)]:
        old, new = there.get(key), wanted.get(key)
        if (key in _FREE and key not in bound) or old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{prefix}{key}.")
        elif isinstance(old, list) and isinstance(new, list) and max(len(str(old)), len(str(new))) > _LONG:
            found.append(f"{prefix}{key} ({_change(old, new)})")
        elif key not in there:
            found.append(f"{prefix}{key} (not recorded there, as in runs of an older version, now {new!r})")
        elif key not in wanted:
            found.append(f"{prefix}{key} (there {old!r}, missing now)")
        else:
            found.append(f"{prefix}{key} (there {old!r}, now {new!r})")
    return found


def _change(old: list[Any], new: list[Any]) -> str:
    """Return in how much two lists differ."""
    gone, added = sum(value not in new for value in old), sum(value not in old for value in new)
    if not gone and not added:
        return "in another order" if len(old) == len(new) else f"there {len(old)}, now {len(new)}"
    return f"of the {len(old)} there {gone} are gone, and {added} are new"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide a result, and the GPU if there is one."""
    names = ["gymnasium", "mujoco", "numpy", "stable-baselines3", "torch"]
    names += [name for name in ("mujoco-warp", "warp-lang") if find_spec(name.removesuffix("-lang").replace("-", "_"))]
    found = {"python": platform.python_version(), **{name: version(name) for name in names}}
    return found | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})
