from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from fakes import FakeEnv
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecCheckNan, VecFrameStack, VecMonitor, VecNormalize, VecVideoRecorder

from baselines.rl.sb3_env import NumpyVecEnv, TensorVecEnv
from dexscrew_envs.env import DexScrewEnv
from dexscrew_envs.vector_env import DexScrewVectorEnv

pytestmark = pytest.mark.slow

ENVS = 4


@pytest.fixture
def nut() -> DexScrewVectorEnv:
    return DexScrewVectorEnv("nut", ENVS, observe=("proprio", "privileged"), num_threads=1)


def weights(model) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])


def test_stock_ppo_runs(nut):
    model = PPO("MultiInputPolicy", NumpyVecEnv(nut), n_steps=16, batch_size=32, n_epochs=2, seed=0, device="cpu")
    before = weights(model)
    model.learn(2 * 16 * ENVS)
    assert model.num_timesteps == 2 * 16 * ENVS
    assert not torch.equal(weights(model), before)


def test_an_off_policy_algorithm_runs_and_stores_the_final_observations(nut):
    model = SAC(
        "MultiInputPolicy", NumpyVecEnv(nut), buffer_size=400, learning_starts=20, batch_size=16, seed=0, device="cpu",
        policy_kwargs={"net_arch": [16, 16]},
    )  # fmt: skip
    before = weights(model)
    model.learn(30 * ENVS)
    assert model.num_timesteps == 30 * ENVS
    assert not torch.equal(weights(model), before)
    buffer = model.replay_buffer
    ended = np.argwhere(buffer.dones[:29])
    assert len(ended)
    for step, env in ended:
        final, following = buffer.next_observations["proprio"][step, env], buffer.observations["proprio"][step + 1, env]
        assert not np.array_equal(final, following)


def test_episode_returns_reach_stable_baselines3s_monitor():
    env = VecMonitor(NumpyVecEnv(FakeEnv([2, 3])))
    env.reset()
    for _ in range(3):
        _, _, _, infos = env.step(np.full((2, 12), 0.25, np.float32))
    assert infos[1]["episode"]["r"] == pytest.approx(-3 * 0.0625)
    assert infos[1]["episode"]["l"] == 3


def test_steps_return_numpy_arrays_and_a_list_of_infos(nut):
    env = NumpyVecEnv(nut)
    observation = env.reset()
    action = np.zeros((ENVS, 12), np.float64)
    following, reward, done, infos = env.step(action)
    for found in (observation, following):
        assert set(found) == {"proprio", "privileged"}
        for key, array in found.items():
            assert isinstance(array, np.ndarray) and array.dtype == np.float32
            assert array.shape == (ENVS, *env.observation_space[key].shape)
    assert isinstance(reward, np.ndarray) and reward.dtype == np.float32 and reward.shape == (ENVS,)
    assert isinstance(done, np.ndarray) and done.dtype == np.bool_ and done.shape == (ENVS,)
    assert isinstance(infos, list) and len(infos) == ENVS
    assert all(set(info) == {"rotations", "reason"} for info in infos)
    assert env.observation_space == nut.single_observation_space and env.action_space == nut.single_action_space


def test_infos_of_ended_episodes_carry_the_final_observation_and_whether_time_ran_out():
    env = NumpyVecEnv(FakeEnv([2, 2, 5], terminates=[True, False, False]))
    twin = FakeEnv([2, 2, 5], autoreset=False)
    env.reset()
    action = np.zeros((3, 12), np.float32)
    env.step(action)
    twin.step(torch.zeros(3, 12))
    final = twin.step(torch.zeros(3, 12))[0]
    observation, _, done, infos = env.step(action)
    assert done.tolist() == [True, True, False]
    assert [info.get("TimeLimit.truncated") for info in infos] == [False, True, None]
    for i in (0, 1):
        assert set(infos[i]["terminal_observation"]) == set(observation)
        for key, array in infos[i]["terminal_observation"].items():
            np.testing.assert_array_equal(array, final[key][i].numpy())
            assert not np.array_equal(array, observation[key][i])
    assert "terminal_observation" not in infos[2]


def test_real_episodes_end_with_a_reason_and_a_final_observation(nut):
    env = NumpyVecEnv(nut)
    env.seed(0)
    env.reset()
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(20):
        _, _, done, infos = env.step(rng.uniform(-1, 1, (ENVS, 12)).astype(np.float32))
        for i in range(ENVS):
            assert done[i] == ("terminal_observation" in infos[i]) == (infos[i]["reason"] != 0)
            ended += int(done[i])
    assert ended >= ENVS


def test_the_tensor_environment_returns_tensors_and_tells_truncation_apart():
    env = TensorVecEnv(FakeEnv([1, 1, 2], terminates=[True, False, False]))
    observation = env.reset()
    _, reward, done, infos = env.step(torch.zeros(3, 12))
    assert all(isinstance(tensor, torch.Tensor) for tensor in (*observation.values(), reward, done))
    assert done.tolist() == [True, True, False]
    assert infos["truncated"].tolist() == [False, True, False]


