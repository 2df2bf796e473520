"""Which OpenGL is chosen, in processes of their own, since MuJoCo and PyOpenGL settle it once."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VARIABLES = ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY", "PYOPENGL_PLATFORM", "MUJOCO_EGL_DEVICE_ID")

DRAW = """
import sys
for name in {first!r}:
    __import__(name)
hidden = {hidden!r}
if hidden:
    import ctypes
    load = ctypes.CDLL
    def without(name, *args, **kwargs):
        if name in hidden:
            raise OSError(name)
        return load(name, *args, **kwargs)
    ctypes.CDLL = without
import gymnasium
import dexscrew_envs
from dexscrew_envs.rendering import FrameRenderer
import mujoco
try:
    model = mujoco.MjModel.from_xml_string('''<mujoco><worldbody><light pos="0 0 2"/>
        <geom size="0.3" rgba="1 0 0 1"/></worldbody></mujoco>''')
    renderer = FrameRenderer(model, 24, 32, camera=None)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    frame = renderer.draw(model, data)
    print("frame", frame.shape, frame.std() > 5)
except gymnasium.error.DependencyNotInstalled as error:
    print(error)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more than one OpenGL to choose from")


def has(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


egl = pytest.mark.skipif(not has("libEGL.so.1"), reason="there is no EGL on this machine")


def run(code, environment, *flags):
    kept = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    done = subprocess.run(
        [sys.executable, *flags, "-c", code], cwd=ROOT, env=kept | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def draw(environment, first=(), hidden=(), flags=()):
    """Return what a process says that imports `first`, then draws; `hidden` are libraries that it does not find."""
    return run(DRAW.format(first=tuple(first), hidden=tuple(hidden)), environment, *flags)


FRAME = "frame (24, 32, 3) True"


@pytest.mark.slow
@egl
@pytest.mark.usefixtures("opengl")
@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, ()),
        ({}, ("mujoco",)),
        ({}, ("mujoco", "OpenGL.GL")),
        ({"MUJOCO_GL": ""}, ()),
        ({"MUJOCO_GL": "on"}, ("mujoco",)),
        ({"MUJOCO_GL": "EGL"}, ("mujoco",)),
        ({"PYOPENGL_PLATFORM": "egl"}, ("mujoco",)),
        ({"DISPLAY": ":77"}, ()),
        ({"DISPLAY": ":77"}, ("mujoco",)),
        ({"WAYLAND_DISPLAY": "wayland-77"}, ("mujoco",)),
    ],
    ids=str,
)
def test_there_is_a_frame_whatever_the_display_and_the_order_of_imports(environment, first):
    assert draw(environment, first, flags=("-W", "error")) == FRAME


@pytest.mark.slow
@egl
@pytest.mark.usefixtures("opengl")
@pytest.mark.parametrize(
    ("environment", "first", "reason"),
    [
        ({"MUJOCO_GL": "glfw"}, (), "DISPLAY is not set; unset MUJOCO_GL, or set it to egl"),
        ({"MUJOCO_GL": "glx", "DISPLAY": ":77"}, ("mujoco",), "the display ':77' does not answer"),
        ({"MUJOCO_GL": "bogus"}, (), "MUJOCO_GL='bogus' names none of egl, osmesa and glfw; unset MUJOCO_GL, or"),
        ({"MUJOCO_GL": "off"}, (), "MUJOCO_GL='off' switches drawing off; unset MUJOCO_GL, or set it to egl"),
        ({"MUJOCO_GL": "disable"}, ("mujoco",), "MUJOCO_GL='disable' switches drawing off"),
        ({"PYOPENGL_PLATFORM": "glx"}, (), "PYOPENGL_PLATFORM='glx' keeps PyOpenGL from it; unset that, or"),
        ({"MUJOCO_GL": "egl", "PYOPENGL_PLATFORM": "osmesa"}, ("mujoco",), "PYOPENGL_PLATFORM='osmesa' keeps PyOpenGL"),
        ({"MUJOCO_EGL_DEVICE_ID": "99"}, (), "MUJOCO_EGL_DEVICE_ID environment variable must be an integer between 0"),
        ({"MUJOCO_EGL_DEVICE_ID": "x"}, ("mujoco",), "MUJOCO_EGL_DEVICE_ID is 'x'"),
    ],
    ids=str,
)  # fmt: skip
def test_the_true_cause_is_told_and_nothing_to_install_that_is_there(environment, first, reason):
    said = draw(environment, first)
    assert said.startswith("there is no OpenGL to draw with: ")
    assert reason in said
    assert "apt-get" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "hidden", "told", "not_told"),
    [
        ({"MUJOCO_GL": "osmesa"}, ("libOSMesa.so.8",), "libOSMesa.so.8 is missing; .*install libosmesa6", "libegl1"),
        ({"MUJOCO_GL": "egl"}, ("libEGL.so.1",), "libEGL.so.1 is missing; .*install libegl1 libgl1", "libosmesa6"),
        ({}, ("libEGL.so.1", "libOSMesa.so.8"), "libEGL.so.1 is missing; .*install libegl1 libgl1", "libosmesa6"),
    ],
    ids=str,
)  # fmt: skip
def test_a_missing_library_is_named_with_its_package_and_the_physics_runs(environment, hidden, told, not_told):
    said = draw(environment, hidden=hidden)  # it has imported MuJoCo and compiled a model
    assert re.search(told, said), said
    assert not_told not in said


def test_a_variable_that_keeps_mujoco_from_its_import_stays_as_it_is():
    code = "import os, dexscrew_envs, mujoco; print(os.environ['MUJOCO_GL'])"
    assert run(code, {"MUJOCO_GL": "bogus"}) == "bogus"


@pytest.mark.slow
@pytest.mark.parametrize("module", ["real.twin.plant", "real.twin.network.server", "dexscrew_envs.sim.mujoco"])
def test_every_way_in_to_mujoco_survives_such_a_variable(module):
    assert run(f"import {module}; print('there')", {"MUJOCO_GL": "bogus"}) == "there"
