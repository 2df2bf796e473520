from __future__ import annotations

import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from rollouts import random_actions, same, within

from dexscrew_envs.mdp.terminations import TerminationReason
from dexscrew_envs.tasks import TASKS
from dexscrew_envs.vector_env import DexScrewVectorEnv

SIZES = {"proprio": (3, 24), "history": (30, 24), "fingertip_force": (5, 3), "point_cloud": (100, 3)}
MIXED = {"nut": ("triangle", "cross"), "screwdriver": ("octagon", "dodecagon", "spheres")}
SHAPES = [(name, shape) for name in MIXED for shape in (*TASKS[name].shapes, MIXED[name])]
TERMS = {"rotate", "proximity", "pose", "torque", "work", "overspeed", "height"}


# -- observations ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("task", "shape"), SHAPES, ids=str)
def test_observations_have_their_shapes_and_stay_in_their_space(make_env, task, shape):
    env = make_env(task, 6, shape=shape)
    sizes = {**SIZES, "privileged": ({"nut": 137, "screwdriver": 94}[task],)}
    generator = torch.Generator().manual_seed(0)
    observation, infos = env.reset(seed=0)
    assert infos == {}
    assert set(env.single_observation_space.spaces) == set(sizes)
    for step in range(30):
        assert set(observation) == set(sizes)
        for key, size in sizes.items():
            assert observation[key].shape == (6, *size)
            assert observation[key].dtype == torch.float32
            assert env.single_observation_space[key].shape == size
        assert within(env.observation_space, observation)
        observation, reward, terminated, truncated, infos = env.step(random_actions(env, generator))
        assert reward.shape == terminated.shape == truncated.shape == (6,)
        assert reward.dtype == torch.float32
        assert terminated.dtype == truncated.dtype == torch.bool
        assert set(infos["reward_terms"]) == TERMS
        torch.testing.assert_close(sum(infos["reward_terms"].values()), reward, atol=1e-4, rtol=1e-4)
        assert step > 0 or not terminated.any()


def test_action_space_is_normalised():
    env = DexScrewVectorEnv("nut", 3, num_threads=1)
    assert env.single_action_space == gymnasium.spaces.Box(-1.0, 1.0, (12,), np.float32)
    assert env.action_space.shape == (3, 12)


@pytest.mark.parametrize("observe", [("proprio",), ("fingertip_force", "history"), "privileged"])
def test_only_what_is_asked_for_is_observed(make_env, observe):
    env = make_env("nut", 2, observe=observe)
    keys = {observe} if isinstance(observe, str) else set(observe)
    assert set(env.reset(seed=0)[0]) == keys
    assert set(env.step(torch.zeros(2, 12))[0]) == keys
    assert set(env.single_observation_space.spaces) == keys


def test_default_observation(make_env):
    env = DexScrewVectorEnv("nut", 2, num_threads=1)
    assert set(env.reset(seed=0)[0]) == {"proprio", "history", "privileged"}


def test_proprio_does_not_depend_on_what_else_is_observed(make_env):
    seen = []
    for observe in (("proprio",), ("proprio", "history")):
        env = make_env("nut", 2, observe=observe)
        env.reset(seed=0)
        generator = torch.Generator().manual_seed(0)
        seen.append([env.step(random_actions(env, generator))[0]["proprio"] for _ in range(5)])
    assert same(*seen)


def test_history_begins_with_the_start_pose_and_takes_in_pairs(make_env):
    env = make_env("nut", 3)
    observation, _ = env.reset(seed=0)
    start = observation["privileged"][:, env.privileged_layout["start_pose"]]
    assert torch.equal(observation["history"], start.repeat(1, 2)[:, None].expand(3, 30, 24))
    for step in range(1, 5):
        observation = env.step(torch.full((3, 12), -0.5))[0]
        history = observation["history"]
        assert torch.equal(observation["proprio"], history[:, -3:])
        assert torch.equal(history[:, 0], start.repeat(1, 2))
        assert not torch.equal(history[:, -step], start.repeat(1, 2))
        assert torch.equal(history[:, -step - 1], start.repeat(1, 2))
    noise = history[:, -1, :12] - env.sim.read().joint_pos
    assert 0.0 < noise.abs().max() < 0.08


