"""Recorded episodes on the operator's page: a `Replay` of a data set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from baselines.data.folder import numbered
from baselines.data.reader import Demonstrations
from baselines.data.reader import Episode as Recording
from dexscrew_envs.rendering import FrameRenderer
from real.safety import NEWTON_PER_COUNT, SafetyLimits
from real.teleop.episode import SCENE_POSITION
from real.teleop.watch import jpeg, names, physical_state, progress
from real.teleop.web.replay import Episode
from real.teleop.web.state import State

_SIZE = (480, 640)

SAMPLES = Path(__file__).parent / "samples"
"""Three episodes of each task, recorded with the scripted operator, in a folder of the task's name."""


class RecordedEpisodes:
    """A data set as the page replays it. A recording on a twin is drawn again, from the positions of its scene.

    Args:
        folder: of the data set; it may be empty, and grow.
        samples: data set to show as long as the folder has no episode.
    """

    def __init__(self, folder: Path, samples: Path | None = None) -> None:
        self._folder, self._samples = folder, samples
        self._recordings: list[Recording] = []
        self._files: dict[Path, int] = {}
        self._scene: tuple[Any, FrameRenderer] | None = None

    def episodes(self) -> Sequence[Episode]:
        """See `Replay.episodes`."""
        folder, files = self._folder, _files(self._folder)
        if not files and self._samples is not None:
            folder, files = self._samples, _files(self._samples)
        if files != self._files:
            self._recordings, self._files = list(Demonstrations(folder)) if files else [], files
        return [
            Episode(
                key=f"{recording.name} {recording.header.id}", task=recording.header.task, shape=recording.header.shape,
                outcome=recording.outcome.mark, steps=len(recording), period=recording.header.period,
            )
            for recording in self._recordings
        ]  # fmt: skip

    def overview(self, episode: int) -> Mapping[str, Any]:
        """See `Replay.overview`."""
        recording = self._recordings[episode]
        turns = [None if math.isnan(value) else round(float(value), 3) for value in recording["turns"]]
        return {"turns": turns, "skill": recording["skill"].tolist()}

    def state(self, episode: int, step: int) -> State:
        """See `Replay.state`."""
        recording = self._recordings[episode]
        header, outcome = recording.header, recording.outcome
        turns = float(recording["turns"][step])
        known = None if math.isnan(turns) else turns
        forces = NEWTON_PER_COUNT * np.linalg.norm(recording["resultant"][step].astype(float), axis=1)
        above = recording["tactile"][step, ..., 2].astype(int) - header.tactile_bias[..., 2]
        safety = int(recording["safety"][step])
        state = physical_state(recording["tcp_pose"][step], recording["tcp_force"][step], forces, SafetyLimits())
        state |= State(
            tactile=above.clip(0, 255).astype(np.uint8), fingers=list(header.fingers), turns=known,
            needed=outcome.needed, progress=progress(known, outcome.needed),
            time=float(recording["time"][step] - recording["time"][0]), age=recording["age"][step].astype(float),
            period=header.period, jitter=0.0, skill=bool(recording["skill"][step]),
            clutch=bool(recording["clutch"][step]), recording=False, episode=episode + 1,
            safety={"trip": outcome.reason if safety == 2 else "", "limited": safety == 1},
            message=f"{outcome.mark}: {outcome.reason}" if step == len(recording) - 1 else "",
        )  # fmt: skip
        state.update(names(task=header.task, shape=header.shape, operator=header.operator, robot=header.robot,
                           policy=header.policy))  # type: ignore[typeddict-item]  # fmt: skip
        return state

    def picture(self, episode: int, step: int) -> bytes | None:
        """See `Replay.picture`."""
        recording = self._recordings[episode]
        if SCENE_POSITION not in recording.fields or recording.header.seed is None:
            return None
        header = recording.header
        model = _model(header.task, header.shape, header.stratum, header.seed)
        if self._scene is None or self._scene[0].model is not model:
            if self._scene is not None:
                self._scene[1].close()
            self._scene = (mujoco.MjData(model), FrameRenderer(model, *_SIZE, camera="side"))
        data, renderer = self._scene
        data.qpos[:] = recording[SCENE_POSITION][step]
        mujoco.mj_forward(model, data)
        return jpeg(renderer.draw(model, data))


def _files(folder: Path) -> dict[Path, int]:
    """Return a folder's episodes, and when each was written (ns), so that it shows when they have changed."""
    return {path: path.stat().st_mtime_ns for path in numbered(folder).values()} if folder.is_dir() else {}


@lru_cache(maxsize=2)
def _model(task: str, shape: str, stratum: str, seed: int) -> mujoco.MjModel:
    """Return the scene of a twin's trial, which its seed fixes."""
    from real.twin.plant import Plant

    return Plant(task, shape, stratum=stratum, seed=seed).model
