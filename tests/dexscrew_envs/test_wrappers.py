"""Gymnasium's own wrappers on our environments, in the order that README.md gives."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers import FlattenObservation, NormalizeObservation, vector

import dexscrew_envs  # noqa: F401 - it registers the environments

ENVS, LIMIT, STEPS = 3, 6, 15
ZERO = np.zeros((ENVS, 12), np.float32)


def make(**kwargs):
    return gymnasium.make_vec(
        "DexScrew-Nut-v0", num_envs=ENVS, num_threads=1, **{"max_episode_steps": LIMIT, "randomize": False, **kwargs}
    )


def in_numpy(env):
    pytest.importorskip("array_api_compat")
    return vector.ArrayConversion(env, env_xp=torch, target_xp=np)


def run(env):
    """Step past the ends of episodes, and return the rewards (T, N), and observations and infos of all steps."""
    restarts = env.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    observation, _ = env.reset(seed=0)
    rewards, seen, infos = [], [observation], []
    for _ in range(STEPS):
        observation, reward, terminated, truncated, info = env.step(ZERO)
        assert all(isinstance(array, np.ndarray) for array in (reward, terminated, truncated))
        rewards.append(reward)
        if not restarts and (terminated | truncated).any():
            observation, _ = env.reset(options={"reset_mask": terminated | truncated})
        seen.append(observation)
        infos.append(info)
    env.close()
    return np.array(rewards), seen, infos


@pytest.fixture(scope="module")
def rewards():
    return run(in_numpy(make()))[0]


@pytest.mark.slow
def test_array_conversion_alone_gives_numpy_arrays(rewards):
    _, seen, infos = run(in_numpy(make()))
    for observation in seen:
        assert all(type(value) is np.ndarray and value.dtype == np.float32 for value in observation.values())
    ends = [step for step, info in enumerate(infos, 1) if "final_obs" in info]
    assert ends == [LIMIT, 2 * LIMIT]
    assert all(type(value) is np.ndarray for value in infos[LIMIT - 1]["final_obs"].values())


@pytest.mark.parametrize("autoreset", [True, False])
def test_episode_statistics(rewards, autoreset):
    found, _, infos = run(vector.RecordEpisodeStatistics(in_numpy(make(autoreset=autoreset))))
    np.testing.assert_array_equal(found[:LIMIT], rewards[:LIMIT])
    told = [info["episode"] for info in infos if "episode" in info]
    assert len(told) == 2
    np.testing.assert_array_equal(told[0]["l"], [LIMIT] * ENVS)
    np.testing.assert_allclose(told[0]["r"], found[:LIMIT].sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [
        (lambda env: vector.ClipReward(env, -0.5, 0.5), lambda r: np.clip(r, -0.5, 0.5)),
        (lambda env: vector.TransformReward(env, lambda r: 2 * r), lambda r: 2 * r),
        (lambda env: vector.ClipAction(env), lambda r: r),
        (lambda env: vector.RescaleAction(env, np.float32(-2), np.float32(2)), lambda r: r),
    ],
    ids=["ClipReward", "TransformReward", "ClipAction", "RescaleAction"],
)
def test_rewards_and_actions(rewards, wrap, expected):
    np.testing.assert_allclose(run(wrap(in_numpy(make())))[0], expected(rewards), rtol=1e-5, atol=1e-6)


def test_normalised_rewards(rewards):
    found = run(vector.NormalizeReward(in_numpy(make()), gamma=0.98))[0]
    assert np.isfinite(found).all()
    assert not np.allclose(found, rewards)


@pytest.mark.parametrize(
    ("wrap", "shape"),
    [
        (vector.FlattenObservation, (ENVS, 929)),
        (lambda env: vector.FilterObservation(env, ["proprio"]), {"proprio": (ENVS, 3, 24)}),
    ],
    ids=["Flatten", "Filter"],
)
def test_observations_where_episodes_are_restarted_by_their_user(wrap, shape):
    _, seen, _ = run(wrap(in_numpy(make(autoreset=False))))
    for observation in seen:
        found = observation.shape if isinstance(shape, tuple) else {key: v.shape for key, v in observation.items()}
        assert found == shape


def test_normalised_observations_one_by_one():
    """The batched wrapper wants Gymnasium's next-step autoreset, so each environment of a batch has its own."""
    env = gymnasium.make_vec(
        "DexScrew-Nut-v0", num_envs=2, vectorization_mode="sync", wrappers=[FlattenObservation, NormalizeObservation],
        num_threads=1, max_episode_steps=LIMIT,
    )  # fmt: skip
    observation, _ = env.reset(seed=0)
    for _ in range(STEPS):
        observation = env.step(ZERO[:2])[0]
        assert observation.shape == (2, 929) and np.isfinite(observation).all()
    env.close()


@pytest.mark.slow
@pytest.mark.usefixtures("opengl")
@pytest.mark.filterwarnings("ignore:.*same-step")
@pytest.mark.parametrize("convert", [True, False])
def test_videos(tmp_path, convert):
    pytest.importorskip("moviepy")
    env = make(render_mode="rgb_array", render_size=(48, 64))
    env = vector.RecordVideo(
        in_numpy(env) if convert else env, str(tmp_path / "videos"), video_length=5, disable_logger=True
    )
    env.reset(seed=0)
    for _ in range(7):
        env.step(ZERO if convert else torch.from_numpy(ZERO))
    env.close()
    videos = [path for path in (tmp_path / "videos").iterdir() if path.suffix == ".mp4"]
    assert videos and all(path.stat().st_size > 1000 for path in videos)


# -- the time limit ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_max_episode_steps_of_make_vec_is_the_time_limit():
    env = make()
    assert env.task.episode_steps == LIMIT
    env.reset(seed=0)
    ends = [bool(env.step(torch.from_numpy(ZERO))[3].all()) for _ in range(2 * LIMIT)]
    assert [step for step, end in enumerate(ends, 1) if end] == [LIMIT, 2 * LIMIT]
    assert make(max_episode_steps=9, episode_steps=9).task.episode_steps == 9
    assert make(max_episode_steps=None).task.episode_steps == 800


@pytest.mark.parametrize("limit", [0, -1, 2.5, "5", True])
def test_an_impossible_limit_is_refused(limit):
    with pytest.raises(ValueError, match="max_episode_steps must be an integer of at least 1, got"):
        make(max_episode_steps=limit)


def test_two_different_limits_are_refused():
    with pytest.raises(ValueError, match="another name of episode_steps; give one of them, got 6 and 7"):
        make(max_episode_steps=6, episode_steps=7)


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "steps"), [(5, 5), (None, 9), (50, 9)])
def test_max_episode_steps_of_make_shortens_an_episode(limit, steps):
    env = gymnasium.make("DexScrew-Nut-v0", num_threads=1, max_episode_steps=limit, episode_steps=9, randomize=False)
    env.reset(seed=0)
    ends = [env.step(ZERO[0])[3] for _ in range(steps)]
    assert ends == [False] * (steps - 1) + [True]
    env.close()
