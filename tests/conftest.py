from __future__ import annotations

import signal

import pytest

from dexscrew_envs.rendering import FrameRenderer

if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup; what tests start would ignore it, too
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def has_opengl():
    """Whether frames can be drawn here."""
    import mujoco  # not above: the package chooses MuJoCo's OpenGL when it is the first of the two to be imported

    try:
        FrameRenderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 8, 8, camera=None).close()
    except Exception:
        return False
    return True


@pytest.fixture
def opengl(has_opengl):
    """Skip the test where nothing can be drawn."""
    if not has_opengl:
        pytest.skip("there is no OpenGL on this machine (Debian: apt-get install libegl1 libgl1)")
