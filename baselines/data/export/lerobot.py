"""LeRobot's data set format v3, written with pyarrow alone; docs/dataset.md says what each feature is.

Policies of LeRobot take every key that begins with `action` for an action to predict, and `observation.state` for the
state of the robot. So our other targets have other names, and touch can be appended to the state. The taxels are one
flat column: LeRobot cannot delete episodes that have columns of a higher rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from baselines.data.export.folder import ExportError, new_folder
from baselines.data.reader import Episode
from baselines.progress import Progress
from dexscrew_envs.files import to_json, write_json

CODEBASE_VERSION = "v3.0"
FILES_A_CHUNK = 1000
_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_EPISODES = "meta/episodes/chunk-000/file-000.parquet"
_QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}

Stats = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Feature:
    """A column of the data: values (steps, size), or (steps,) for a single number."""

    values: NDArray[Any]
    names: tuple[str, ...] | None = None
    """Names of the elements."""

    @property
    def shape(self) -> list[int]:
        """Shape of a step."""
        return [1] if self.values.ndim == 1 else [self.values.shape[1]]

    def column(self) -> pa.Array:
        """Return the values as a column of Arrow."""
        if self.values.ndim == 1:
            return pa.array(self.values)
        return pa.FixedSizeListArray.from_arrays(pa.array(self.values.ravel()), self.values.shape[1])


def export(episodes: Sequence[Episode], out: Path, *, flatten_tactile: bool = False) -> None:
    """Write episodes as a LeRobot data set.

    Args:
        episodes: of one data set.
        out: the folder to make.
        flatten_tactile: whether to append the taxels to `observation.state`.

    Raises:
        ExportError: there is something at `out`, or the control rate is not a whole number of steps a second.
        EpisodeFileError: an episode is damaged.
        WriteError: the disk is full, or fails.
    """
    period = episodes[0].header.period
    fps = round(1.0 / period)
    if fps < 1 or abs(fps * period - 1.0) > 1e-6:
        raise ExportError(f"LeRobot needs a whole number of steps a second; a period of {period:g} s is none")
    tasks = list(dict.fromkeys(map(task_text, episodes)))
    records: list[dict[str, Any]] = []
    stats: list[dict[str, Stats]] = []
    described: dict[str, Any] = {}
    first = 0
    with new_folder(out, episodes) as folder, Progress(episodes, desc="export", unit="episode", delay=1.0) as bar:
        for number, episode in enumerate(bar):
            task = task_text(episode)
            features = episode_features(episode, flatten_tactile=flatten_tactile) | _indices(
                len(episode), fps, number, first, tasks.index(task)
            )
            described = {key: _description(feature) for key, feature in features.items()}
            stats.append({key: statistics(feature.values) for key, feature in features.items()})
            records.append(_record(number, task, first, len(episode), stats[-1]))
            place = _place(number)
            _write_table(pa.table({k: f.column() for k, f in features.items()}), folder / _DATA.format(**place))
            first += len(episode)
        _write_table(pa.Table.from_pylist(records), folder / _EPISODES)
        _write_table(_tasks_table(tasks), folder / "meta/tasks.parquet")
        write_json(aggregate(stats), folder / "meta/stats.json")
        write_json(
            {
                "codebase_version": CODEBASE_VERSION,
                "robot_type": episodes[0].header.robot,
                "fps": fps,
                "total_episodes": len(episodes),
                "total_frames": first,
                "total_tasks": len(tasks),
                "chunks_size": FILES_A_CHUNK,
                "data_files_size_in_mb": 100,
                "video_files_size_in_mb": 200,
                "data_path": _DATA,
                "video_path": None,
                "splits": {"train": f"0:{len(episodes)}"},
                "features": described,
            },
            folder / "meta/info.json",
        )


def task_text(episode: Episode) -> str:
    """Return what an episode is about, in words."""
    return ", ".join(filter(None, (episode.header.task, episode.header.shape)))


def episode_features(episode: Episode, *, flatten_tactile: bool) -> dict[str, Feature]:
    """Return the features of an episode, without LeRobot's own."""
    joints = episode.header.joints
    arm = tuple(f"arm_{k}" for k in range(episode["arm_q"].shape[1]))
    touch = episode.touch().reshape(len(episode), -1)
    state, names = [episode["hand_q"], episode["arm_q"]], (*joints, *arm)
    if flatten_tactile:
        state.append(touch)
        names += tuple(f"taxel_{k}" for k in range(touch.shape[1]))

    def targets(kind: str) -> Feature:
        return Feature(np.hstack([episode[f"{kind}_hand"], episode[f"{kind}_arm"]]), (*joints, *arm))

    return {
        "observation.state": Feature(np.hstack(state), names),
        "observation.arm_velocity": Feature(episode["arm_qd"], arm),
        "observation.tcp_pose": Feature(episode["tcp_pose"], ("x", "y", "z", "rx", "ry", "rz")),
        "observation.tcp_force": Feature(episode["tcp_force"], ("fx", "fy", "fz", "tx", "ty", "tz")),
        "observation.tactile": Feature(touch),
        "observation.held_targets": targets("held"),
        "action": targets("asked"),
        "sent_targets": targets("sent"),
        **{key: Feature(episode[key].astype(np.int64)) for key in ("skill", "clutch", "safety")},
    }