@pytest.mark.slow
def test_observed_joints_carry_the_noise_of_the_task(make_env):
    env = make_env("nut", 400, observe="proprio", observation_noise=(0.03, 0.01), autoreset=False)
    env.reset(seed=0)
    errors = []
    for _ in range(10):
        seen = env.step(torch.zeros(400, 12))[0]["proprio"][:, -1, :12]
        errors.append(seen - env.sim.read().joint_pos)
    errors = torch.stack(errors)  # (steps, N, 12)
    assert errors.mean(dim=0).std() == pytest.approx(math.hypot(0.03, 0.01 / 10**0.5), rel=0.03)
    assert errors.std(dim=0).mean() == pytest.approx(0.01, rel=0.05)


def test_still_hand_sees_its_joints_exactly(make_env):
    env = make_env("nut", 2, randomize=False)
    env.reset(seed=0)
    seen = env.step(torch.full((2, 12), -1.0))[0]["proprio"][:, -1, :12]
    assert torch.equal(seen, env.sim.read().joint_pos)


@pytest.mark.slow
def test_proprio_can_be_delayed(make_env):
    now, late = (make_env("nut", 2, proprio_delay=delay, randomize=False) for delay in (0, 2))
    first = [env.reset(seed=0)[0]["proprio"] for env in (now, late)]
    assert torch.equal(*first)
    seen = [[], []]
    for k in range(6):
        actions = torch.full((2, 12), (-1.0) ** k)
        for env, frames in zip((now, late), seen, strict=True):
            frames.append(env.step(actions)[0]["proprio"])
    assert same(seen[1][2:], seen[0][:-2])
    without_history = make_env("nut", 2, proprio_delay=2, randomize=False, observe="proprio")
    without_history.reset(seed=0)
    for k in range(6):
        assert torch.equal(without_history.step(torch.full((2, 12), (-1.0) ** k))[0]["proprio"], seen[1][k])


def test_privileged_agrees_with_the_simulation(make_env):
    env = make_env("nut", 3)
    privileged = env.reset(seed=0)[0]["privileged"]
    layout = env.privileged_layout
    for k in range(3):
        model, seen = env.sim.batch.get_model(k), {name: privileged[k, place] for name, place in layout.items()}
        assert seen["object_mass"].item() == pytest.approx(model.body("nut").mass[0], rel=1e-6)
        assert seen["object_friction"].item() == pytest.approx(model.geom("nut_0").friction[0], rel=1e-6)
        np.testing.assert_allclose(seen["kp"], model.actuator_gainprm[:, 0], rtol=1e-6)
        np.testing.assert_allclose(seen["nut_position"], env.sim.batch.body("nut").xpos[k], atol=1e-6)
        np.testing.assert_allclose(seen["start_pose"], env.sim.batch.qpos[k, :12], atol=1e-6)
        assert seen["object_scale"].item() == pytest.approx(model.geom("bolt").size[0] / 0.0125, rel=1e-6)


def test_point_cloud_and_force_are_those_of_the_simulation(make_env):
    env = make_env("nut", 2, autoreset=False)
    env.reset(seed=0)
    closing = torch.zeros(2, 12)
    closing[:, [1, 2, 3, 4, 10, 11]] = 1.0
    for _ in range(10):
        observation = env.step(closing)[0]
    state = env.sim.read()
    assert torch.equal(observation["fingertip_force"], state.tip_force)
    assert observation["fingertip_force"].norm(dim=2).max() > 1.0
    radius = (observation["point_cloud"] - state.nut_pos[:, None]).norm(dim=2)
    assert radius.max() < 0.1
    middle = observation["point_cloud"].mean(dim=1)
    assert (middle - state.nut_pos)[:, :2].norm(dim=1).max() < 0.01
    assert ((middle - state.nut_pos)[:, 2] < -0.015).all()  # the training nut hangs around the bolt


# -- actions -----------------------------------------------------------------------------------------------------------


def targets_of(observation):
    return observation["proprio"][:, -1, 12:]


