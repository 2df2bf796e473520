from __future__ import annotations

import math
from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch

from dexscrew_envs.hands.xhand import FINGERS
from dexscrew_envs.mdp import observations as obs
from dexscrew_envs.tasks import NUT, SCREWDRIVER


def random_quats(count, seed=0):
    quat = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return quat / quat.norm(dim=1, keepdim=True)


def rotated_by_mujoco(quat, vector):
    result = np.zeros(3)
    mujoco.mju_rotVecQuat(result, vector.double().numpy(), quat.double().numpy())
    return torch.from_numpy(result).float()


def constants_of(sim, episode):
    bank, variants = sim.start_states, sim.scene.variants
    start = episode.start.numpy()
    variant = bank.variant[start]

    def tensor(array):
        return torch.as_tensor(array, dtype=torch.float32)

    return obs.Constants(
        object_pos=tensor(bank.object_pos[start]),
        scale=tensor(variants.scale[variant])[:, None],
        symmetry=tensor(variants.symmetry[variant])[:, None],
        start_pose=tensor(bank.joint_pos[start]),
        hand_quat=tensor(bank.hand_quat[start]),
        hand_pos=tensor(bank.hand_pos[start]),
        points=tensor(variants.points[variant]),
    )


@pytest.fixture
def moving(make_sim):
    """Return a function that gives simulations in motion, their privileged observation by slice, and MuJoCo's view."""

    def build(name):
        sim, episode = make_sim(name, 3)
        rng = np.random.default_rng(0)
        sim.batch.qvel[:] = rng.normal(size=(3, 13))
        sim.batch.qpos[:, 12] = rng.uniform(0.1, 600, 3)
        sim.batch.forward()
        constants, task = constants_of(sim, episode), sim.task
        values = obs.privileged(task, sim.read(), episode, constants, obs.privileged_bounds(task))
        layout = obs.privileged_layout(task)
        slices = {key: values[:, place].double().numpy() for key, place in layout.items()}
        simulations = []
        for k in range(3):
            model, data = sim.batch.get_model(k), sim.batch.get_data(k)
            mujoco.mj_forward(model, data)
            simulations.append((model, data))
        return sim, episode, slices, simulations

    return build


@pytest.mark.parametrize(("task", "size"), [(NUT, 137), (SCREWDRIVER, 94)])
def test_layout_has_its_size_without_gaps(task, size):
    layout = obs.privileged_layout(task)
    ends = [place.stop for place in layout.values()]
    assert [place.start for place in layout.values()] == [0, *ends[:-1]]
    assert ends[-1] == size
    assert tuple(layout) == task.privileged
    assert obs.privileged_bounds(task).shape == (size,)
    assert all(
        place.stop - place.start == obs.PRIVILEGED_SLICES[name].size(task.hand) for name, place in layout.items()
    )


def test_unknown_slice_names_those_that_exist():
    with pytest.raises(ValueError, match="unknown privileged slice 'colour'; choose from object_position"):
        obs.privileged_layout(replace(NUT, privileged=("object_mass", "colour")))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nut", "screwdriver"])
def test_slices_of_the_object_agree_with_mujoco(moving, name):
    sim, _, slices, simulations = moving(name)
    for k, (model, data) in enumerate(simulations):
        nut, base = data.body("nut"), data.body("object")
        spin = np.zeros(6)
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, nut.id, spin, 0)
        expected = {
            "object_position": base.xpos,
            "object_scale": model.geom("bolt").size[0] / sim.task.bolt_radius,
            "object_mass": model.body("nut").mass,
            "object_friction": model.geom("nut_0").friction[0],
            "object_center_of_mass": model.body("nut").ipos,
            "object_linear_velocity": spin[3:],
            "object_angular_velocity": spin[:3],
            "nut_position": nut.xpos,
            "nut_joint_velocity": data.joint("nut").qvel,
            "nut_joint_friction": model.dof_frictionloss[12],
            "nut_contact_force": np.linalg.norm(data.sensor("nut_contact").data),
        }
        for key, value in expected.items():
            np.testing.assert_allclose(slices[key][k], np.atleast_1d(value), rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nut", "screwdriver"])
def test_slices_of_the_fingertips_agree_with_mujoco(moving, name):
    _, _, slices, simulations = moving(name)
    for k, (model, data) in enumerate(simulations):
        for f, finger in enumerate(FINGERS):
            site = data.site(f"{finger}_tip")
            quat, velocity = np.zeros(4), np.zeros(6)
            mujoco.mju_mat2Quat(quat, site.xmat)
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_SITE, site.id, velocity, 0)
            three = slice(3 * f, 3 * f + 3)
            np.testing.assert_allclose(slices["fingertip_position"][k, three], site.xpos, atol=1e-6)
            np.testing.assert_allclose(slices["fingertip_linear_velocity"][k, three], velocity[3:], atol=1e-5)
            np.testing.assert_allclose(slices["fingertip_angular_velocity"][k, three], velocity[:3], atol=1e-5)
            seen = slices["fingertip_orientation"][k, 4 * f : 4 * f + 4]
            assert abs(seen @ quat) == pytest.approx(1.0, abs=1e-6)


