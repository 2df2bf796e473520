"""Where ur_rtde has wheels, and what becomes of everything else where it has none."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import real
from real.hardware.robot import RobotConfig, UR5eXHand
from real.hardware.ur5e import UR5e
from real.robot import RobotError

ROOT = Path(real.__file__).parents[1]
LINUX = {"platform_system": "Linux", "sys_platform": "linux", "platform_machine": "x86_64"}
SENTENCE = (
    r"^the arm's driver needs ur_rtde, which Python \S+ on \S+ \S+ does not have; its wheels are for Python 3\.11 and "
    r"3\.12 on x86-64 Linux, where `pip install dexscrew\[real\]` installs it$"
)


@pytest.fixture
def requirement():
    """What the extra asks for."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["real"]
    return next(found for found in map(Requirement, extra) if found.name == "ur-rtde")


@pytest.mark.parametrize(
    ("machine", "wanted"),
    [
        ({"python_version": "3.11"}, True),
        ({"python_version": "3.12"}, True),
        ({"python_version": "3.13"}, False),
        ({"python_version": "3.14"}, False),
        ({"python_version": "3.12", "platform_machine": "aarch64"}, False),
        ({"python_version": "3.12", "platform_system": "Darwin", "platform_machine": "arm64"}, False),
        ({"python_version": "3.12", "platform_system": "Darwin"}, False),
        ({"python_version": "3.12", "platform_system": "Windows", "platform_machine": "AMD64"}, False),
    ],
    ids=str,
)
def test_it_is_asked_for_where_it_has_wheels_and_the_driver_works(requirement, machine, wanted):
    assert requirement.marker is not None and requirement.marker.evaluate(LINUX | machine) == wanted
    assert requirement.specifier.contains("1.6.5")


def test_without_it_the_arm_says_what_is_missing_before_anything_is_connected(requirement, monkeypatch):
    monkeypatch.setitem(sys.modules, "rtde_control", None)
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: pytest.fail("too late"))
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("too late"))
    robot = UR5eXHand(RobotConfig(arm="192.0.2.1", hand="tcp://127.0.0.1:5557"))
    for call in (UR5e("192.0.2.1").connect, UR5e("192.0.2.1").recover, robot.connect):
        with pytest.raises(RobotError, match=SENTENCE) as raised:
            call()
        versions = [f"3.{k}" for k in range(11, 20)]
        asked = [v for v in versions if requirement.marker.evaluate(LINUX | {"python_version": v})]
        assert f"its wheels are for Python {' and '.join(asked)} on" in str(raised.value)


def test_without_it_everything_else_is_imported_and_programs_run():
    code = """
import sys
for name in ("rtde_control", "rtde_receive", "dashboard_client"):
    sys.modules[name] = None
import real.twin.__main__, real.hardware.hand_server, real.hardware.robot
from real import doctor, run
status = run.main(["--seconds", "0.2", "--no-view"])
sys.exit(status or 10 * doctor.main(["--arm", "127.0.0.1", "--hand", "tcp://127.0.0.1:5557"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "time is over" in done.stdout and "Traceback" not in done.stderr
    assert done.returncode == 30, done.stdout + done.stderr
