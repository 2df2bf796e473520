"""The environment on the GPU engine: parity with the CPU engine, and what CUDA graphs ask for.

On a GPU where there is one, else on Warp's CPU device.
"""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dexscrew_envs.mdp.randomization import sample_episode
from dexscrew_envs.mdp.terminations import TerminationReason
from dexscrew_envs.sim import make_simulator
from dexscrew_envs.sim.base import Episode
from dexscrew_envs.tasks import NUT, SCREWDRIVER, make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv

pytest.importorskip("mujoco_warp", reason="needs the extra gpu")
warp = pytest.importorskip("warp")
engine = pytest.importorskip("dexscrew_envs.sim.warp")
pytestmark = pytest.mark.gpu

N = 6
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
OBSERVE = ("proprio", "history", "privileged", "fingertip_force", "point_cloud")
QUIET = {"observation_noise": (0.0, 0.0), "action_noise": (0.0, 0.0), "push_probability": 0.0}


def make_env(task="nut", num_envs=N, **kwargs):
    return DexScrewVectorEnv(task, num_envs, engine="warp", device=DEVICE, observe=OBSERVE, **kwargs)


def random_actions(num_envs, generator):
    return (2 * torch.rand(num_envs, 12, generator=generator) - 1).to(DEVICE)


# -- parity of the environment ----------------------------------------------------------------------------------------


def test_environments_agree(monkeypatch):
    """The same episodes and actions give the same observations, rewards and ends, while errors have not grown."""
    generator = torch.Generator().manual_seed(0)
    start = sample_episode(make_task("nut", **QUIET), N, 1024, generator)

    def same_episode(*arguments):
        def copy(tensor):
            return tensor.to(arguments[-1].device, copy=True)

        drawn = {name: copy(values) for name, values in start.drawn.items()}
        return Episode(copy(start.start), drawn, copy(start.observation_bias), copy(start.action_bias))

    monkeypatch.setattr("dexscrew_envs.mdp.randomization.sample_episode", same_episode)
    kwargs = {"observe": OBSERVE, "autoreset": False, "episode_steps": 10, **QUIET}
    cpu = DexScrewVectorEnv("nut", N, num_threads=1, **kwargs)
    gpu = DexScrewVectorEnv("nut", N, engine="warp", device=DEVICE, **kwargs)
    before, after = cpu.reset(seed=0)[0], gpu.reset(seed=0)[0]
    close = torch.testing.assert_close
    for key, values in before.items():
        close(after[key].cpu(), values, atol=2e-6, rtol=0)
    opening = torch.tensor([0.5, -1, -1, -1, -1, 0, 0, 0, 0, 0.3, -1, -1]).expand(N, -1)
    for k in range(10):
        a, reward_a, term_a, trunc_a, info_a = cpu.step(opening)
        b, reward_b, term_b, trunc_b, info_b = gpu.step(opening.to(DEVICE))
        for key, values in a.items():
            close(b[key].cpu(), values, atol=5e-3, rtol=1e-3, msg=lambda m, key=key: f"{key}: {m}")
        for name, term in info_a["reward_terms"].items():
            close(info_b["reward_terms"][name].cpu(), term, atol=1e-3, rtol=1e-3)
        close(reward_b.cpu(), reward_a, atol=1e-2, rtol=1e-3)
        assert info_b["reason"].tolist() == info_a["reason"].tolist()
        assert term_b.tolist() == term_a.tolist()
        assert trunc_b.tolist() == trunc_a.tolist() == [k == 9 and not t for t in term_a.tolist()]


class NoHostReads(TorchDispatchMode):
    """Fails where torch would wait for a GPU: a tensor's value is asked for, or a result's shape depends on one."""

    SYNCHRONOUS = ("_local_scalar_dense", "nonzero", "item", "masked_select", "is_nonzero", "equal", "unique")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in self.SYNCHRONOUS, f"{name} waits for the device"
        if name in ("index", "index_put", "index_put_"):
            assert all(i is None or i.dtype != torch.bool for i in args[1]), f"{name} by a mask waits for the device"
        return func(*args, **(kwargs or {}))


