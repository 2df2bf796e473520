"""The simulator does what the episode says, and its physics are those of a hand on a nut."""

from __future__ import annotations

import itertools
import math

import mujoco
import numpy as np
import pytest
import torch
from mujoco.batch import SimulationError

from dexscrew_envs.hands.xhand import FINGERS, JOINTS
from dexscrew_envs.mdp.randomization import sample_episode
from dexscrew_envs.sim import ENGINES, make_simulator
from dexscrew_envs.tasks import NUT, TASKS

TASK_NAMES = list(TASKS)
NEIGHBOURS = {frozenset(pair) for pair in itertools.pairwise(JOINTS) if pair[0][:3] == pair[1][:3]}
NEIGHBOURS |= {frozenset(("palm", name)) for name in JOINTS if name not in ("index_2", "mid_2", "pinky_2", "ring_2")}
NEIGHBOURS -= {frozenset(("palm", "thumb_2"))}
EXCLUDED = NEIGHBOURS | {frozenset((f"index_{a}", f"mid_{b}")) for a in (1, 2) for b in (1, 2)}


def squeeze(env, steps=10):
    """Close the fingers around the nut."""
    actions = torch.zeros(env.num_envs, 12)
    actions[:, [1, 2, 3, 4, 10, 11]] = 1.0
    for _ in range(steps):
        env.step(actions)


def contact_forces(model, data):
    """Return the force on the nut, and of the nut on each fingertip link, from MuJoCo's list of contacts."""
    nut = model.body("nut").id
    on_nut, on_tips = np.zeros(3), np.zeros((5, 3))
    for k, contact in enumerate(data.contact):
        wrench = np.zeros(6)
        mujoco.mj_contactForce(model, data, k, wrench)
        on_second = contact.frame.reshape(3, 3).T @ wrench[:3]  # the normal points from the first geom to the second
        first, second = model.geom_bodyid[contact.geom]
        if nut not in (first, second):
            continue
        on_nut += on_second if second == nut else -on_second
        name = model.body(first if second == nut else second).name
        if name.endswith("_2"):
            on_tips[FINGERS.index(name[:-2])] += -on_second if second == nut else on_second
    return on_nut, on_tips


# -- what a reset applies ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("task", TASK_NAMES)
def test_reset_applies_the_episode(make_sim, task):
    sim, episode = make_sim(task, 5)
    for k in range(5):
        model = sim.batch.get_model(k)
        np.testing.assert_allclose(model.geom_friction[:, 0], episode.drawn["friction"][k].item(), rtol=1e-6)
        assert model.body("nut").mass[0] == pytest.approx(episode.drawn["mass"][k].item(), rel=1e-6)
        np.testing.assert_allclose(model.body("nut").ipos, episode.drawn["center_of_mass"][k], atol=1e-9)
        assert model.dof_frictionloss[12] == pytest.approx(episode.drawn["joint_friction"][k].item(), rel=1e-6)
        np.testing.assert_array_equal(model.dof_frictionloss[:12], 0)
        np.testing.assert_allclose(model.actuator_gainprm[:, 0], episode.drawn["kp"][k], rtol=1e-6)
        np.testing.assert_allclose(model.actuator_biasprm[:, 1], -episode.drawn["kp"][k], rtol=1e-6)
        np.testing.assert_allclose(model.actuator_biasprm[:, 2], -episode.drawn["kd"][k], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "shapes"), [("nut", ("triangle", "cross")), ("screwdriver", ("octagon", "spheres"))])
