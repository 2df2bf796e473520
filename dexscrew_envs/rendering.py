"""Frames and videos of a simulation."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np

from dexscrew_envs import extras, opengl
from dexscrew_envs.scene import LARGEST_FRAME


def check_size(size: tuple[int, int]) -> None:
    """Raise ValueError unless frames of this height and width, two integers, can be drawn."""
    height, width = LARGEST_FRAME
    pair = tuple(size) if isinstance(size, (tuple, list)) else ()
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in pair)
    if len(pair) != 2 or not whole or not (1 <= pair[0] <= height and 1 <= pair[1] <= width):
        raise ValueError(
            f"render_size must be height and width, at most {height} by {width} pixels, two integers of at least 1, "
            f"got {size!r}"
        )


def check_camera(model: mujoco.MjModel, camera: str | None) -> None:
    """Raise ValueError unless the model has a camera of this name; None is the free one."""
    known = [model.camera(k).name for k in range(model.ncam)]
    if camera is not None and not (isinstance(camera, str) and camera in known):
        raise ValueError(f"unknown camera {camera!r}; choose from {', '.join(known)}, or None for a free one")


class FrameRenderer:
    """Draws frames of one model, off screen.

    Args:
        model: the model to draw, or one with the same sizes.
        height: of a frame in pixels.
        width: of a frame in pixels.
        camera: name of the camera, or None for a free one.

    Raises:
        gymnasium.error.DependencyNotInstalled: there is no OpenGL; the message says why, and what helps.
    """

    def __init__(self, model: mujoco.MjModel, height: int, width: int, camera: str | None) -> None:
        self._renderer = opengl.make_renderer(model, height, width)
        self._camera = -1 if camera is None else camera

    def draw(self, model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
        """Return an RGB frame (height, width, 3), uint8, of a model that differs from the first only in its values."""
        self._renderer._model = model  # shapes and sizes vary between environments; the meshes are the same
        self._renderer.update_scene(data, camera=self._camera)
        return self._renderer.render().copy()

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()


@contextmanager
def video_writer(path: Path, fps: int) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that appends an RGB frame (height, width, 3), uint8, to an H.264 file.

    Raises:
        gymnasium.error.DependencyNotInstalled: imageio with ffmpeg is missing.
        OSError: ffmpeg did not finish the file, as on a full disk.
    """
    try:
        import imageio.v2 as imageio
        import imageio_ffmpeg  # type: ignore[import-untyped]  # noqa: F401  # imageio names another package
    except ImportError as error:
        raise gymnasium.error.DependencyNotInstalled(
            extras.missing(error.name or "imageio", "writing videos")
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"fps": fps, "codec": "libx264", "quality": 7, "macro_block_size": 8}
    writer: Any
    with imageio.get_writer(path, **options) as writer:
        yield writer.append_data
    if not _is_whole(path):
        raise OSError(f"ffmpeg did not finish {path}; see what it printed, and whether the disk is full")


def _is_whole(path: Path) -> bool:
    """Return whether an MP4 file has its index, which ffmpeg writes last; it fails in silence.

    Source of the boxes' layout: ISO/IEC 14496-12, 4.2.
    """
    data, at, kinds = path.read_bytes(), 0, set()
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1:  # a size of 64 bits follows
            size = struct.unpack_from(">Q", data, at + 8)[0] if at + 16 <= len(data) else 0
        if size < 8:
            return False
        kinds.add(kind)
        at += size
    return at == len(data) and b"moov" in kinds
