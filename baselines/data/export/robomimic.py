"""robomimic's HDF5 layout: `data/demo_0/actions`, `obs`, `next_obs` and so on, with `mask` for training and validation.

The actions are joint targets in rad; robomimic's own policies expect actions between -1 and 1, so normalise them first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
    with (
        new_folder(out, episodes) as folder,
        h5py.File(folder / FILE, "w") as file,
        Progress(episodes, desc="export", unit="episode", delay=1.0) as bar,
    ):
        data = file.create_group("data")
        data.attrs["total"] = sum(map(len, episodes))
        data.attrs["env_args"] = to_json(
            {"env_name": f"dexscrew-{header.task}", "type": _GYM, "env_kwargs": {"robot": header.robot}}
        )
        for number, episode in enumerate(bar):
            _write(data.create_group(f"demo_{number}"), episode)
        names = [f"demo_{number}" for number in range(len(episodes))]
        count = max(1, round(_VALIDATION * len(names))) if len(names) > 1 else 0
        for split, part in (("train", names[: len(names) - count]), ("valid", names[len(names) - count :])):
            file[f"mask/{split}"] = np.array(part, "S")


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
