"""Reward terms that a user adds on the command line: `--reward my_terms.py:gentle`."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from baselines import own_code
from dexscrew_envs.mdp.rewards import RewardTerm
from dexscrew_envs.vector_env import DexScrewVectorEnv


def load(names: Sequence[str]) -> dict[str, RewardTerm]:
    """Return functions by their names.

    Args:
        names: each a file or a module, a colon, and the function in it.

    Raises:
        ValueError: there is no such file, module or function, it fails to load, or the function stands in no file.
    """
    found: dict[str, RewardTerm] = {}
    for name in names:
        function = name.rpartition(":")[2]
        if function in found:
            raise ValueError(f"--reward has two functions called {function!r}; give them different names")
        term = own_code.load(name, "--reward")
        if not callable(term):
            raise ValueError(f"--reward: {name} is no function")
        try:
            written = Path(inspect.getfile(inspect.unwrap(term)))
        except TypeError:
            raise ValueError(f"--reward takes functions written in Python, and {name} is not one") from None
        if not written.is_file():  # as of a module that is frozen into Python
            raise ValueError(f"--reward takes functions that stand in a file, and {name} stands in {written}")
        found[function] = term
    return found


def check(terms: Mapping[str, RewardTerm], task: str, **fields: Any) -> None:
    """Try terms for one control step of two environments, on the CPU, before there is a run that they could spoil.

    Args:
        terms: to try.
        task: name of the task.
        fields: of the task.

    Raises:
        RewardTermError: one fails, or returns something else than a reward.
    """
    if not terms:
        return
    with closing(DexScrewVectorEnv(task, 2, num_threads=1, reward_terms=terms, **fields)) as env:
        env.reset(seed=0)
        env.step(torch.zeros(2, len(env.task.hand.joints)))


def fingerprints(terms: Mapping[str, RewardTerm]) -> dict[str, str]:
    """Return a digest of the file in which each function stands: a run goes on under the same reward only."""
    return {
        name: hashlib.sha256(Path(inspect.getfile(inspect.unwrap(term))).read_bytes()).hexdigest()[:16]
        for name, term in terms.items()
    }
