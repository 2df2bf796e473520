"""The hand's model agrees with the published joint data, through forward kinematics that does not use MuJoCo."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import mujoco
import numpy as np
import pytest

from dexscrew_envs.hands import XHAND_LEFT

DATA = json.loads((Path(__file__).parent / "xhand_joints.json").read_text())
CHAIN = DATA["joints"]
NAMES = ["index_bend", "index_1", "index_2", "mid_1", "mid_2", "pinky_1"]
NAMES += ["pinky_2", "ring_1", "ring_2", "thumb_bend", "thumb_1", "thumb_2"]
TIPS = ("thumb", "index", "mid", "ring", "pinky")


@pytest.fixture(scope="module")
def model():
    return XHAND_LEFT.spec().compile()


def elementary(axis, angle):
    """Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def forward_kinematics(pose, base_rotation, base_position):
    """Return the position of each fingertip, from the joint table alone."""
    frames = {"palm": (base_rotation, base_position)}
    tips = {}
    for joint, angle in zip(CHAIN, pose, strict=True):
        rotation, position = frames[joint["parent"]]
        roll, pitch, yaw = joint["rpy"]  # fixed axes: x first
        origin = elementary((0, 0, 1), yaw) @ elementary((0, 1, 0), pitch) @ elementary((1, 0, 0), roll)
        position = position + rotation @ joint["origin"]
        rotation = rotation @ origin @ elementary(joint["axis"], angle)
        frames[joint["name"]] = rotation, position
        if "tip" in joint:
            tips[joint["name"].split("_")[0]] = position + rotation @ joint["tip"]
    return tips


def test_fingertips_agree_with_forward_kinematics(model):
    rng = np.random.default_rng(0)
    data = mujoco.MjData(model)
    lower, upper = (np.array([joint[key] for joint in CHAIN]) for key in ("lower", "upper"))
    worst = 0.0
    for _ in range(200):
        pose = rng.uniform(lower, upper)
        axis, position = rng.normal(size=3), rng.normal(size=3)
        axis, angle = axis / np.linalg.norm(axis), rng.uniform(-3, 3)
        data.qpos[:] = pose
        data.mocap_pos[0] = position
        mujoco.mju_axisAngle2Quat(data.mocap_quat[0], axis, angle)
        mujoco.mj_kinematics(model, data)
        expected = forward_kinematics(pose, elementary(axis, angle), position)
        assert set(expected) == set(TIPS)
        worst = max(worst, *(np.abs(data.site(f"{tip}_tip").xpos - expected[tip]).max() for tip in TIPS))
    assert worst < 1e-6


def test_joints_and_actuators_are_in_policy_order(model):
    assert [model.joint(k).name for k in range(model.njnt)] == NAMES
    assert [model.actuator(k).name for k in range(model.nu)] == NAMES
    assert [joint["name"] for joint in CHAIN] == NAMES
    np.testing.assert_array_equal(model.actuator_trnid[:, 0], np.arange(12))
    np.testing.assert_array_equal(model.jnt_qposadr, np.arange(12))


@pytest.mark.parametrize("joint", CHAIN, ids=NAMES)
def test_joint_agrees_with_the_data(model, joint):
    name = joint["name"]
    np.testing.assert_allclose(model.joint(name).range, [joint["lower"], joint["upper"]], atol=1e-9)
    np.testing.assert_allclose(model.joint(name).axis, joint["axis"], atol=1e-9)
    assert model.jnt_limited[model.joint(name).id]
    np.testing.assert_allclose(model.actuator(name).forcerange, [-joint["effort"], joint["effort"]], atol=1e-9)
    assert model.actuator_forcelimited[model.actuator(name).id]
    assert model.actuator_gear[model.actuator(name).id, 0] == 1.0
    assert model.body(name).mass[0] == pytest.approx(joint["mass"], abs=1e-8)
    np.testing.assert_allclose(model.body(name).ipos, joint["center_of_mass"], atol=1e-8)
    assert model.body(model.body(name).parentid[0]).name == joint["parent"]


def test_total_mass_agrees_with_the_data(model):
    total = DATA["palm_mass"] + sum(joint["mass"] for joint in CHAIN)
    assert total == pytest.approx(1.1036510, abs=1e-6)
    assert model.body_mass.sum() == pytest.approx(total, abs=1e-6)
    assert model.body("palm").mass[0] == pytest.approx(DATA["palm_mass"], abs=1e-8)


def test_controller_is_a_pd_controller_of_positions(model):
    np.testing.assert_allclose(model.actuator_gainprm[:, 0], 3.0)
    np.testing.assert_allclose(model.actuator_biasprm[:, :3], np.tile([0.0, -3.0, -0.01], (12, 1)))


def test_straight_hand_touches_nothing(model):
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert data.ncon == 0


def test_hand_alone_is_stable_at_its_joint_limits(model):
    model = copy.copy(model)
    model.opt.gravity[:] = 0
    data = mujoco.MjData(model)
    for target in (model.jnt_range[:, 0], model.jnt_range[:, 1]):
        data.ctrl[:] = target
        for _ in range(200):
            mujoco.mj_step(model, data)
        assert np.isfinite(data.qpos).all()
        assert np.abs(data.qvel).max() < 1.0
        assert not data.warning.number.any()


def test_no_vendor_file_is_needed(model):
    assert model.nmesh == 0
    assert model.ntex == 0