def test_reset_applies_shape_and_scale(make_sim, task, shapes):
    sim, episode = make_sim(task, 24, shape=shapes)
    variants, seen = sim.scene.variants, set()
    for k in range(24):
        model = sim.batch.get_model(k)
        variant = sim.start_states.variant[episode.start[k]]
        shape, scale = shapes[variants.shape[variant]], variants.scale[variant]
        mesh = model.mesh(model.geom("nut_0").dataid[0]).name
        assert mesh.startswith(f"{shape}_{variant}_")
        size = model.geom("nut_0").size / scale
        expected = {"triangle": 0.0975, "cross": 0.044, "octagon": 0.1, "spheres": 0.025}[shape]
        assert 2 * size.max() == pytest.approx(expected, rel=0.02)
        assert model.body("nut").pos[2] == pytest.approx(scale * sim.task.joint_height)
        assert model.geom("bolt").size[0] == pytest.approx(scale * sim.task.bolt_radius)
        inertia = episode.drawn["mass"][k].item() * variants.nut_inertia[variant]
        np.testing.assert_allclose(model.body("nut").inertia, inertia, rtol=1e-6)
        seen.add((shape, round(scale, 3)))
    assert {shape for shape, _ in seen} == set(shapes)
    assert len(seen) > 8


@pytest.mark.slow
def test_reset_refreshes_what_derives_from_the_model(make_sim):
    sim, _ = make_sim("screwdriver", 3)
    for k in range(3):
        model, fresh = sim.batch.get_model(k), sim.batch.get_model(k)
        mujoco.mj_setConst(fresh, mujoco.MjData(fresh))
        for field in ("body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0", "geom_rbound", "bvh_aabb"):
            np.testing.assert_allclose(getattr(model, field), getattr(fresh, field), rtol=1e-12, err_msg=field)


@pytest.mark.slow
@pytest.mark.parametrize("shapes", [("square", "hexagon", "cross"), ("triangle",)])
def test_bounding_spheres_hold_their_meshes(make_sim, shapes):
    """Else contacts of a variant that is larger than the first are left out."""
    sim, _ = make_sim("nut", 24, shape=shapes)
    for k in range(24):
        model = sim.batch.get_model(k)
        for geom in (g for g in range(model.ngeom) if model.geom(g).name.startswith("nut_")):
            mesh = model.mesh(model.geom_dataid[geom])
            begin, count = mesh.vertadr[0], mesh.vertnum[0]
            assert (
                np.linalg.norm(model.mesh_vert[begin : begin + count], axis=1).max() <= model.geom_rbound[geom] + 1e-6
            )


@pytest.mark.parametrize(
    ("restitution", "ratio"), [(0.0, 1.0), (0.01, 0.826), (0.06, 0.8), (0.5, 0.8), (1.0, 0.8)], ids=str
)
def test_restitution_becomes_a_bounded_damping_ratio(make_sim, restitution, ratio):
    """A linear contact of damping ratio d rebounds with exp(-pi d / sqrt(1 - d^2)) of its speed."""
    sim, episode = make_sim("nut", 2, min_contact_damping_ratio=0.8)
    episode.drawn["restitution"][:] = restitution
    sim.reset(torch.arange(2), episode)
    solref = sim.batch.get_model(0).geom_solref
    np.testing.assert_allclose(solref[:, 1], ratio, rtol=0.03)
    if 0 < restitution < 0.012:
        d = solref[0, 1]
        assert math.exp(-math.pi * d / math.sqrt(1 - d * d)) == pytest.approx(restitution, rel=1e-3)


def test_reset_begins_at_rest_in_its_start_state(make_sim):
    sim, episode = make_sim("screwdriver", 4)
    sim.step(sim.read().joint_pos + 0.1, torch.ones(4, 3))
    sim.reset(torch.arange(4), episode)
    state, bank, start = sim.read(), sim.start_states, episode.start.numpy()
    np.testing.assert_allclose(state.joint_pos, bank.joint_pos[start], atol=1e-6)
    np.testing.assert_allclose(sim.batch.ctrl, bank.joint_pos[start])
    np.testing.assert_allclose(sim.batch.body("palm").xpos, bank.hand_pos[start])
    np.testing.assert_allclose(sim.batch.body("palm").xquat, bank.hand_quat[start], atol=1e-12)
    np.testing.assert_allclose(sim.batch.body("object").xpos, bank.object_pos[start])
    np.testing.assert_allclose(sim.batch.body("object").xquat, bank.object_quat[start], atol=1e-12)
    for values in (state.joint_vel, state.nut_angle, state.nut_speed, state.nut_force, state.tip_force):
        assert not values.any()
    assert not sim.batch.xfrc_applied.any()
    assert not sim.batch.time.any()


