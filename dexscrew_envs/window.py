"""A window on a simulation: MuJoCo's own viewer, which the mouse turns and the program writes on."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from types import TracebackType

import gymnasium
import mujoco
import numpy as np

from dexscrew_envs import opengl

_PATIENCE = 5.0
"""How long the viewer may take to close (s)."""


class Window:
    """Shows a model and its data until it is closed, by the user or by the program; a context manager.

    Args:
        model: what is shown.
        data: its state.
        refresh: brings the values of both up to date, since the viewer changes them as well.
        keys: letters that mean something to the program; the viewer's own meanings of them are switched off.

    Raises:
        gymnasium.error.DependencyNotInstalled: there is no display; the message says why.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, refresh: Callable[[], None], keys: str) -> None:
        opengl.check_window()
        import mujoco.viewer  # not above: it needs the library of GLFW

        self._refresh = refresh
        self._pressed: queue.SimpleQueue[int] = queue.SimpleQueue()
        others = set(threading.enumerate())
        try:
            self._viewer = mujoco.viewer.launch_passive(
                model, data, key_callback=self._pressed.put, show_left_ui=False, show_right_ui=False
            )
        except RuntimeError as error:  # on macOS without mjpython
            raise gymnasium.error.DependencyNotInstalled(f"no window can be opened: {error}") from error
        self._threads = set(threading.enumerate()) - others
        letters = set(keys.upper())
        self._options = [k for k, (_, _, key) in enumerate(mujoco.mjVISSTRING) if key in letters]
        self._rendering = [k for k, (_, _, key) in enumerate(mujoco.mjRNDSTRING) if key in letters]
        self._option_values = self._viewer.opt.flags[self._options].copy()
        self._rendering_values = self._viewer.user_scn.flags[self._rendering].copy()
        with self._viewer.lock():
            _look_from_the_side(self._viewer.cam, model, data)

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it."""
        return self._viewer.is_running()

    def pressed(self) -> list[int]:
        """Return the keys that were pressed since the last call, by their codes in GLFW."""
        return [self._pressed.get() for _ in range(self._pressed.qsize())]

    def show(self, texts: list[tuple[int, int, str, str]]) -> None:
        """Show the present state.

        Args:
            texts: what is written over them: an mjtFont, an mjtGridPos, and the text of two columns.
        """
        viewer = self._viewer
        viewer.set_texts(texts)  # not below: it waits for a picture to be drawn
        with viewer.lock():
            viewer.sync()  # the viewer does what keys mean to it; a backspace puts the hand in a pose of no task
            viewer.opt.flags[self._options] = self._option_values
            viewer.user_scn.flags[self._rendering] = self._rendering_values
            self._refresh()
            viewer.sync()

    def close(self) -> None:
        """Close it, and wait until it is closed: a viewer that draws while the interpreter ends crashes it."""
        self._viewer.close()
        for thread in self._threads:
            thread.join(_PATIENCE)

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _look_from_the_side(camera: mujoco.MjvCamera, model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Place the free camera, which the mouse moves, where the scene's fixed one stands."""
    side = model.camera("side")
    target = data.xpos[side.targetbodyid[0]]
    x, y, z = line = target - data.cam_xpos[side.id]
    zoom = math.tan(math.radians(side.fovy[0] / 2)) / math.tan(math.radians(model.vis.global_.fovy / 2))
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:], camera.distance = target, zoom * np.linalg.norm(line)
    camera.azimuth, camera.elevation = math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))
