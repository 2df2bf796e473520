from __future__ import annotations

from pathlib import Path

import pytest

from dexscrew_envs.rendering import FrameRenderer

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config, items):
    """Tell pytest-xdist what stays together: all that needs real time, one after another, and each other file."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        path = item.path.relative_to(HERE) if item.path.is_relative_to(HERE) else item.path
        group = "robot" if path.parts[0] == "real" else str(path)
        item.add_marker(pytest.mark.xdist_group(group))


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
