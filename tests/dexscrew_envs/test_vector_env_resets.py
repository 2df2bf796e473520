from __future__ import annotations

import numpy as np
import pytest
import torch
from rollouts import rollout, same, within

from dexscrew_envs.mdp.terminations import TerminationReason
from dexscrew_envs.tasks import TASKS

# -- resets ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("task", list(TASKS))
def test_two_environments_with_one_seed_are_equal_for_50_steps(make_env, task):
    first, second = make_env(task, 4), make_env(task, 4)
    assert same(rollout(first, 50), rollout(second, 50))
    assert not same(rollout(first, 3, seed=0), rollout(second, 3, seed=1))


@pytest.mark.slow
def test_threads_and_earlier_episodes_do_not_change_a_rollout(make_env):
    one, two = (make_env("nut", 5, num_threads=threads, episode_steps=4) for threads in (1, 2))
    first, second = rollout(one, 15), rollout(two, 15)
    assert same(first, second)
    assert same(rollout(two, 15), first), "an environment that was used before"


def test_reset_without_a_seed_goes_on_with_the_random_numbers(make_env):
    env = make_env("nut", 3)
    first, _ = env.reset(seed=0)
    second, _ = env.reset()
    again, _ = env.reset(seed=0)
    assert not torch.equal(first["privileged"], second["privileged"])
    assert torch.equal(first["privileged"], again["privileged"])
    assert torch.equal(env.reset()[0]["privileged"], second["privileged"])


def test_environments_begin_differently_without_a_seed(make_env):
    first, second = make_env("nut", 3), make_env("nut", 3)
    assert not torch.equal(first.reset()[0]["privileged"], second.reset()[0]["privileged"])


def test_episodes_of_random_ages_end_at_times_of_their_own(make_env):
    env = make_env("nut", 64, episode_steps=6, idle_window=6)
    first, _ = env.reset(seed=0)
    aged, _ = env.reset(seed=0, options={"random_ages": True})
    assert torch.equal(first["privileged"], aged["privileged"]), "the episodes are the same, but for their end"
    ended = []
    for _ in range(5):
        truncated = env.step(torch.zeros(64, 12))[3]
        ended.append(int(truncated.sum()))
    assert min(ended) > 0 and sum(ended) < 64, "some at each step, and the youngest after these"


def test_random_ages_are_of_those_that_begin_anew(make_env):
    env = make_env("nut", 32, episode_steps=50, autoreset=False)
    env.reset(seed=0)
    mask = torch.arange(32) < 16
    env.reset(options={"reset_mask": mask, "random_ages": True})
    assert (env._steps[~mask] == 0).all() and 0 < env._steps[mask].float().mean() < 50
    assert len(set(env._steps[mask].tolist())) > 8
    env.reset()
    assert (env._steps == 0).all()


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_reset_mask_resets_some_only(make_env, kind):
    env = make_env("nut", 4)
    env.reset(seed=0)
    for _ in range(5):
        before = env.step(torch.full((4, 12), -0.3))[0]
    state = env.sim.batch.state.copy()
    after, _ = env.reset(options={"reset_mask": kind([False, True, False, True])})
    np.testing.assert_array_equal(env.sim.batch.state[[0, 2]], state[[0, 2]])
    for key, values in after.items():
        assert torch.equal(values[[0, 2]], before[key][[0, 2]])
    start = after["privileged"][[1, 3], env.privileged_layout["start_pose"]]
    assert torch.equal(after["history"][[1, 3]], start.repeat(1, 2)[:, None].expand(2, 30, 24))
    assert not torch.equal(start, before["privileged"][[1, 3], env.privileged_layout["start_pose"]])


def test_reset_by_mask_starts_windows_and_clocks_anew(make_env):
    env = make_env("nut", 2, randomize=False, autoreset=False)
    env.reset(seed=0)
    for _ in range(40):
        env.step(torch.zeros(2, 12))
    env.reset(options={"reset_mask": [True, False]})
    for _ in range(30):
        infos = env.step(torch.zeros(2, 12))[-1]
    assert infos["reason"].tolist() == [TerminationReason.RUNNING, TerminationReason.STAGNATION]