def test_control_step_reads_nothing_on_the_host():
    env = make_env(episode_steps=4)
    env.reset(seed=0)
    generator, ended = torch.Generator().manual_seed(0), torch.zeros(N, dtype=torch.bool, device=DEVICE)
    for k in range(6):
        actions = random_actions(N, generator)
        if k == 2:
            env.sim._data["qpos"][1] = torch.nan  # a diverged simulation is no reason to wait either
        with NoHostReads():
            _, _, terminated, truncated, _ = env.step(actions)
        ended |= terminated | truncated
    assert ended.all()


def test_collection_of_ppo_reads_nothing_on_the_host(monkeypatch):
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.logger import configure

    from baselines.rl.ppo_agents import PPOConfig, ppo_agent
    from baselines.rl.sb3_env import TensorVecEnv

    keys = ("proprio", "privileged")
    env = DexScrewVectorEnv("nut", N, engine="warp", device=DEVICE, observe=keys, episode_steps=3)
    config = PPOConfig(num_envs=N, n_steps=5, batch_size=10)
    model = ppo_agent("oracle", actor=keys).build(TensorVecEnv(env), config)
    model.set_logger(configure(None, []))
    _, callback = model._setup_learn(5 * N, None)
    monkeypatch.setattr(model, "device", torch.device("cuda"))  # what is asked to choose the way without a wait
    with NoHostReads():
        model.collect_rollouts(model.env, callback, None, 5)
    assert model.rollout.returns.isfinite().all()
    assert len(model.statistics.finished) >= N

    rewards, infos = torch.rand(N, device=DEVICE), {}
    infos["truncated"] = torch.tensor([True, False, True, False, False, False], device=DEVICE)
    infos["final_obs"] = model._last_obs
    with torch.no_grad():
        masked = model._bootstrap_truncated(rewards.clone(), infos)
        monkeypatch.undo()
        torch.testing.assert_close(model._bootstrap_truncated(rewards.clone(), infos), masked)


def test_the_check_for_host_reads_can_fail():
    with pytest.raises(AssertionError, match="waits for the device"), NoHostReads():
        bool(torch.ones(3).any())
    with pytest.raises(AssertionError, match="waits for the device"), NoHostReads():
        torch.ones(3)[torch.tensor([True, False, True])]


def test_a_step_changes_tensors_in_place_only():
    """A recorded step goes on with the buffers that it was recorded with, so none may be replaced by another."""
    env = make_env(episode_steps=3)
    env.reset(seed=0)
    env.step(torch.zeros(N, 12, device=DEVICE))

    def buffers():
        held = {name: value for name, value in vars(env).items() if isinstance(value, torch.Tensor)}
        for part in (env._window, env._constants):
            held |= {f"{type(part).__name__}.{k}": v for k, v in vars(part).items() if isinstance(v, torch.Tensor)}
        held |= {f"Episode.{name}": value for name, value in env._episode.tensors().items()}
        held |= env.sim._data | env.sim._model | {"peak": env.sim._peak}
        return {name: (value.data_ptr(), value.shape) for name, value in held.items()}

    before = buffers()
    assert {"_targets", "_push", "_history", "_angle", "_steps", "IdleWindow.angles", "Episode.kp"} <= set(before)
    for _ in range(4):
        env.step(torch.ones(N, 12, device=DEVICE))
    env.reset(options={"reset_mask": [True] * 3 + [False] * 3})
    assert buffers() == before


def test_episodes_restart_by_themselves():
    env = make_env("nut", episode_steps=5)
    env.reset(seed=0)
    for k in range(12):
        observation, _, terminated, truncated, infos = env.step(torch.zeros(N, 12, device=DEVICE))
        assert infos["_final_obs"].tolist() == (terminated | truncated).tolist()
        done = terminated | truncated
        if k == 4:
            assert truncated[~terminated].all()
        oldest, newest = observation["history"][done, 0], observation["history"][done, -1]
        assert torch.equal(oldest, newest)  # a history begins with the start pose
        if done.any():
            assert not torch.equal(infos["final_obs"]["history"][done, -1], newest)
    assert env.sim._data["qpos"].isfinite().all()


