"""The video of a trial, drawn again from its recording on a twin."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import mujoco

from baselines.data.reader import Episode
from dexscrew_envs.rendering import FrameRenderer, video_writer
from real.teleop.episode import SCENE_POSITION
from real.twin.plant import Plant

SPEED = 4
"""Times as fast as the trial was."""
_SIZE = (480, 640)


def write_video(episode: Episode, path: Path) -> None:
    """Write a trial as an MP4 file.

    Args:
        episode: recorded on a twin in this process.
        path: of the file.

    Raises:
        ValueError: the recording has no scene to draw.
        gymnasium.error.DependencyNotInstalled: OpenGL or ffmpeg is missing.
        OSError: the file could not be finished.
    """
    header = episode.header
    if SCENE_POSITION not in episode.fields or header.seed is None:
        raise ValueError(f"{episode.path} was not recorded on a twin in this process, and has no scene to draw")
    model = Plant(header.task, header.shape, stratum=header.stratum, seed=header.seed).model
    data = mujoco.MjData(model)
    with (
        closing(FrameRenderer(model, *_SIZE, camera="side")) as renderer,
        video_writer(path, round(1 / header.period)) as append,
    ):
        for position in episode[SCENE_POSITION][::SPEED]:
            data.qpos[:] = position
            mujoco.mj_forward(model, data)
            append(renderer.draw(model, data))