def test_observations_are_tensors_of_their_own(make_env):
    env = make_env("nut", 2)
    first, _ = env.reset(seed=0)
    kept = {key: value.clone() for key, value in first.items()}
    second = env.step(torch.full((2, 12), -1.0))[0]
    assert all(torch.equal(first[key], kept[key]) for key in kept)
    for value in second.values():
        value.fill_(99.0)
    assert all(value.max() < 99.0 for value in env.step(torch.zeros(2, 12))[0].values())


# -- divergence --------------------------------------------------------------------------------------------------------


def break_position(batch, k):
    batch.qpos[k, 3] = np.nan


def break_nut(batch, k):
    batch.qvel[k, 12] = np.inf


def break_speed(batch, k):
    batch.qvel[k, :12] = 1e9


def all_finite(*values):
    return all(torch.isfinite(value).all() for value in values)


@pytest.mark.slow
@pytest.mark.parametrize("breakage", [break_position, break_nut, break_speed])
def test_diverged_simulation_is_reported_and_reset_alone(make_env, monkeypatch, tmp_path, breakage):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log where it runs
    env, intact = make_env("nut", 4), make_env("nut", 4)
    env.reset(seed=0)
    intact.reset(seed=0)
    actions = torch.full((4, 12), -0.2)
    for _ in range(4):
        env.step(actions)
        intact.step(actions)
    breakage(env.sim.batch, 2)
    with pytest.warns(RuntimeWarning, match="the physics diverged and was reset: environment 2 at its step 5"):
        observation, reward, terminated, truncated, infos = env.step(actions)
    expected, expected_reward, *_ = intact.step(actions)

    assert terminated.tolist() == infos["_final_obs"].tolist() == [False, False, True, False]
    assert not truncated.any()
    assert infos["reason"].tolist() == [0, 0, TerminationReason.INVALID_PHYSICS, 0]
    assert env.invalid_physics_count == 1
    final = infos["final_obs"]
    assert all_finite(
        *observation.values(), *final.values(), reward, infos["rotations"], *infos["reward_terms"].values()
    )
    assert within(env.observation_space, observation)
    assert within(env.observation_space, final)
    assert reward[2] == 0.0
    others = [0, 1, 3]
    assert torch.equal(reward[others], expected_reward[others])
    for key in observation:
        assert torch.equal(observation[key][others], expected[key][others])
    assert torch.equal(observation["history"][2, 0], observation["history"][2, -1])

    for _ in range(3):
        observation, reward, *_, infos = env.step(actions)  # which warns of nothing
        assert all_finite(*observation.values(), reward)
        assert infos["reason"].tolist() == [0] * 4
    assert env.invalid_physics_count == 1


@pytest.mark.slow
def test_divergence_without_autoreset_lasts_until_a_reset(make_env, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    env = make_env("nut", 2, autoreset=False)
    env.reset(seed=0)
    env.sim.batch.qpos[0, 0] = np.nan
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="environment 0 at its step"):
            observation, _, terminated, _, infos = env.step(torch.zeros(2, 12))
        assert terminated.tolist() == [True, False]
        assert infos["reason"].tolist() == [TerminationReason.INVALID_PHYSICS, TerminationReason.RUNNING]
        assert all_finite(*observation.values())
    observation, _ = env.reset(options={"reset_mask": [True, False]})
    assert np.isfinite(env.sim.batch.state).all()
    assert env.step(torch.zeros(2, 12))[-1]["reason"].tolist() == [TerminationReason.RUNNING] * 2


@pytest.mark.slow
def test_several_divergences_are_one_warning(make_env, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    env = make_env("nut", 12)
    env.reset(seed=0)
    env.sim.batch.qpos[:10, 0] = np.nan
    with pytest.warns(RuntimeWarning) as warned:
        env.step(torch.zeros(12, 12))
    assert len(warned) == 1
    assert str(warned[0].message).count("environment") == 8  # the first few by name
    assert env.invalid_physics_count == 10