def test_same_seed_gives_the_same_episodes():
    results = []
    for _ in range(2):
        env = make_env("nut", 4, episode_steps=6)
        env.reset(seed=5)
        generator = torch.Generator().manual_seed(0)
        results.append([env.step(random_actions(4, generator))[0]["proprio"] for _ in range(10)])
    torch.testing.assert_close(torch.stack(results[0]), torch.stack(results[1]), atol=1e-6, rtol=0)


def test_bad_action_ends_its_episode_alone():
    env = make_env("nut", 4)
    env.reset(seed=0)
    actions = torch.zeros(4, 12, device=DEVICE)
    actions[1, 3] = torch.nan
    observation, reward, terminated, _, infos = env.step(actions)
    assert infos["reason"].tolist() == [0, TerminationReason.INVALID_PHYSICS, 0, 0]
    assert terminated.tolist() == [False, True, False, False]
    assert all(torch.isfinite(values).all() for values in (*observation.values(), reward))
    with pytest.warns(RuntimeWarning, match="the physics diverged and was reset: environment 1 at its step 1"):
        env.check_physics()
    assert env.invalid_physics_count == 1
    env.check_physics()  # says it once
    assert env.step(torch.zeros(4, 12, device=DEVICE))[-1]["reason"].tolist() == [TerminationReason.RUNNING] * 4


def test_overflow_is_told_with_the_size_to_ask_for():
    env = make_env("nut", 16, max_contacts=1)
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        env.step(random_actions(16, generator))
    with pytest.warns(RuntimeWarning, match=r"left out in \d+ of 16 environments; .* max_contacts=(\d+)") as warned:
        env.check_physics()
    wanted = int(str(warned[0].message).split("max_contacts=")[1].split()[0])
    assert wanted > 4
    enough = make_env("nut", 16, max_contacts=wanted)
    enough.reset(seed=0)
    for _ in range(8):
        enough.step(random_actions(16, generator))
    enough.check_physics()


@pytest.mark.parametrize("task", [NUT, SCREWDRIVER])
def test_capacity_is_twice_what_random_actions_need(task):
    env = make_env(task, 64)
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        env.step(random_actions(64, generator))
    candidates, constraints = env.sim._peak.tolist()
    assert 0 < 2 * candidates < engine.MAX_CONTACTS * 64
    assert 0 < 2 * constraints < engine.MAX_CONSTRAINTS
    env.check_physics()


def test_memory_of_an_environment_is_not_underestimated():
    sim = make_simulator("warp", NUT, 64, device=DEVICE)

    def size(container):
        total = 0
        for field in dataclasses.fields(container):
            value = getattr(container, field.name, None)
            if dataclasses.is_dataclass(value):
                total += size(value)
            elif isinstance(value, warp.array) and value.shape and value.shape[0] >= 64:
                total += value.size * warp.types.type_size_in_bytes(value.dtype)
        return total

    assert size(sim.model) + size(sim.data) < 64 * engine.bytes_per_env(sim.max_contacts)


def test_frame_of_an_environment_shows_its_own_state():
    env = make_env("nut", 3)
    env.reset(seed=1)
    for _ in range(3):
        env.step(torch.zeros(3, 12, device=DEVICE))
    for k in range(3):
        model, data = env.sim.render_state(k)
        np.testing.assert_allclose(data.qpos, env.sim._data["qpos"][k].cpu(), atol=1e-6)
        assert model.body("nut").mass[0] == pytest.approx(float(env._episode.drawn["mass"][k, 0]))
        np.testing.assert_allclose(data.site("index_tip").xpos, env.sim.read().tip_pos[k, 1].cpu(), atol=2e-3)


def test_gymnasium_makes_it():
    env = gymnasium.make_vec("DexScrew-Screwdriver-v0", num_envs=2, engine="warp", device=DEVICE)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains({key: value.cpu().numpy() for key, value in observation.items()})
    env.close()
