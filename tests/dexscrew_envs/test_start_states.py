from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from dexscrew_envs.hands.xhand import JOINTS
from dexscrew_envs.scene import build_scene
from dexscrew_envs.start_states import build_start_states, joint_limits, scene_and_start_states
from dexscrew_envs.tasks import NUT, SCREWDRIVER, TASKS, make_task

TASK_NAMES = list(TASKS)


def rotation_of(quat):
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASK_NAMES)
def test_a_thousand_resets_begin_without_penetration_and_with_the_fingers_near(make_env, task):
    env = make_env(task, 1000, autoreset=False)
    env.reset(seed=0)
    batch = env.sim.batch
    model, deepest, starts = batch.get_model(0), 0.0, set()
    for k in range(1000):
        model = batch.get_model(k, model)
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE.value  # trust no bounding volume
        data = batch.get_data(k)
        mujoco.mj_forward(model, data)
        deepest = min(deepest, data.contact.dist.min(initial=0.0))
        nut = data.body("nut").xpos
        for finger in ("thumb", "index"):
            assert np.linalg.norm(data.site(f"{finger}_tip").xpos - nut) < env.task.reset_distance
        starts.add(data.qpos[:12].tobytes())
        assert not data.qvel.any()
        assert data.qpos[12] == 0.0
    assert deepest > -1e-3
    assert len(starts) > 500, "the resets were not random"


@pytest.mark.slow
@pytest.mark.parametrize("task", TASK_NAMES)
def test_no_object_turns_by_itself(make_env, task):
    env = make_env(task, 1000, autoreset=False, observe="proprio", action_noise=(0.0, 0.0), push_probability=0.0)
    env.reset(seed=0)
    for _ in range(20):
        infos = env.step(torch.zeros(1000, 12))[-1]
    assert infos["rotations"].abs().max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("task", TASK_NAMES)
def test_states_agree_with_the_task(task):
    task = TASKS[task]
    scene, bank = scene_and_start_states(task)
    assert len(bank.variant) == 1024
    assert set(bank.variant) == set(range(len(scene.variants.scale)))
    offset = bank.object_pos - task.object_position
    assert (offset >= 0).all()
    assert (offset <= task.object_position_noise).all()
    assert np.ptp(offset[:, :2], axis=0).min() > 0.007
    offset = bank.hand_pos - task.hand_position
    assert (offset >= 0).all()
    assert 0.0009 < np.ptp(offset, axis=0).min() <= task.hand_position_noise

    tilts = np.degrees([np.arccos(min(1.0, rotation_of(quat)[2, 2])) for quat in bank.object_quat])
    assert tilts.max() <= task.object_tilt + 1e-6
    assert tilts.max() > 0.9 * task.object_tilt - 1e-9
    # Roll about y after pitch about x: the hand's y axis goes to (sin roll sin pitch, cos pitch, cos roll sin pitch).
    for quat in bank.hand_quat:
        x, y, z = rotation_of(quat)[:, 1]
        assert 60 <= np.degrees(np.arccos(y)) <= 70
        assert -5 <= np.degrees(np.arctan2(x, z)) <= 5
        np.testing.assert_allclose(rotation_of(quat)[1, 0], 0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASK_NAMES)
def test_poses_stay_within_the_limits_and_near_the_published_one(task):
    task = TASKS[task]
    scene, bank = scene_and_start_states(task)
    lower, upper = joint_limits(task, scene.model)
    assert (bank.joint_pos >= lower).all()
    assert (bank.joint_pos <= upper).all()
    noise = 0.05 * np.ptp(scene.model.jnt_range[:12], axis=1)
    # Fingers are only ever opened: joints of theirs move downwards from the sampled pose, never upwards.
    highest = np.clip(np.array(task.start_pose) + noise, lower, upper)
    bend = JOINTS.index("index_bend")
    moved = np.delete(bank.joint_pos - highest, bend, axis=1)
    assert moved.max() <= 1e-9
    assert bank.joint_pos.std(axis=0)[10] > 0.01


def test_thumb_bend_has_the_limits_of_the_task():
    for task in (NUT, SCREWDRIVER):
        model = scene_and_start_states(task)[0].model
        lower, upper = joint_limits(task, model)
        assert (("thumb_bend", lower[9], upper[9]),) == task.target_ranges
        others = np.arange(12) != 9
        np.testing.assert_array_equal(lower[others], model.jnt_range[:12, 0][others])
        np.testing.assert_array_equal(upper[others], model.jnt_range[:12, 1][others])


def test_limits_of_the_task_never_exceed_those_of_the_joint():
    task = make_task("nut", target_ranges=(("thumb_bend", -1.0, 5.0),))
    model = scene_and_start_states(NUT)[0].model
    lower, upper = joint_limits(task, model)
    assert (lower[9], upper[9]) == (0.0, 1.832)


def test_same_seed_gives_the_same_states():
    task = make_task("nut", randomize=False, start_pose_noise=0.05)
    scene = build_scene(task)
    first, again, other = (build_start_states(task, scene, 10, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.joint_pos, again.joint_pos)
    assert not np.array_equal(first.joint_pos, other.joint_pos)


@pytest.mark.slow
def test_without_randomization_there_is_one_state():
    for name in TASK_NAMES:
        _, bank = scene_and_start_states(TASKS[name].without_randomization())
        for values in (bank.joint_pos, bank.hand_pos, bank.hand_quat, bank.object_pos, bank.object_quat):
            np.testing.assert_array_equal(values, values[:1].repeat(len(values), axis=0))


def test_scene_is_built_once_per_task():
    first, second = scene_and_start_states(NUT), scene_and_start_states(make_task("nut"))
    assert first[0] is second[0]
    assert first[1] is second[1]


def test_task_without_room_for_the_hand_raises():
    task = make_task("nut", randomize=False, reset_distance=0.001)
    with pytest.raises(ValueError, match="nut task has hardly a start state: 21 of 21 samples were dropped"):
        build_start_states(task, build_scene(task), 10)
