from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import FakeEnv
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import VecMonitor

from baselines.sb3_env import NumpyVecEnv, TensorVecEnv
from dexscrew_envs.vector_env import DexScrewVectorEnv

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
