"""The folder of a training: it belongs to one configuration, and holds the checkpoint to go on from."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from baselines import distributed, policies

CHECKPOINT_FORMAT = "dexscrew-checkpoint"
_FREE = ("steps", "folder", "threads", "checkpoint_every", "video", "evaluation_episodes")
"""Fields that may differ when a run goes on. But for `steps` of a student, whose learning rate then falls from where it
would have been in a training of the new length, they do not change what is learned in a step."""


class RunFolderError(ValueError):
    """The run folder cannot be used as it is."""


def jsonable(value: Any) -> Any:
    """Return a value as JSON would give it back."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def open_run_folder(folder: Path, wanted: dict[str, Any], command: Sequence[str]) -> dict[str, Any] | None:
    """Claim the folder for this configuration; return its checkpoint, or None for a fresh run.

    Raises:
        RunFolderError: the folder belongs to something else.
    """
    refusal = _refusal(folder, wanted) if distributed.rank() == 0 else ""
    if not refusal and distributed.rank() == 0:
        write_json({"config": wanted, "command": list(command), "versions": versions()}, folder / "config.json")
    if distributed.any_rank(bool(refusal)):
        raise RunFolderError(refusal or "another rank refused the run folder")
    checkpoint = folder / "checkpoint.pt"
    return policies.read(checkpoint, CHECKPOINT_FORMAT) if checkpoint.exists() else None


def _refusal(folder: Path, wanted: dict[str, Any]) -> str:
    """Return why the folder cannot be used for this configuration, or nothing."""
    path = folder / "config.json"
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            return f"{folder} is not empty and holds no run; give another folder with --folder"
        return ""
    try:
        found = json.loads(path.read_text())["config"]
        there = {key: found.get(key) for key in wanted if key not in _FREE}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{path} is not a configuration; give another folder with --folder"
    differing = [
        f"{key} (there {value!r}, now {wanted[key]!r})" for key, value in there.items() if value != wanted[key]
    ]
    if not differing:
        return ""
    return (
        f"{folder} holds a run of another configuration: {', '.join(differing)}; give another folder with --folder, or "
        "remove that one"
    )


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide a result, and the GPU if there is one."""
    names = ["gymnasium", "mujoco", "numpy", "stable-baselines3", "torch"]
    names += [name for name in ("mujoco-warp", "warp-lang") if find_spec(name.removesuffix("-lang").replace("-", "_"))]
    found = {"python": platform.python_version(), **{name: version(name) for name in names}}
    return found | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def write_json(content: Any, path: Path) -> None:
    """Write a JSON file, whole or not at all."""
    with policies.replacing(path) as beside:
        beside.write_text(json.dumps(content, indent=1) + "\n")
