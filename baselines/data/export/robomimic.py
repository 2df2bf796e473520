"""robomimic's HDF5 layout: `data/demo_0/actions`, `obs`, `next_obs` and so on, with `mask` for training and validation.

The actions are joint targets in rad; robomimic's own policies expect actions between -1 and 1, so normalise them first.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from baselines.data.export.folder import new_folder
from baselines.data.header import record_to_json
from baselines.data.reader import Episode
from baselines.progress import Progress
from dexscrew_envs.files import to_json

FILE = "demonstrations.hdf5"
_GYM = 2  # robomimic's EnvType.GYM_TYPE
_OBSERVATIONS = ("hand_q", "arm_q", "arm_qd", "tcp_pose", "tcp_force", "held_hand", "held_arm")
_VALIDATION = 0.1


def export(episodes: Sequence[Episode], out: Path) -> None:
    """Write episodes as one file of robomimic.

    Args:
        episodes: of one data set.
        out: the folder to make; the file in it is `demonstrations.hdf5`.

    Raises:
        ExportError: there is something at `out`.
        EpisodeFileError: an episode is damaged.
        WriteError: the disk is full, or fails.
    """
    header = episodes[0].header
    with new_folder(out, episodes) as folder, _File(folder / FILE, "w+") as disk:
        with h5py.File(disk, "w") as file, Progress(episodes, desc="export", unit="episode", delay=1.0) as bar:
            data = file.create_group("data")
            data.attrs["total"] = sum(map(len, episodes))
            data.attrs["env_args"] = to_json(
                {"env_name": f"dexscrew-{header.task}", "type": _GYM, "env_kwargs": {"robot": header.robot}}
            )
            for number, episode in enumerate(bar):
                _write(data.create_group(f"demo_{number}"), episode)
                disk.check()
            names = [f"demo_{number}" for number in range(len(episodes))]
            count = max(1, round(_VALIDATION * len(names))) if len(names) > 1 else 0
            for split, part in (("train", names[: len(names) - count]), ("valid", names[len(names) - count :])):
                file[f"mask/{split}"] = np.array(part, "S")
        disk.check()


class _File(io.FileIO):
    """A file for HDF5 that keeps its first error to itself and pretends from then on, until somebody asks.

    HDF5 tries again and again what it could not write, with lines about each attempt, and may crash at last.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of the data."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Change the size of the file."""
        try:
            return super().truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0

    def check(self) -> None:
        """Raise the error that there was."""
        if self.error is not None:
            raise self.error


def _write(group: h5py.Group, episode: Episode) -> None:
    steps = len(episode)
    last = np.arange(steps) == steps - 1
    group.attrs["num_samples"] = steps
    group.attrs["header"] = to_json({**record_to_json(episode.header), "tactile_bias": None})
    group.attrs["outcome"] = to_json(record_to_json(episode.outcome))
    group["actions"] = np.hstack([episode["asked_hand"], episode["asked_arm"]])
    group["states"] = np.hstack([episode["hand_q"], episode["arm_q"]])
    group["rewards"] = (last & (episode.outcome.mark == "success")).astype(np.float32)
    group["dones"] = last.astype(np.int64)
    observed: dict[str, NDArray[np.float32]] = {key: episode[key] for key in _OBSERVATIONS}
    observed["tactile"] = episode.touch().reshape(steps, -1)
    following = np.minimum(np.arange(steps) + 1, steps - 1)
    for key, values in observed.items():
        group[f"obs/{key}"] = values
        group[f"next_obs/{key}"] = values[following]
