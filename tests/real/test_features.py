from __future__ import annotations

import mujoco
import numpy as np
import pytest
from robot_fakes import FakeRobot

from dexscrew_envs.hands import XHAND_LEFT
from real.env import DexScrewRealEnv
from real.features import Feature, commanded, measured
from real.hardware.robot import UR5eXHand
from real.twin.robot import TwinConfig, TwinRobot


@pytest.fixture(params=["twin", "fake"])
def robot(request):
    made = FakeRobot() if request.param == "fake" else TwinConfig().robot("nut", None)
    made.connect()
    yield made
    made.close()


def test_a_reading_has_what_the_robot_says_that_it_measures(robot):
    robot.start_trial(0)
    values = robot.read().values()
    assert set(values) == set(robot.observation_features)
    for name, feature in robot.observation_features.items():
        assert (str(values[name].dtype), values[name].shape) == (feature.dtype, feature.shape), name
        assert feature.space().contains(values[name]), name


def test_values_of_a_reading_are_copies(robot):
    reading = robot.read()
    reading.values()["hand_q"][:] = 9.0
    assert not (reading.hand.q == 9.0).any()


def test_both_robots_say_the_same():
    assert TwinRobot.observation_features == UR5eXHand.observation_features == measured(XHAND_LEFT)
    assert TwinRobot.action_features == UR5eXHand.action_features == commanded(XHAND_LEFT)


def test_commands_are_within_the_range_of_the_hand_s_model():
    model = mujoco.MjModel.from_xml_path(str(XHAND_LEFT.spec.__globals__["MODEL"]))
    space = commanded(XHAND_LEFT)["hand"].space()
    np.testing.assert_array_equal(np.stack([space.low, space.high], axis=1), model.jnt_range)
    assert XHAND_LEFT.joint_range[1][XHAND_LEFT.joints.index("thumb_bend")] == 1.832


def test_the_environment_observes_what_its_robot_measures():
    robot = FakeRobot()
    robot.observation_features = {**measured(XHAND_LEFT), "arm_q": Feature("float64", (6,), "rad", -1.0, 1.0)}
    env = DexScrewRealEnv("nut", robot=robot)
    assert env.observation_space["arm_q"].high.tolist() == [1.0] * 6
    assert env.observation_space["tactile"] == robot.observation_features["tactile"].space()
    env.close()
