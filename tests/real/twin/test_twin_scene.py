from __future__ import annotations

import math
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from dexscrew_envs.hands.xhand import FINGERS, JOINTS
from dexscrew_envs.tasks import TASKS, make_task
from real.kinematics import forward, inverse, matrix_to_pose
from real.twin.plant import SHAPES, Plant
from real.twin.scene import ARM_JOINTS, HAND, MOUNT_QUAT, START_ARM, TASK_POSITION, TASK_ROTATION, build_scene

EVERY_OBJECT = [(task, shape) for task, shapes in SHAPES.items() for shape in shapes]


@pytest.fixture(scope="module")
def scene():
    spec, _ = build_scene(make_task("nut", randomize=False), Plant.TIMESTEP)
    model = spec.compile()
    return model, mujoco.MjData(model)


def test_arm_and_hand_come_first_in_policy_order(scene):
    model, _ = scene
    names = [*ARM_JOINTS, *(HAND + joint for joint in JOINTS)]
    assert [model.joint(k).name for k in range(model.njnt)] == names
    assert [model.actuator(k).name for k in range(model.nu)] == names


def test_flange_agrees_with_the_controller_s_kinematics(scene):
    model, data = scene
    rng = np.random.default_rng(0)
    for _ in range(20):
        data.qpos[:6] = rng.uniform(-np.pi, np.pi, 6)
        mujoco.mj_kinematics(model, data)
        frame = np.eye(4)
        frame[:3, :3], frame[:3, 3] = data.site("flange").xmat.reshape(3, 3), data.site("flange").xpos
        np.testing.assert_allclose(matrix_to_pose(frame), forward(data.qpos[:6]), atol=1e-6)


def palm_pose(task):
    """Return position (3,) and rotation matrix (3, 3) of the palm at the start, in the arm's base frame."""
    pitch = math.radians(sum(task.hand_pitch) / 2)
    turn = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    return np.array(TASK_POSITION) + TASK_ROTATION @ np.array(task.hand_position), TASK_ROTATION @ turn


@pytest.mark.parametrize("task", SHAPES)
def test_palm_starts_where_the_simplified_task_has_it(scene, task):
    model, data = scene
    data.qpos[:6] = START_ARM
    mujoco.mj_kinematics(model, data)
    position, rotation = palm_pose(make_task(task, randomize=False))
    np.testing.assert_allclose(data.body(f"{HAND}palm").xpos, position, atol=1e-9)
    np.testing.assert_allclose(data.body(f"{HAND}palm").xmat.reshape(3, 3), rotation, atol=1e-9)


def test_start_is_a_solution_of_the_inverse_kinematics():
    position, rotation = palm_pose(make_task("nut", randomize=False))
    mount = np.zeros(9)
    mujoco.mju_quat2Mat(mount, np.array(MOUNT_QUAT))
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = rotation @ mount.reshape(3, 3).T, position
    q = inverse(matrix_to_pose(frame), np.array(START_ARM) + 0.05)
    np.testing.assert_allclose(q, START_ARM, atol=1e-5)


@pytest.mark.parametrize("task", SHAPES)
def test_object_stands_to_the_palm_as_in_the_simplified_task(task):
    settings = make_task(task, randomize=False)
    spec, _ = build_scene(settings, Plant.TIMESTEP)
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qpos[:6] = START_ARM
    mujoco.mj_kinematics(model, data)
    base, palm = data.body("object"), data.body(f"{HAND}palm")
    seen = base.xmat.reshape(3, 3).T @ (palm.xpos - base.xpos)
    np.testing.assert_allclose(seen, np.subtract(settings.hand_position, settings.object_position), atol=1e-9)


@pytest.mark.parametrize("task, shape", EVERY_OBJECT)
def test_fingers_start_next_to_the_object_without_touching_it(task, shape, nominal_plant):
    plant = nominal_plant(task, shape, **({"object": {"start_tilt": 0.0}} if task == "screwdriver" else {}))
    model, data = plant.model, plant.data
    parts = [g for g in range(model.ngeom) if model.geom(g).name.startswith(("nut_", "handle_"))]
    names = [model.geom(g).name for g in data.contact.geom.ravel()]
    assert not any(name.startswith(("nut_", "handle_")) for name in names)
    gaps = {}
    for finger in FINGERS[:2]:
        tip = model.body(f"{HAND}{finger}_2").id
        geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] == tip]
        gaps[finger] = min(mujoco.mj_geomDistance(model, data, g, p, 0.1, None) for g in geoms for p in parts)
    assert all(0 <= gap < 0.025 for gap in gaps.values()), gaps


@pytest.mark.parametrize("shape", SHAPES["nut"])
def test_nut_starts_at_the_height_of_the_fingertips(shape, nominal_plant):
    plant = nominal_plant("nut", shape)
    base, nut = plant.data.body("object").xpos[2], plant.data.body("nut").xpos[2]
    tips = [plant.data.site(f"{HAND}{finger}_tip").xpos[2] for finger in FINGERS[:2]]
    assert base == pytest.approx(TASK_POSITION[2])
    assert nut - 0.01 < max(tips) < nut  # the apex is below the nut, so that the pad faces it


def test_hand_geoms_do_not_touch_each_other_at_the_start(nominal_plant):
    plant = nominal_plant("nut")
    assert plant.data.ncon == 0


def test_offset_of_the_object_moves_it(nominal_plant):
    here, there = nominal_plant("nut"), nominal_plant("nut", placement={"x": 0.003, "y": -0.002})
    moved = there.data.body("object").xpos - here.data.body("object").xpos
    np.testing.assert_allclose(moved, [-0.003, 0.002, 0.0], atol=1e-12)  # the task frame is turned by half a turn


def test_scene_takes_the_task_s_object_position():
    task = make_task("nut", randomize=False)
    _, base = build_scene(replace(task, object_position=(0.0, 0.0, 0.0)), Plant.TIMESTEP)
    np.testing.assert_allclose(base.pos, TASK_POSITION)


def test_the_twin_has_the_objects_of_the_tasks_that_are_on_the_robot():
    assert {name for name, task in TASKS.items() if task.on_robot} == set(SHAPES)
    assert all(set(SHAPES[name]) <= set(TASKS[name].shapes) for name in SHAPES)