@pytest.mark.parametrize("kind", [TensorVecEnv, NumpyVecEnv])
def test_an_environment_that_does_not_reset_itself_is_refused(kind):
    with pytest.raises(ValueError, match="autoreset=True"):
        kind(FakeEnv([4], autoreset=False))


def test_a_seed_gives_the_same_episodes_and_is_used_once(nut):
    env = NumpyVecEnv(nut)

    def first(seed: int | None) -> np.ndarray:
        if seed is not None:
            env.seed(seed)
        return env.reset()["privileged"]

    begin = first(7)
    np.testing.assert_array_equal(first(7), begin)
    assert not np.array_equal(first(None), begin)
    assert not np.array_equal(first(8), begin)


def test_attributes_and_methods_reach_the_environment(nut):
    env = NumpyVecEnv(nut)
    env.reset()
    env.step(np.zeros((ENVS, 12), np.float32))
    assert env.get_attr("total_steps") == [ENVS] * ENVS
    assert env.get_attr("total_steps", indices=[0, 2]) == [ENVS] * 2
    env.set_attr("total_steps", 0)
    assert nut.total_steps == 0
    assert env.env_is_wrapped(VecMonitor) == [False] * ENVS
    assert env.get_images() == [None] * ENVS
    env.env_method("close")
    assert nut.closed


def test_closing_closes_the_environment():
    fake = FakeEnv([4])
    NumpyVecEnv(fake).close()
    assert fake.closed


# -- what Stable-Baselines3's VecEnv promises -------------------------------------------------------------------------


@pytest.fixture
def drawn() -> NumpyVecEnv:
    env = DexScrewVectorEnv(
        "nut", ENVS, observe=("proprio",), num_threads=1, render_mode="rgb_array", render_size=(24, 32)
    )
    return NumpyVecEnv(env)


CHOICES = [
    (None, [0, 1, 2, 3]),
    (2, [2]),
    (-1, [3]),
    (np.int64(1), [1]),
    ([3, 0], [3, 0]),
    ((1, 1), [1, 1]),
    (np.array([2, 3]), [2, 3]),
    (range(1, 3), [1, 2]),
    ([], []),
]


@pytest.mark.parametrize(("indices", "chosen"), CHOICES, ids=str)
def test_there_is_one_result_for_each_index(nut, indices, chosen):
    env = NumpyVecEnv(nut)
    env.reset()
    assert env.get_attr("num_envs", indices) == [ENVS] * len(chosen)
    assert env.env_method("check_physics", indices=indices) == [None] * len(chosen)
    assert env.env_is_wrapped(VecMonitor, indices) == [False] * len(chosen)
    assert env.env_method("render", indices=indices) == [None] * len(chosen)


def test_indices_may_be_a_generator(nut):
    env = NumpyVecEnv(nut)
    assert env.get_attr("device", (k for k in (0, 3))) == [nut.device] * 2
    env.set_attr("total_steps", 7, (k for k in range(ENVS)))
    assert env.env_method("check_physics", indices=(k for k in (0, 3))) == [None] * 2


@pytest.mark.parametrize("indices", [4, -5, [0, 4], "0", 1.0, [True], [None]], ids=str)
def test_an_index_of_no_environment_is_refused(nut, indices):
    env = NumpyVecEnv(nut)
    for call in (
        lambda: env.get_attr("num_envs", indices),
        lambda: env.set_attr("total_steps", 3, indices),
        lambda: env.env_method("check_physics", indices=indices),
        lambda: env.env_is_wrapped(VecMonitor, indices),
    ):
        with pytest.raises((IndexError, TypeError)):
            call()
    assert nut.total_steps == 0


def test_what_is_common_to_a_batch_is_not_done_to_a_part_of_it(nut):
    env = NumpyVecEnv(nut)
    with pytest.raises(ValueError, match=r"attribute total_steps is common to the 4 environments .*leave indices out"):
        env.set_attr("total_steps", 3, indices=[0, 1])
    for name in ("close", "reset", "step"):
        with pytest.raises(ValueError, match=rf"{name}\(\) is common to the 4 environments of a batch"):
            env.env_method(name, indices=0)
    assert nut.total_steps == 0 and not nut.closed
    env.set_attr("total_steps", 3, indices=[3, 2, 1, 0])
    assert nut.total_steps == 3


def test_attributes_are_those_of_one_environment(nut):
    env = NumpyVecEnv(nut)
    assert env.get_attr("observation_space", 0) == [nut.single_observation_space]
    assert env.get_attr("action_space") == [nut.single_action_space] * ENVS
    assert env.has_attr("total_steps") and not env.has_attr("wings")
    with pytest.raises(AttributeError, match="wings"):
        env.env_method("wings", indices=0)