def test_reset_of_some_leaves_the_others_bit_for_bit(make_sim):
    sim, _ = make_sim("nut", 6)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        sim.step(sim.read().joint_pos + 0.05, torch.randn(6, 3, generator=generator))
    outputs = ("xpos", "sensordata", "cvel", "actuator_force", "site_xpos")
    models = ("geom_friction", "geom_dataid", "body_mass", "body_ipos", "actuator_gainprm", "dof_frictionloss")

    def everything():
        found = {"state": sim.batch.state.copy()}
        found |= {name: sim.batch.bind(name).copy() for name in outputs}
        return found | {name: sim.batch.expanded(name).copy() for name in models}

    before, read_before = everything(), sim.read()
    ids = torch.tensor([1, 4])
    sim.reset(ids, sample_episode(NUT, 2, 1024, generator))
    others = [0, 2, 3, 5]
    for name, values in everything().items():
        np.testing.assert_array_equal(values[others], before[name][others], err_msg=name)
        assert name == "geom_dataid" or not np.array_equal(values[[1, 4]], before[name][[1, 4]])
    for name, values in sim.read().tensors().items():
        assert torch.equal(values[others], getattr(read_before, name)[others])


def test_read_of_some_gives_their_rows(make_sim):
    sim, _ = make_sim("nut", 5)
    ids = torch.tensor([0, 3])
    for name, values in sim.read(ids).tensors().items():
        assert values.dtype == torch.float32
        assert torch.equal(values, getattr(sim.read(), name)[ids])


def test_read_is_a_copy(make_sim):
    sim, _ = make_sim("nut", 2)
    before = sim.read()
    kept = before.joint_pos.clone()
    sim.step(before.joint_pos + 0.1, torch.zeros(2, 3))
    assert torch.equal(before.joint_pos, kept)
    before.joint_pos[:] = 99.0
    assert sim.read().joint_pos.max() < 3.0


# -- a step -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("task", TASK_NAMES)
def test_step_is_ten_of_mujoco_with_the_targets_and_the_push(make_sim, task):
    sim, _ = make_sim(task, 3)
    generator = torch.Generator().manual_seed(0)
    targets = sim.read().joint_pos + 0.1 * torch.rand(3, 12, generator=generator)
    push = torch.randn(3, 3, generator=generator)
    simulations = [(sim.batch.get_model(k), sim.batch.get_data(k)) for k in range(3)]
    sim.step(targets, push)
    for k, (model, data) in enumerate(simulations):
        data.ctrl[:] = targets[k]
        data.xfrc_applied[model.body("nut").id, :3] = push[k]
        mujoco.mj_step(model, data, 10)
        np.testing.assert_array_equal(sim.batch.qpos[k], data.qpos)
        np.testing.assert_array_equal(sim.batch.qvel[k], data.qvel)
        np.testing.assert_array_equal(sim.batch.sensordata[k], data.sensordata)
    np.testing.assert_allclose(sim.batch.time, 0.05)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_torque_is_a_clipped_pd_law(make_sim, task):
    sim, episode = make_sim(task, 64)
    rng = np.random.default_rng(0)
    lower, upper = sim.scene.model.jnt_range[:12].T
    q, qd, target = rng.uniform(lower, upper, (64, 12)), rng.normal(0, 5, (64, 12)), rng.uniform(lower, upper, (64, 12))
    sim.batch.qpos[:, :12], sim.batch.qvel[:, :12], sim.batch.ctrl[:] = q, qd, target
    sim.batch.forward()
    torque = sim.read().torque.double().numpy()
    effort = np.where([name.endswith("_2") or name == "index_bend" for name in JOINTS], 0.4, 1.1)
    free = episode.drawn["kp"].double().numpy() * (target - q) - episode.drawn["kd"].double().numpy() * qd
    np.testing.assert_allclose(torque, np.clip(free, -effort, effort), atol=1e-5)
    assert (np.abs(free) > effort).mean() > 0.1
    assert (np.abs(free) < effort).mean() > 0.1


