"""What the environment of the robot refuses to be made from, before anything is connected."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from robot_fakes import FakeRobot

from dexscrew_envs.tasks import make_task
from real.env import DexScrewRealEnv
from real.hardware.robot import RobotConfig
from real.safety import SafetyLimits
from real.twin.plant import Plant
from real.twin.robot import TwinConfig, TwinRobot


@pytest.fixture
def robot():
    return FakeRobot()


SIZE = "render_size must be height and width, at most 1440 by 1920 pixels, two integers of at least 1, got "
BAD_ARGUMENTS = [
    ({"task": "bolt"}, ValueError, "unknown task 'bolt'; choose from nut, screwdriver"),
    ({"task": ["nut"]}, ValueError, "unknown task"),
    ({"task": make_task("nut")}, ValueError, "unknown task"),
    ({"action": "arm"}, ValueError, "choose 'hand' or 'full'"),
    ({"action": np.array(["hand", "full"])}, ValueError, "choose 'hand' or 'full'"),
    ({"observe": ("privileged",)}, ValueError, "unknown observation 'privileged'"),
    ({"observe": ()}, ValueError, "at least one of"),
    ({"observe": 3}, ValueError, "observe must name at least one of proprio"),
    ({"limits": {"max_age": 1.0}}, TypeError, "limits must be SafetyLimits"),
    ({"limits": SafetyLimits}, TypeError, "limits must be SafetyLimits"),
    ({"episode_steps": 0}, ValueError, "episode_steps must be"),
    ({"episode_steps": 20.0}, ValueError, "episode_steps must be"),
    ({"episode_steps": True}, ValueError, "episode_steps must be"),
    ({"render_mode": "human"}, ValueError, "unknown render_mode"),
    ({"render_mode": ["rgb_array"]}, ValueError, "unknown render_mode"),
    ({"shape": "heptagon"}, ValueError, "unknown shape 'heptagon' of the nut; choose from triangle, square"),
    ({"shape": "octagon"}, ValueError, "unknown shape 'octagon' of the nut"),
    ({"shape": ["square"]}, ValueError, "unknown shape"),
    *(
        ({"render_size": size}, ValueError, SIZE)
        for size in [(2160, 3840), (1441, 640), (480, 1921), (480.0, 640.0), (0, 640), (True, True), (480,), (1, 2, 3),
                     480, None, "ab", (np.nan, 1), ("480", "640")]
    ),
]  # fmt: skip


@pytest.mark.parametrize("on", ["a twin", "a robot"])
@pytest.mark.parametrize(("kwargs", "error", "words"), BAD_ARGUMENTS, ids=lambda value: str(value)[:40])
def test_bad_arguments_are_refused_before_anything_is_connected(kwargs, error, words, on, robot, monkeypatch):
    monkeypatch.setattr(robot, "connect", lambda: pytest.fail("too late"))
    monkeypatch.setattr("real.twin.robot.Plant", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(error, match=words) as raised:
        DexScrewRealEnv(**({} if on == "a twin" else {"robot": robot}) | kwargs)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("hardware", ValueError, "unknown robot 'hardware'"),
        ("twin:harder", ValueError, "unknown stratum 'harder'; choose from easy"),
        (3, TypeError, "robot must be 'twin', a TwinConfig, a RobotConfig or a Robot, got int"),
        (None, TypeError, "robot must be"),
        (np.zeros(3), TypeError, "robot must be"),
        (TwinConfig, TypeError, "robot must be"),
        (FakeRobot, TypeError, "robot must be"),
    ],
    ids=str,
)
def test_what_is_no_robot_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        DexScrewRealEnv(robot=given)


def test_a_twin_that_fastens_something_else_is_refused():
    twin = TwinRobot(Plant("nut", "square"), TwinConfig())
    for task, shape in (("screwdriver", None), ("nut", "hexagon")):
        with pytest.raises(ValueError, match="the robot is a twin with a square nut; give its own task and shape"):
            DexScrewRealEnv(task, robot=twin, shape=shape)
    DexScrewRealEnv("nut", robot=twin, shape="square").close()


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"gain": 50}, "gain must be a number between 100 and 2000, got 50"),
        ({"gain": np.nan}, "gain must be"),
        ({"lookahead": "0.1"}, "lookahead must be a number between 0.03 and 0.2, got '0.1'"),
        ({"gains": (100, 0)}, "gains must be kp, ki and kd, three integers from 0 to 400"),
        ({"gains": (100.0, 0, 1)}, "gains must be kp, ki and kd"),
        ({"gains": 100}, "gains must be kp, ki and kd"),
        ({"torque_limit": 4000}, "torque_limit must be an integer from 0 to 400 mA, got 4000"),
        ({"torque_limit": True}, "torque_limit must be"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [TwinConfig, partial(RobotConfig, arm="192.0.2.1", hand="tcp://127.0.0.1:5557")])
def test_gains_are_checked_before_anything_moves(kind, kwargs, words):
    with pytest.raises(ValueError, match=words):
        kind(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"arm": ""}, "arm must be an address, such as 192.168.1.10, got ''"),
        ({"arm": None}, "arm must be an address"),
        ({"hand": " "}, "hand must be an address, such as tcp://127.0.0.1:5557"),
        ({"hand": "5557"}, "'5557' is no address of a hand server; write it as tcp://"),
        ({"hand": "tcp://192.0.2.1:5557"}, "is on another machine, which needs keys"),
        ({"server_key": "server.key"}, "give both the server's key and the client's, or neither"),
        ({"server_key": "nowhere", "client_key": "nowhere"}, "no key in nowhere"),
        ({"server_key": 3}, "server_key must be the path of a file, got 3"),
        ({"frequency": 1000}, "frequency must be a number between 20 and 500"),
        ({"frequency": "125"}, "frequency must be a number between 20 and 500"),
    ],
    ids=str,
)
def test_addresses_of_a_robot_are_checked(kwargs, words):
    with pytest.raises(ValueError, match=words):
        RobotConfig(**{"arm": "192.0.2.1", "hand": "tcp://127.0.0.1:5557"} | kwargs)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [({"stratum": "brutal"}, "unknown stratum 'brutal'; choose from easy"), ({"gains": (100, 1, 1)}, "ki must be 0")],
)
def test_a_twin_takes_what_it_knows(kwargs, words):
    with pytest.raises(ValueError, match=words):
        TwinConfig(**kwargs)


def test_drawing_hardware_is_refused(robot):
    with pytest.raises(ValueError, match="only a twin in this process can be drawn"):
        DexScrewRealEnv("nut", robot=robot, render_mode="rgb_array")


def test_a_robot_without_a_method_is_refused():
    class Half:
        connect = read = command = wait = stop = recover = close = FakeRobot.stop

    with pytest.raises(TypeError, match="robot must be 'twin', a TwinConfig, a RobotConfig or a Robot, got Half"):
        DexScrewRealEnv("nut", robot=Half())
