"""What tests of trainings read in their folders."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from baselines import policies
from baselines.run_folder import CHECKPOINT_FORMAT

UPDATE = 32
"""Control steps between updates of a tiny training."""


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def checkpoint_of(folder: Path) -> dict:
    return policies.read(folder / "checkpoint.pt", CHECKPOINT_FORMAT)


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    return policies.read(folder / "policy.pt", policies.FORMAT, versions=(1, policies.VERSION))["state"]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def copy_of(run: Path, where: Path, name: str = "copy") -> Path:
    """Copy what a run goes on from."""
    folder = where / name
    folder.mkdir()
    for file in ("config.json", "checkpoint.pt", "metrics.json"):
        (folder / file).write_bytes((run / file).read_bytes())
    return folder