def test_slices_of_the_controller_agree_with_mujoco(moving):
    _, _, slices, simulations = moving("nut")
    for k, (model, data) in enumerate(simulations):
        np.testing.assert_allclose(slices["kp"][k], model.actuator_gainprm[:, 0], rtol=1e-6)
        np.testing.assert_allclose(slices["kp"][k], -model.actuator_biasprm[:, 1], rtol=1e-6)
        np.testing.assert_allclose(slices["kd"][k], -model.actuator_biasprm[:, 2], rtol=1e-6)
        np.testing.assert_allclose(slices["start_pose"][k], data.qpos[:12], atol=1e-6)
        np.testing.assert_allclose(slices["hand_position"][k], data.body("palm").xpos, atol=1e-6)
        np.testing.assert_allclose(slices["hand_orientation"][k], data.body("palm").xquat, atol=1e-6)


@pytest.mark.parametrize("name", ["nut", "screwdriver"])
def test_angle_and_orientation_are_those_of_a_nut_that_looks_the_same(moving, name):
    sim, episode, slices, simulations = moving(name)
    variants = sim.scene.variants
    for k, (_, data) in enumerate(simulations):
        shape = variants.shapes[variants.shape[sim.start_states.variant[episode.start[k]]]]
        period = 2 * math.pi / {"triangle": 3, "octagon": 8, "dodecagon": 12}[shape]
        angle = slices["nut_joint_angle"][k, 0]
        assert abs(angle) <= period / 2 + 1e-4
        turns = (data.qpos[12] - angle) / period
        assert turns == pytest.approx(round(turns), abs=1e-3)
        phase = 2 * math.pi * data.qpos[12] / period
        np.testing.assert_allclose(slices["nut_phase"][k], [math.cos(phase), math.sin(phase)], atol=2e-3)
        # The orientation seen is that of the nut, turned back about its own axis by those whole periods.
        back, expected = np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(back, np.array([0.0, 0.0, 1.0]), data.qpos[12] - angle)
        mujoco.mju_mulQuat(expected, data.body("nut").xquat, back)
        assert abs(slices["object_orientation"][k] @ expected) == pytest.approx(1.0, abs=1e-5)
        assert slices["object_orientation"][k, 0] >= 0


def test_up_to_symmetry_keeps_small_angles():
    quat = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    angle, orientation = obs.up_to_symmetry(torch.tensor([0.9]), quat, torch.tensor([3.0]))
    assert angle.item() == pytest.approx(0.9)
    assert torch.equal(orientation, quat)
    angle, _ = obs.up_to_symmetry(torch.tensor([0.9]), quat, torch.tensor([8.0]))
    assert angle.item() == pytest.approx(0.9 - math.pi / 4, abs=1e-6)


@pytest.mark.parametrize("name", ["nut", "screwdriver"])
def test_privileged_is_clipped_to_its_bounds(make_sim, name):
    sim, episode = make_sim(name, 3)
    sim.batch.qvel[:] = 1e5
    sim.batch.forward()
    bounds = obs.privileged_bounds(sim.task)
    values = obs.privileged(sim.task, sim.read(), episode, constants_of(sim, episode), bounds)
    assert (values.abs() <= bounds).all()
    place = obs.privileged_layout(sim.task)["nut_joint_velocity"]
    assert values[:, place].tolist() == [[100.0]] * 3


def test_rotate_agrees_with_mujoco():
    quats = random_quats(50)
    vectors = torch.randn(50, 7, 3, generator=torch.Generator().manual_seed(1))
    rotated = obs.rotate(quats, vectors)
    for k in range(50):
        for j in range(7):
            torch.testing.assert_close(rotated[k, j], rotated_by_mujoco(quats[k], vectors[k, j]), atol=1e-5, rtol=0)


def test_heights_are_the_vertical_part_of_rotate():
    quats = random_quats(50)
    points = torch.randn(50, 100, 3, generator=torch.Generator().manual_seed(1))
    heights = obs.heights(quats, points)
    assert heights.shape == (50, 100)
    torch.testing.assert_close(heights, obs.rotate(quats, points)[..., 2], atol=1e-5, rtol=0)
    for k in range(50):
        torch.testing.assert_close(heights[k, 0], rotated_by_mujoco(quats[k], points[k, 0])[2], atol=1e-5, rtol=0)


def test_point_cloud_stands_on_the_nut(make_sim):
    sim, episode = make_sim("screwdriver", 3)
    sim.batch.qpos[:, 12] = [0.3, 1.0, 2.0]
    sim.batch.forward()
    state, constants = sim.read(), constants_of(sim, episode)
    cloud = obs.point_cloud(state, constants)
    assert cloud.shape == (3, 100, 3)
    for k in range(3):
        expected = state.nut_pos[k] + rotated_by_mujoco(state.nut_quat[k], constants.points[k, 11])
        torch.testing.assert_close(cloud[k, 11], expected, atol=1e-6, rtol=0)