@pytest.mark.parametrize(("task", "scale", "locked"), [("nut", 0.04167, [5, 6, 7, 8]), ("screwdriver", 0.05, [5, 6])])
def test_targets_move_by_the_action_and_locked_joints_do_not(make_env, task, scale, locked):
    env = make_env(task, 3)
    before = targets_of(env.reset(seed=0)[0])
    actions = torch.full((3, 12), 0.25)
    after = targets_of(env.step(actions)[0])
    upper = env.sim.scene.model.jnt_range[:12, 1]
    expected = (before + scale * actions).clamp(max=torch.as_tensor(upper, dtype=torch.float32))
    expected[:, locked] = before[:, locked]
    torch.testing.assert_close(after[:, :9], expected[:, :9])
    torch.testing.assert_close(after[:, 10:], expected[:, 10:])


def test_actions_are_clipped(make_env):
    first, second = make_env("nut", 2), make_env("nut", 2)
    first.reset(seed=0)
    second.reset(seed=0)
    actions = torch.linspace(-3, 3, 24).reshape(2, 12)
    assert torch.equal(first.step(actions)[0]["history"], second.step(actions.clamp(-1, 1))[0]["history"])


@pytest.mark.slow
@pytest.mark.parametrize("task", list(TASKS))
def test_targets_stay_within_the_limits(make_env, task):
    env = make_env(task, 2, autoreset=False)
    env.reset(seed=0)
    lower, upper = (torch.as_tensor(side, dtype=torch.float32) for side in env.sim.scene.model.jnt_range[:12].T)
    ((_, *bend),) = env.task.target_ranges
    moving = [k for k in range(12) if k not in env.task.locked_joints]
    for sign, side in ((1.0, upper), (-1.0, lower)):
        for _ in range(65):
            observation = env.step(torch.full((2, 12), sign))[0]
        side[9] = bend[1] if sign > 0 else bend[0]
        torch.testing.assert_close(targets_of(observation)[:, moving], side[moving].expand(2, -1))


def test_actions_are_left_as_they_are(make_env):
    env = make_env("nut", 2)
    env.reset(seed=0)
    actions = torch.full((2, 12), 2.0)
    env.step(actions)
    assert (actions == 2.0).all()


# -- the end of an episode ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_time_limit_truncates_and_final_obs_is_the_true_last_one(make_env):
    env = make_env("nut", 3, episode_steps=4)
    env.reset(seed=0)
    env.step(torch.zeros(3, 12))
    env.reset(options={"reset_mask": [True, False, False]})  # so that environment 0 ends one step later
    start = targets_of(env.reset(options={"reset_mask": [False, True, False]})[0])
    down = torch.full((3, 12), -0.1)
    for _ in range(2):
        observation, _, terminated, truncated, infos = env.step(down)
        assert "final_obs" not in infos
        assert not truncated.any()
    observation, _, terminated, truncated, infos = env.step(down)
    assert not terminated.any()
    assert truncated.tolist() == infos["_final_obs"].tolist() == [False, False, True]
    assert infos["reason"].tolist() == [
        TerminationReason.RUNNING,
        TerminationReason.RUNNING,
        TerminationReason.TIME_LIMIT,
    ]
    final = infos["final_obs"]
    assert set(final) == set(observation)
    moving = [0, 1, 2, 3, 4, 10, 11]
    lower = torch.as_tensor(env.sim.scene.model.jnt_range[:12, 0], dtype=torch.float32)
    expected = torch.maximum(start - 3 * 0.1 * env.task.action_scale, lower)
    torch.testing.assert_close(targets_of(final)[2, moving], expected[2, moving])
    # The environment that ended begins anew: all of its history is its start pose; the others go on.
    fresh = observation["privileged"][2, env.privileged_layout["start_pose"]].repeat(2)
    assert torch.equal(observation["history"][2], fresh.expand(30, 24))
    assert not torch.equal(final["history"][2], observation["history"][2])
    for key in observation:
        assert torch.equal(final[key][:2], observation[key][:2])
    assert env.step(down)[3].tolist() == [True, True, False]


@pytest.mark.slow
def test_episode_lasts_as_long_as_the_time_limit(make_env):
    env = make_env("nut", 2, episode_steps=4)
    env.reset(seed=0)
    ends = [env.step(torch.zeros(2, 12))[3].all().item() for _ in range(12)]
    assert ends == [False, False, False, True] * 3


