"""DexScrew: fastening nuts and turning screwdrivers with a multi-fingered hand.

Importing this package registers the environments with Gymnasium and loads nothing heavy.
"""

import ctypes
import os
import sys

from dexscrew_envs import program

__version__ = "0.1.0"


def _choose_opengl() -> None:
    """Let MuJoCo draw without a display: it picks its OpenGL when it is first imported, and its default needs one."""
    headless = not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if sys.platform != "linux" or not headless or "MUJOCO_GL" in os.environ:
        return
    for backend, library in (("egl", "libEGL.so.1"), ("osmesa", "libOSMesa.so.8")):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        os.environ["MUJOCO_GL"] = backend
        return


def _register() -> None:
    try:
        import gymnasium
    except ModuleNotFoundError:  # the computer of a hand server needs no more than its few packages
        return
    for task, name in (("nut", "Nut"), ("screwdriver", "Screwdriver")):
        gymnasium.register(
            id=f"DexScrew-{name}-v0",
            entry_point="dexscrew_envs.env:DexScrewEnv",
            vector_entry_point="dexscrew_envs.vector_env:DexScrewVectorEnv",
            kwargs={"task": task},
        )
        gymnasium.register(id=f"DexScrew-{name}Real-v0", entry_point="real.env:DexScrewRealEnv", kwargs={"task": task})


_choose_opengl()
program.guard_imports()
_register()
