"""The folder of a training: it belongs to one configuration, and holds the checkpoint to go on from."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

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
    """Claim the folder for this configuration; return its checkpoint, or None for a fresh run."""
    path = folder / "config.json"
    if distributed.rank() > 0:
        distributed.wait()
    elif path.exists():
        try:
            found = json.loads(path.read_text())["config"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{path} is not a configuration; give another folder with --folder") from error
        keys = [key for key in wanted if key not in _FREE]
        differing = [
            f"{key} (there {found.get(key)!r}, now {wanted[key]!r})" for key in keys if found.get(key) != wanted[key]
        ]
        if differing:
            raise RunFolderError(
                f"{folder} holds a run of another configuration: {', '.join(differing)}; "
                "give another folder with --folder, or remove that one"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise RunFolderError(f"{folder} is not empty and holds no run; give another folder with --folder")
    if distributed.rank() == 0:
        write_json({"config": wanted, "command": list(command), "versions": versions()}, path)
        distributed.wait()
    checkpoint = folder / "checkpoint.pt"
    return policies.read(checkpoint, CHECKPOINT_FORMAT) if checkpoint.exists() else None


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide a result."""
    names = ("gymnasium", "mujoco", "numpy", "stable-baselines3", "torch")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def write_json(content: Any, path: Path) -> None:
    """Write a JSON file, whole or not at all."""
    with policies.replacing(path) as beside:
        beside.write_text(json.dumps(content, indent=1) + "\n")
