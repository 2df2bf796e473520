"""Windows of demonstrations for training: what was observed until now, and what was done from now on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from baselines.data.reader import Episode


class Windows(Dataset):
    """One window for each step of each episode.

    The window of step t holds the observations of steps t - history + 1 to t, the oldest first, and the actions of
    steps t to t + horizon - 1. Where an episode has no such step, its first or last one stands in, and a mask says so.
    An item is a dictionary: `observations`, by field (history, ...); `actions`, by field (horizon, ...); `observed`
    (history,) and `acted` (horizon,), true where the step exists. Tensors have the fields' types.

    A list of indices gives a batch, which is faster than items one by one; with a DataLoader:
    `DataLoader(windows, sampler=BatchSampler(RandomSampler(windows), 512, False), batch_size=None)`.

    Args:
        episodes: of one data set.
        observations: names of the fields to observe.
        actions: names of the fields to predict.
        history: number of observations.
        horizon: number of actions.

    Raises:
        ValueError: no episode is given, a field is unknown to one, or a number is not positive.
    """

    def __init__(
        self, episodes: Sequence[Episode], *, observations: Sequence[str], actions: Sequence[str], history: int,
        horizon: int,
    ) -> None:  # fmt: skip
        if not episodes:
            raise ValueError("windows need at least one episode")
        for name, size in (("history", history), ("horizon", horizon)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{name} must be a positive integer, got {size!r}")
        for name, keys in (("observations", observations), ("actions", actions)):
            if isinstance(keys, str) or not keys:
                raise ValueError(f"{name} must be names of fields, got {keys!r}")
        for episode in episodes:
            for key in (*observations, *actions):
                if key not in episode.fields:
                    raise ValueError(f"no field {key!r} in {episode.path}; it has {', '.join(episode.fields)}")
        self.episodes = tuple(episodes)
        self.observations, self.actions = tuple(observations), tuple(actions)
        self.history, self.horizon = history, horizon
        self._ends = np.cumsum([len(episode) for episode in episodes])

    def __len__(self) -> int:
        """Return the number of windows."""
        return int(self._ends[-1])

    def __getitem__(self, index: int | Sequence[int]) -> dict[str, Any]:
        """Return a window, or a batch of windows for several indices.

        Raises:
            IndexError: there is no such window.
        """
        if isinstance(index, (int, np.integer)):
            batch = self._batch(np.array([index]))
            return {
                key: {name: value[0] for name, value in part.items()} if isinstance(part, dict) else part[0]
                for key, part in batch.items()
            }
        return self._batch(np.asarray(index, dtype=np.int64))

    def _batch(self, indices: NDArray[np.int64]) -> dict[str, Any]:
        wrong = indices[(indices < -len(self)) | (indices >= len(self))]
        if wrong.size:
            raise IndexError(f"no window {wrong[0]}; there are {len(self)}")
        indices = np.where(indices < 0, indices + len(self), indices)
        which = np.searchsorted(self._ends, indices, side="right")
        lengths = np.array([len(self.episodes[k]) for k in which])
        now = (indices - (self._ends[which] - lengths))[:, None]
        past, future = now + np.arange(1 - self.history, 1), now + np.arange(self.horizon)
        last = lengths[:, None] - 1
        return {
            "observations": {key: self._rows(key, which, np.maximum(past, 0)) for key in self.observations},
            "actions": {key: self._rows(key, which, np.minimum(future, last)) for key in self.actions},
            "observed": torch.from_numpy(past >= 0),
            "acted": torch.from_numpy(future <= last),
        }

    def _rows(self, key: str, which: NDArray[np.int64], rows: NDArray[np.int64]) -> Tensor:
        """Return rows of episodes (batch, rows, ...)."""
        field = self.episodes[0].fields[key]
        found = np.empty((*rows.shape, *field.shape), field.dtype)
        for k, (episode, steps) in enumerate(zip(which, rows, strict=True)):
            found[k] = self.episodes[episode][key][steps]
        return torch.from_numpy(found)


def split(episodes: Sequence[Episode], validation: float = 0.1, seed: int = 0) -> tuple[list[Episode], list[Episode]]:
    """Part episodes at random into those to train on and those to validate on, at least one of each.

    Args:
        episodes: at least two.
        validation: share to validate on, between 0 and 1.
        seed: fixes which.

    Raises:
        ValueError: there are fewer than two episodes, or the share is out of its range.
    """
    if len(episodes) < 2:
        raise ValueError(f"a split needs at least two episodes, got {len(episodes)}")
    if not 0.0 < validation < 1.0:
        raise ValueError(f"validation must lie between 0 and 1, got {validation!r}")
    count = min(max(round(validation * len(episodes)), 1), len(episodes) - 1)
    held_out = set(np.random.default_rng(seed).permutation(len(episodes))[:count].tolist())
    parts: tuple[list[Episode], list[Episode]] = ([], [])
    for k, episode in enumerate(episodes):
        parts[k in held_out].append(episode)
    return parts