def statistics(values: NDArray[Any]) -> Stats:
    """Return LeRobot's statistics of a feature in one episode.

    Args:
        values: (steps, size) or (steps,).
    """
    wide = values.reshape(len(values), -1).astype(np.float64)
    quantiles = np.quantile(wide, list(_QUANTILES.values()), axis=0)
    return {
        "min": wide.min(axis=0), "max": wide.max(axis=0), "mean": wide.mean(axis=0), "std": wide.std(axis=0),
        "count": np.array([len(wide)]), **dict(zip(_QUANTILES, quantiles, strict=True)),
    }  # fmt: skip


def aggregate(stats: Sequence[Mapping[str, Stats]]) -> dict[str, Stats]:
    """Return the statistics of all episodes from those of each; quantiles are weighted means, as in LeRobot."""
    found = {}
    for key in stats[0]:
        counts = np.array([s[key]["count"][0] for s in stats])
        weights = (counts / counts.sum())[:, None]
        of = {name: np.stack([s[key][name] for s in stats]) for name in stats[0][key]}
        mean = (weights * of["mean"]).sum(axis=0)
        variance = (weights * (of["std"] ** 2 + (of["mean"] - mean) ** 2)).sum(axis=0)
        found[key] = {
            "min": of["min"].min(axis=0), "max": of["max"].max(axis=0), "mean": mean, "std": np.sqrt(variance),
            "count": np.array([counts.sum()]), **{name: (weights * of[name]).sum(axis=0) for name in _QUANTILES},
        }  # fmt: skip
    return found


def _indices(steps: int, fps: int, number: int, first: int, task: int) -> dict[str, Feature]:
    """Return the features that every LeRobot data set has."""
    frames = np.arange(steps, dtype=np.int64)
    return {
        "timestamp": Feature((frames / fps).astype(np.float32)),
        "frame_index": Feature(frames),
        "episode_index": Feature(np.full(steps, number, np.int64)),
        "index": Feature(first + frames),
        "task_index": Feature(np.full(steps, task, np.int64)),
    }


def _description(feature: Feature) -> dict[str, Any]:
    return {"dtype": str(feature.values.dtype), "shape": feature.shape, "names": feature.names}


def _place(number: int) -> dict[str, int]:
    return dict(zip(("chunk_index", "file_index"), divmod(number, FILES_A_CHUNK), strict=True))


def _record(number: int, task: str, first: int, steps: int, stats: Mapping[str, Stats]) -> dict[str, Any]:
    """Return the row of an episode in the table of episodes."""
    place = _place(number)
    return {
        "episode_index": number, "tasks": [task], "length": steps,
        "data/chunk_index": place["chunk_index"], "data/file_index": place["file_index"],
        "dataset_from_index": first, "dataset_to_index": first + steps,
        "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0,
        **{f"stats/{key}/{name}": values.tolist() for key, of in stats.items() for name, values in of.items()},
    }  # fmt: skip


def _tasks_table(tasks: Sequence[str]) -> pa.Table:
    """Return the table of tasks; pandas, with which LeRobot reads it, takes the names of the tasks as the index."""
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    columns = [
        {"name": name, "field_name": name, "pandas_type": pandas, "numpy_type": numpy, "metadata": None}
        for name, pandas, numpy in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    about = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    return table.replace_schema_metadata({"pandas": to_json(about)})


def _write_table(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=max(len(table), 1))  # an episode is one row group