@pytest.mark.usefixtures("opengl")
def test_each_environment_is_drawn(drawn):
    drawn.reset()
    images = drawn.get_images()
    assert len(images) == ENVS
    assert drawn.metadata["render_fps"] == 20
    chosen = drawn.env_method("render", indices=[2, 0])
    np.testing.assert_array_equal(chosen, [images[2], images[0]])
    assert not np.array_equal(*chosen)
    assert drawn.render().shape == (48, 64, 3)  # two by two


def test_calls_out_of_order_are_refused(nut):
    env = NumpyVecEnv(nut)
    with pytest.raises(RuntimeError, match=r"call step_async\(\) before step_wait\(\)"):
        env.step_wait()
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        env.step(np.zeros((ENVS, 12), np.float32))
    env.reset()
    env.step_async(np.zeros((ENVS, 12), np.float32))
    env.step_wait()
    with pytest.raises(RuntimeError, match=r"call step_async\(\)"):
        env.step_wait()
    env.step_async(np.zeros((ENVS, 12), np.float32))
    env.reset()
    with pytest.raises(RuntimeError, match=r"call step_async\(\)"):
        env.step_wait()


def test_options_reach_the_next_reset_and_no_other(nut):
    env = NumpyVecEnv(nut)
    env.set_options({"wings": 2})
    with pytest.raises(ValueError, match="unknown option 'wings'"):
        env.reset()
    env.reset()


@pytest.mark.parametrize("actions", [np.zeros((ENVS, 12), int), np.zeros((ENVS, 11)), np.full((ENVS, 12), np.nan)])
def test_bad_actions_are_refused(nut, actions):
    env = NumpyVecEnv(nut)
    env.reset()
    with pytest.raises((TypeError, ValueError), match="actions must"):
        env.step(actions)


@pytest.mark.filterwarnings("error")
def test_actions_may_be_any_view(nut):
    env = NumpyVecEnv(nut)
    env.reset()
    env.step(np.broadcast_to(np.float32(0), (ENVS, 12)))
    env.step(np.zeros((ENVS, 12))[::-1])
    nut.step(np.zeros((ENVS, 24))[::-1, ::2])


def test_wrappers_of_stable_baselines3_run_on_it():
    env = NumpyVecEnv(DexScrewVectorEnv("nut", ENVS, observe=("proprio",), num_threads=1, episode_steps=6))
    env = VecCheckNan(VecFrameStack(VecNormalize(VecMonitor(env)), 2))
    observation = env.reset()
    assert observation["proprio"].shape == (ENVS, 3, 48)
    lengths = []
    for _ in range(13):
        observation, reward, done, infos = env.step(np.zeros((ENVS, 12), np.float32))
        assert observation["proprio"].shape == (ENVS, 3, 48) and reward.shape == done.shape == (ENVS,)
        lengths += [info["episode"]["l"] for info in infos if "episode" in info]
    assert lengths == [6] * 2 * ENVS
    assert env.unwrapped.get_attr("total_steps", [0]) == [13 * ENVS]
    env.close()


@pytest.mark.usefixtures("opengl")
def test_the_video_recorder_of_stable_baselines3_runs_on_it(drawn, tmp_path):
    pytest.importorskip("moviepy")
    env = VecVideoRecorder(drawn, str(tmp_path), lambda step: step == 0, video_length=4)
    env.reset()
    for _ in range(6):
        env.step(np.zeros((ENVS, 12), np.float32))
    env.close()
    assert len(list(tmp_path.glob("*.mp4"))) == 1


def test_its_policies_are_evaluated_on_it(nut):
    nut = DexScrewVectorEnv("nut", ENVS, observe=("proprio",), num_threads=1, episode_steps=6)
    model = PPO("MultiInputPolicy", NumpyVecEnv(nut), n_steps=8, batch_size=16, device="cpu")
    rewards, lengths = evaluate_policy(model, VecMonitor(NumpyVecEnv(nut)), 8, return_episode_rewards=True)
    assert len(rewards) == 8 and set(lengths) == {6}


def test_the_single_environment_passes_its_checker():
    env = DexScrewEnv("nut", num_threads=1)
    check_env(env)
    env.close()


@pytest.mark.parametrize("kind", [TensorVecEnv, NumpyVecEnv])
def test_it_is_freed_when_dropped(kind):
    gc.collect()
    gc.disable()
    try:
        env = kind(DexScrewVectorEnv("nut", 2, num_threads=1))
        env.reset()
        env.step(torch.zeros(2, 12) if kind is TensorVecEnv else np.zeros((2, 12)))
        kept = weakref.ref(env), weakref.ref(env.env), weakref.ref(env.env.sim)
        del env
        assert [ref() for ref in kept] == [None] * 3
    finally:
        gc.enable()