def test_joint_end_terminates_and_rotations_are_from_before_the_reset(make_env):
    env = make_env("nut", 2)
    env.reset(seed=0)
    env.sim.batch.qpos[1, 12] = 2 * math.pi * 99.5
    _, _, terminated, truncated, infos = env.step(torch.zeros(2, 12))
    assert terminated.tolist() == infos["_final_obs"].tolist() == [False, True]
    assert not truncated.any()
    assert infos["reason"].tolist() == [TerminationReason.RUNNING, TerminationReason.JOINT_END]
    assert infos["rotations"][1] == pytest.approx(99.5, abs=0.05)
    assert infos["rotations"][0].abs() < 0.05
    assert env.step(torch.zeros(2, 12))[-1]["rotations"].abs().max() < 0.05


def test_rotations_count_clockwise_turns_and_are_rewarded(make_env):
    env = make_env("nut", 2, randomize=False, autoreset=False)
    env.reset(seed=0)
    env.sim.batch.qpos[1, 12] = 0.05  # as if it had turned by this much in the step
    _, _, _, _, infos = env.step(torch.zeros(2, 12))
    assert infos["rotations"].tolist() == pytest.approx([0.0, 0.05 / (2 * math.pi)], abs=1e-4)
    assert infos["reward_terms"]["rotate"].tolist() == pytest.approx([0.0, 6.0], abs=0.1)


def test_idle_hand_stagnates_after_its_window(make_env):
    env = make_env("nut", 2, randomize=False)
    env.reset(seed=0)
    for _ in range(69):
        assert env.step(torch.zeros(2, 12))[-1]["reason"].tolist() == [TerminationReason.RUNNING] * 2
    _, _, terminated, truncated, infos = env.step(torch.zeros(2, 12))
    assert infos["reason"].tolist() == [TerminationReason.STAGNATION] * 2
    assert terminated.all()
    assert not truncated.any()


def test_open_hand_is_away(make_env):
    env = make_env("nut", 2, randomize=False)
    env.reset(seed=0)
    opening = torch.zeros(2, 12)
    opening[1, 1:3] = -1.0
    for _ in range(30):
        _, _, terminated, _, infos = env.step(opening)
        if terminated.any():
            break
    assert infos["reason"].tolist() == [TerminationReason.RUNNING, TerminationReason.FINGERS_AWAY]


@pytest.mark.slow
def test_without_autoreset_episodes_go_on(make_env):
    env = make_env("nut", 2, episode_steps=3, autoreset=False)
    assert env.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    env.reset(seed=0)
    for step in range(1, 6):
        observation, _, _, truncated, infos = env.step(torch.full((2, 12), -0.1))
        assert truncated.all() == (step >= 3)
        assert "final_obs" not in infos
    assert (observation["history"][:, -5, 12:] != observation["history"][:, 0, 12:]).any()


def test_total_steps_drive_the_curriculum(make_env):
    env = make_env("screwdriver", 2, randomize=False, autoreset=False)
    costs = []
    for total in (0, 45e6, 60e6):
        env.reset(seed=0)
        env.total_steps = total
        env.sim.batch.qpos[:, 12] = 20 * 0.05  # 20 rad/s
        costs.append(env.step(torch.zeros(2, 12))[-1]["reward_terms"]["overspeed"][0].item())
    assert costs == pytest.approx([-0.3 * (20 - threshold) for threshold in (7.5, 11.25, 15.0)], abs=0.02)
    assert env.total_steps == 60e6 + 2


@pytest.mark.slow
def test_an_added_term_sees_the_action_and_the_one_before(make_env):
    seen = []

    def jerk(step):
        seen.append((step.action.clone(), step.previous_action.clone()))
        return -(step.action - step.previous_action).square().sum(dim=1)

    env = make_env("nut", 2, reward_terms={"jerk": jerk}, episode_steps=3)
    env.reset(seed=0)
    actions = [torch.full((2, 12), value) for value in (0.5, -0.5, 2.0, 0.25)]
    terms = [env.step(action)[-1]["reward_terms"]["jerk"] for action in actions]
    assert [float(after[0, 0]) for after, _ in seen] == [0.5, -0.5, 1.0, 0.25]
    assert [float(before[0, 0]) for _, before in seen] == [0.0, 0.5, -0.5, 0.0], "an episode of three steps ended"
    assert terms[1].tolist() == [-12.0, -12.0]
