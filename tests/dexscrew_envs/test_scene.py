from __future__ import annotations

from itertools import combinations

import mujoco
import numpy as np
import pytest

from dexscrew_envs.hands.xhand import JOINTS
from dexscrew_envs.scene import build_scene, check_joint_order, scales_of
from dexscrew_envs.shapes import SHAPES, convex_parts
from dexscrew_envs.tasks import NUT, SCREWDRIVER, make_task

FINGER_BODIES = set(JOINTS)  # every body of a finger has the name of the joint that moves it


@pytest.fixture(scope="module")
def nuts():
    """The scene with every nut, of which the cross has two parts and the others one."""
    return build_scene(make_task("nut", shape=NUT.shapes))


@pytest.fixture(scope="module")
def handles():
    return build_scene(make_task("screwdriver", shape=SCREWDRIVER.shapes, scales=(0.85, 1.25)))


def with_variant(scene, variant):
    model = scene.spec.compile()
    for field, values in scene.variants.geom_fields.items():
        getattr(model, field)[scene.variants.geoms] = values[variant]
    model.body("nut").pos = scene.variants.nut_position[variant]
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def vertices_in_nut(model, geom):
    mesh = model.geom_dataid[geom]
    start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
    return model.mesh_vert[start : start + count] @ rotation.reshape(3, 3).T + model.geom_pos[geom]


def same_points(first, second):
    distance = np.linalg.norm(first[:, None] - second[None], axis=2)
    return len(first) == len(second) and distance.min(axis=0).max() < 1e-6 and distance.min(axis=1).max() < 1e-6


def test_scales_spread_evenly_around_the_nominal_ones():
    scales = scales_of(NUT).reshape(3, 5)
    np.testing.assert_allclose(scales.mean(axis=1), [0.95, 1.0, 1.05])
    np.testing.assert_allclose(np.diff(scales, axis=1), 0.01)
    assert np.abs(scales - scales.mean(axis=1, keepdims=True)).max() < 0.025
    assert len(scales_of(SCREWDRIVER)) == 45
    assert scales_of(NUT.without_randomization()).tolist() == [1.0]


def test_variants_are_every_shape_at_every_scale(nuts):
    variants = nuts.variants
    count = len(NUT.shapes)
    assert variants.shapes == NUT.shapes
    assert variants.shape.tolist() == [k for k in range(count) for _ in range(15)]
    np.testing.assert_allclose(variants.scale, np.tile(scales_of(NUT), count))
    assert variants.symmetry.tolist() == [SHAPES[shape].symmetry for shape in NUT.shapes for _ in range(15)]


@pytest.mark.slow
@pytest.mark.parametrize("scene_name", ["nuts", "handles"])
def test_model_fields_give_each_variant_its_geometry(scene_name, request):
    scene = request.getfixturevalue(scene_name)
    task_height = {"nuts": 0.1, "handles": 0.01}[scene_name]
    radius = {"nuts": 0.0125, "handles": 0.00625}[scene_name]
    shaft = {"nuts": 0.1, "handles": 0.02}[scene_name]
    for variant in range(0, len(scene.variants.scale), 4):
        shape = scene.variants.shapes[scene.variants.shape[variant]]
        scale = scene.variants.scale[variant]
        model = with_variant(scene, variant)
        parts = convex_parts(shape)
        for k, part in enumerate(parts):
            assert same_points(vertices_in_nut(model, model.geom(f"nut_{k}").id), scale * part)
        np.testing.assert_allclose(model.body("nut").pos, [0, 0, scale * task_height])
        bolt = model.geom("bolt")
        assert bolt.size[0] == pytest.approx(scale * radius)
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        top = data.geom("bolt").xpos[2] + bolt.size[1] + bolt.size[0]
        assert top == pytest.approx(scale * shaft)