def test_results_do_not_depend_on_threads():
    states = []
    for threads in (1, 2):
        sim = make_simulator("mujoco", NUT, 7, num_threads=threads)
        generator = torch.Generator().manual_seed(0)
        sim.reset(torch.arange(7), sample_episode(NUT, 7, 1024, generator))
        for _ in range(5):
            sim.step(sim.read().joint_pos + 0.1, torch.randn(7, 3, generator=generator))
        states.append(sim.batch.state.copy())
    np.testing.assert_array_equal(*states)


def test_simulation_that_mujoco_gives_up_is_marked_as_diverged(make_sim, monkeypatch):
    sim, _ = make_sim("nut", 3)

    def fail(**_):
        raise SimulationError(np.array([1]), "stack overflow")

    monkeypatch.setattr(sim.batch, "step", fail)
    sim.step(sim.read().joint_pos, torch.zeros(3, 3))
    assert torch.isnan(sim.read().joint_pos).all(dim=1).tolist() == [False, True, False]
    assert torch.isnan(sim.read().nut_angle).tolist() == [False, True, False]


# -- forces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASK_NAMES)
def test_forces_are_those_on_the_nut_and_of_the_nut_on_the_fingertips(make_env, task):
    env = make_env(task, 8, autoreset=False)
    env.reset(seed=0)
    squeeze(env)
    env.sim.batch.forward()  # forces lag by a physics step; make them current
    state = env.sim.read()
    for k in range(8):
        model, data = env.sim.batch.get_model(k), env.sim.batch.get_data(k)
        mujoco.mj_forward(model, data)
        on_nut, on_tips = contact_forces(model, data)
        np.testing.assert_allclose(state.nut_force[k], on_nut, atol=1e-3)
        np.testing.assert_allclose(state.tip_force[k], on_tips, atol=1e-3)
        # The same from MuJoCo's inverse dynamics, whose sign is that of the force on the body.
        mujoco.mj_rnePostConstraint(model, data)
        push = data.xfrc_applied[model.body("nut").id, :3]
        np.testing.assert_allclose(on_nut + push, data.cfrc_ext[model.body("nut").id, 3:], atol=1e-6)
    assert state.tip_force[:, 0].norm(dim=1).min() > 1.0, "the thumb does not press"


@pytest.mark.slow
def test_thumb_and_index_are_pushed_away_from_the_nut(make_env):
    env = make_env("nut", 8, randomize=False, autoreset=False)
    env.reset(seed=0)
    squeeze(env)
    state = env.sim.read()
    outwards = (state.tip_pos - state.nut_pos[:, None])[:, :2, :2]  # thumb and index, in the horizontal plane
    pressing = (state.tip_force[:, :2, :2] * outwards).sum(dim=2) / outwards.norm(dim=2)
    assert (pressing > 1.0).all()


def test_untouched_nut_feels_nothing(make_env):
    env = make_env("nut", 2, randomize=False, autoreset=False)
    env.reset(seed=0)
    env.step(torch.zeros(2, 12))
    state = env.sim.read()
    assert not state.nut_force.any()
    assert not state.tip_force.any()


