from __future__ import annotations

import signal

import pytest

from dexscrew_envs.rendering import FrameRenderer

# Under nohup, or in the background of a script, some signals are ignored; what tests start would ignore them, too.
for number, default in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)


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