def test_bounds_contain_each_variant(nuts, handles):
    for scene in (nuts, handles):
        for variant in (0, len(scene.variants.scale) // 2, len(scene.variants.scale) - 1):
            model = with_variant(scene, variant)
            data = mujoco.MjData(model)
            mujoco.mj_kinematics(model, data)
            for name in ("nut_0", "nut_1"):
                if name == "nut_1" and scene.variants.geoms[1] == model.geom("bolt").id:
                    continue
                geom = model.geom(name).id
                mesh = model.geom_dataid[geom]
                local = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
                center, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
                assert (np.abs(local - center) <= half + 1e-6).all()
                assert np.linalg.norm(local, axis=1).max() <= model.geom_rbound[geom] + 1e-6


def test_missing_parts_hide_inside_the_first(nuts):
    triangle, cross = 0, len(nuts.variants.scale) - 1
    model = with_variant(nuts, triangle)
    hidden, outer = (vertices_in_nut(model, model.geom(f"nut_{k}").id) for k in (1, 0))
    assert len(hidden) == 4
    assert np.ptp(hidden, axis=0).max() < 1.1e-3
    assert (hidden.min(axis=0) > outer.min(axis=0)).all()
    assert (hidden.max(axis=0) < outer.max(axis=0)).all()
    model = with_variant(nuts, cross)
    assert len(vertices_in_nut(model, model.geom("nut_1").id)) > 20


def test_points_lie_on_the_surface_of_the_handle(handles):
    variants = handles.variants
    for variant in np.flatnonzero(np.array(variants.shapes)[variants.shape] == "octagon"):
        scale, points = variants.scale[variant], variants.points[variant]
        assert points.shape == (100, 3)
        normals = np.deg2rad(22.5 + 45 * np.arange(8))
        reach = (points[:, :2] @ np.stack([np.cos(normals), np.sin(normals)])).max(axis=1)
        apothem = scale * 0.0125 * np.cos(np.pi / 8)
        depth = np.minimum.reduce([apothem - reach, points[:, 2] - scale * 0.01, scale * 0.11 - points[:, 2]])
        np.testing.assert_allclose(depth, 0, atol=1e-6)
        assert len(np.unique(points[:, 2].round(6))) > 50


def test_inertia_is_that_of_the_surface(nuts):
    x, y, z = np.mean(nuts.variants.points**2, axis=1).T
    np.testing.assert_allclose(nuts.variants.nut_inertia, np.stack([y + z, x + z, x + y], axis=1))
    assert (nuts.variants.nut_inertia > 0).all()


def test_nut_turns_clockwise_on_its_joint_for_100_turns(nuts):
    model = nuts.model
    joint = model.joint("nut")
    np.testing.assert_array_equal(joint.axis, [0, 0, -1])
    np.testing.assert_allclose(joint.range, [0, 200 * np.pi])
    assert model.jnt_limited[joint.id]
    assert model.nv == 13
    data = mujoco.MjData(model)
    data.qpos[12] = np.pi / 2
    mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(data.body("nut").xmat.reshape(3, 3) @ [1, 0, 0], [0, -1, 0], atol=1e-9)


@pytest.mark.parametrize("scene_name", ["nuts", "handles"])
def test_only_fingers_collide(scene_name, request):
    model = request.getfixturevalue(scene_name).model
    bodies = [model.body(model.geom_bodyid[geom]).name for geom in range(model.ngeom)]
    pairs = 0
    for a, b in combinations(range(model.ngeom), 2):
        meet = (model.geom_contype[a] & model.geom_conaffinity[b]) or (
            model.geom_contype[b] & model.geom_conaffinity[a]
        )
        assert bool(meet) <= bool({bodies[a], bodies[b]} & FINGER_BODIES), (bodies[a], bodies[b])
        pairs += bool(meet)
    assert pairs > 100
    collidable = {bodies[geom] for geom in range(model.ngeom) if model.geom_contype[geom]}
    assert collidable == {"palm", "object", "nut"} | FINGER_BODIES


def test_neighbours_and_fingers_that_begin_in_each_other_are_excluded(nuts):
    model = nuts.model
    excluded = set()
    for signature in model.exclude_signature:
        excluded.add(frozenset((model.body(signature >> 16).name, model.body(signature & 0xFFFF).name)))
    for name in JOINTS:
        parent = model.body(model.body(name).parentid[0]).name
        assert frozenset((name, parent)) in excluded
    assert frozenset(("palm", "thumb_1")) in excluded
    assert frozenset(("palm", "index_1")) in excluded
    assert len(excluded) == 18  # besides, the index finger never touches the middle finger


def test_gravity_does_not_pull_the_hand(nuts):
    model = nuts.model
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose((data.qfrc_bias - data.qfrc_gravcomp)[:12], 0, atol=1e-9)


def test_contact_sensors_are_one_for_the_nut_and_one_for_each_fingertip(nuts):
    names = [nuts.model.sensor(k).name for k in range(nuts.model.nsensor)]
    assert names == ["nut_contact", "thumb_force", "index_force", "mid_force", "ring_force", "pinky_force"]
    assert nuts.model.nsensordata == 18


def test_physics_runs_at_200_hz(nuts):
    assert nuts.model.opt.timestep == 0.005


def test_joint_order_is_checked(nuts):
    check_joint_order(nuts.model, NUT.hand)
    swapped = nuts.spec.copy()
    swapped.actuator("mid_1").name = "x"
    swapped.actuator("mid_2").name = "mid_1"
    swapped.actuator("x").name = "mid_2"
    with pytest.raises(ValueError, match="must list joints and actuators in policy order"):
        check_joint_order(swapped.compile(), NUT.hand)