# -- physics ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("task", TASK_NAMES)
def test_contacts_are_those_of_fingers_and_none_is_missed_or_excessively_stiff(make_env, task):
    env = make_env(task, 16, autoreset=False)
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    model, stiffest, count, deepest = env.sim.batch.get_model(0), 0.0, 0, 0.0
    for step in range(120):
        env.step(2 * torch.rand(16, 12, generator=generator) - 1)
        if step % 8:
            continue
        for k in range(16):
            model = env.sim.batch.get_model(k, model)
            data = env.sim.batch.get_data(k)
            mujoco.mj_forward(model, data)
            geoms = data.contact.geom.copy()
            for pair in geoms:
                names = {model.body(model.geom_bodyid[geom]).name for geom in pair}
                assert names & set(JOINTS), names
                assert len(names) == 2
                assert frozenset(names) not in EXCLUDED
            count += len(geoms)
            deepest = min(deepest, data.contact.dist.min(initial=0.0))
            stiffest = max(stiffest, data.efc_D.max(initial=0.0))
            model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE.value
            mujoco.mj_forward(model, data)
            model.opt.disableflags &= ~mujoco.mjtDisableBit.mjDSBL_MIDPHASE.value
            np.testing.assert_array_equal(data.contact.geom, geoms)
    assert count > 200
    assert stiffest < 1e8
    assert deepest > -3e-3, "fingers sink into the nut"


@pytest.mark.slow
@pytest.mark.parametrize("task", TASK_NAMES)
def test_held_hand_stops_the_object(make_env, task):
    env = make_env(task, 64, autoreset=False, action_noise=(0.0, 0.0), push_probability=0.0)
    env.reset(seed=0)
    env.sim.batch.qvel[:, 12] = 6.28
    for _ in range(4):
        infos = env.step(torch.zeros(64, 12))[-1]
    assert env.sim.read().nut_speed.abs().max() < 0.05
    assert infos["rotations"].min() > 1e-4, "it was never turning"


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("task", TASK_NAMES)
def test_dry_friction_holds_the_nut_and_more_turns_it(make_sim, task, sign):
    sim, episode = make_sim(task, 2, randomize=False)
    targets, begin = sim.read().joint_pos, 4 * math.pi
    for share, turns in ((0.5, False), (2.0, True)):
        sim.reset(torch.arange(2), episode)
        sim.batch.qpos[:, 12] = begin
        sim.batch.qfrc_applied[:, 12] = sign * share * episode.drawn["joint_friction"][:, 0].numpy()
        for _ in range(5):
            sim.step(targets, torch.zeros(2, 3))
        turned = sign * (sim.read().nut_angle - begin)
        assert (turned.min() > 0.1) if turns else (turned.abs().max() < 0.01)


QUIET = {"action_noise": (0.0, 0.0), "push_probability": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("amplitude", "changes", "typical", "worst"),
    [(0.0, QUIET, 0.01, 0.01), (0.0, {}, 0.05, 0.3), (1.0, {}, 0.5, 1.0)],
    ids=["held still", "held", "random"],
)
@pytest.mark.parametrize("task", TASK_NAMES)
def test_nut_hardly_turns_without_skill(make_env, task, amplitude, changes, typical, worst):
    """In 20 s; noise on the targets shakes the nut, a few handles in a hundred by more than a tenth of a turn."""
    env = make_env(task, 8, autoreset=False, observe="proprio", **changes)  # episodes go on beyond their end
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    furthest = torch.zeros(8)
    for _ in range(400):
        actions = amplitude * (2 * torch.rand(8, 12, generator=generator) - 1)
        furthest = torch.maximum(furthest, env.step(actions)[-1]["rotations"].abs())
    assert furthest.mean() < typical
    assert furthest.max() < worst
    assert changes or furthest.max() > 1e-3, "nothing moves"


# -- the factory ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "bullet"}, "unknown engine 'bullet'; choose from mujoco"),
        ({"device": "cuda"}, "the mujoco engine runs on device 'cpu', not on 'cuda'"),
        ({"num_envs": 0}, "num_envs must be an integer of at least 1, got 0"),
        ({"num_threads": -1}, "num_threads must be 0 .* or positive, got -1"),
    ],
)
def test_bad_argument_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_simulator(**{"engine": "mujoco", "task": NUT, "num_envs": 1, **arguments})


def test_engines_are_listed():
    assert tuple(ENGINES) == ("mujoco", "warp")
