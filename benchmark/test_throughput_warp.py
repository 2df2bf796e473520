"""Control steps per second of the warp engine, beside bare `mujoco_warp.step` of the same simulations in a CUDA graph.

`python -m pytest -s benchmark/test_throughput_warp.py` prints the rates of each case as it ends. Without a GPU a few
environments run on Warp's CPU device, which shows that the benchmark works and says nothing about a GPU.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import pytest
import torch

from dexscrew_envs.files import to_json
from dexscrew_envs.vector_env import DexScrewVectorEnv

pytest.importorskip("mujoco_warp", reason="needs the extra gpu")

import warp

from dexscrew_envs.sim.warp import bytes_per_env

pytestmark = pytest.mark.gpu

CUDA = torch.cuda.is_available()
OBSERVE = ("proprio", "privileged")
NUM_ENVS = (1024, 2048, 4096, 8192, 16384, 32768) if CUDA else (64,)
WARM_UP = 60 if CUDA else 20
"""Control steps before measuring, in which every environment is reset once, so that episodes are of all ages."""
LONGEST, SHORTEST = (100, 10) if CUDA else (10, 10)
"""Most and fewest control steps of a segment."""
ROUNDS = 3
"""Segments, of which the median counts."""
DEVICE = "cuda" if CUDA else "cpu"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Learn on one thread where Warp simulates on one: on the CPU device."""
    threads = torch.get_num_threads()
    if not CUDA:
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def segment(num_envs: int) -> int:
    """Return the control steps of a segment: fewer where many environments make each one long."""
    return min(LONGEST, max(SHORTEST, 2**18 // num_envs))


def make_env(task: str, num_envs: int) -> DexScrewVectorEnv:
    """Return an environment whose episodes are of all ages, with contacts as random actions make them."""
    env = DexScrewVectorEnv(task, num_envs, observe=OBSERVE, engine="warp", device=DEVICE)
    env.reset(seed=0)
    for ids in torch.randperm(num_envs, device=env.device).tensor_split(WARM_UP):
        mask = torch.zeros(num_envs, dtype=torch.bool, device=env.device)
        mask[ids] = True
        env.reset(options={"reset_mask": mask})
        env.step(random_actions(env))
    return env


def random_actions(env: DexScrewVectorEnv) -> torch.Tensor:
    return 2 * torch.rand(env.num_envs, 12, device=env.device) - 1


def wait() -> None:
    """Wait until the GPU has done all that it was asked to."""
    if CUDA:
        torch.cuda.synchronize()


def seconds(function: Callable[[], None]) -> float:
    """Return how long the device is busy with a function."""
    wait()
    begin = perf_counter()
    function()
    wait()
    return perf_counter() - begin


def mark() -> Any:
    """Return a mark of when the device gets here."""
    if not CUDA:
        return perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


class Stopwatch:
    """Takes the place of a method, and counts how long the device is busy with its calls."""

    def __init__(self, owner: Any, name: str) -> None:
        self.method = getattr(owner, name)
        self.marks: list[tuple[Any, Any]] = []
        setattr(owner, name, self)

    def __call__(self, *args: Any) -> Any:
        begin = mark()
        result = self.method(*args)
        self.marks.append((begin, mark()))
        return result

    def read(self) -> float:
        """Return the seconds since this was last asked."""
        wait()
        marks, self.marks = self.marks, []
        return sum(begin.elapsed_time(end) / 1000 if CUDA else end - begin for begin, end in marks)


def free_memory() -> int:
    """Return the bytes that the GPU has free, without what torch and Warp keep of earlier cases."""
    gc.collect()
    torch.cuda.empty_cache()
    warp.set_mempool_release_threshold("cuda", 0)
    warp.synchronize_device("cuda")
    return torch.cuda.mem_get_info()[0]


def device_name(env: DexScrewVectorEnv) -> str:
    return torch.cuda.get_device_name(env.device) if CUDA else "Warp's CPU device"


def note(benchmark: Any, found: dict[str, Any]) -> None:
    """Add what was found to the benchmark's results, and print it at once: later cases may not be waited for."""
    benchmark.extra_info |= found
    print(to_json(dict(benchmark.extra_info)), flush=True)


def median(function: Callable[[], None]) -> float:
    return sorted(seconds(function) for _ in range(ROUNDS))[ROUNDS // 2]


class Pair:
    """An environment, and its own physics replayed from where a segment began, with the controls that it was given.

    Where no episode ended meanwhile, both go through the same states and contacts.
    """

    def __init__(self, env: DexScrewVectorEnv, act: Callable[[DexScrewVectorEnv], torch.Tensor]) -> None:
        self.env, self.act = env, act
        self.steps = segment(env.num_envs)
        self.sim = self.env.sim
        self.step_physics = Stopwatch(self.sim, "step")
        self.controls: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.contacts: dict[str, list[torch.Tensor]] = {"environment": [], "physics": []}
        self.sim.step = self.record

    def record(self, targets: torch.Tensor, push: torch.Tensor) -> None:
        self.controls.append((targets, push.clone()))
        self.step_physics(targets, push)

    def measure(self) -> tuple[float, float, float]:
        """Return the seconds of a segment of the environment, of the physics in it, and of that physics replayed."""
        arrays = self.sim._data | self.sim._model
        begin = {name: values.clone() for name, values in arrays.items()}
        self.controls.clear()
        self.step_physics.read()
        with_environment = seconds(self.step_environment)
        within = self.step_physics.read()
        end = {name: values.clone() for name, values in arrays.items()}
        for name, values in begin.items():
            arrays[name].copy_(values)
        alone = seconds(self.replay)
        for name, values in end.items():
            arrays[name].copy_(values)
        return with_environment, within, alone

    def step_environment(self) -> None:
        for _ in range(self.steps):
            self.env.step(self.act(self.env))
            self.contacts["environment"].append(self.sim._data["nacon"].clone())

    def replay(self) -> None:
        for targets, push in self.controls:
            self.step_physics(targets, push)
            self.contacts["physics"].append(self.sim._data["nacon"].clone())

    def mean_contacts(self, part: str) -> float:
        return float(torch.stack(self.contacts[part]).double().mean()) / self.env.num_envs


@pytest.mark.parametrize("num_envs", NUM_ENVS)
@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_control_steps_per_second(benchmark, task, num_envs):
    free = free_memory() if CUDA else 0
    pair = Pair(make_env(task, num_envs), random_actions)
    if CUDA:
        memory = free - torch.cuda.mem_get_info()[0]
        benchmark.extra_info["bytes_per_env"] = round(memory / num_envs)
        assert memory < 2 * num_envs * bytes_per_env(pair.sim.max_contacts)
    pair.measure()
    benchmark.group = "control steps of the warp engine"
    pairs = benchmark.pedantic(lambda: [pair.measure() for _ in range(ROUNDS)], rounds=1, iterations=1)
    env_seconds, within, raw_seconds = (sorted(column)[ROUNDS // 2] for column in zip(*pairs, strict=True))
    pair.env.check_physics()
    found = {
        "task": task,
        "num_envs": num_envs,
        "device": device_name(pair.env),
        "control_steps_per_second": round(pair.steps * num_envs / env_seconds, 1),
        "raw_control_steps_per_second": round(pair.steps * num_envs / raw_seconds, 1),
        "ratio": round(raw_seconds / env_seconds, 4),
        "share_physics": round(within / env_seconds, 4),
        "contacts": round(pair.mean_contacts("environment"), 2),
        "raw_contacts": round(pair.mean_contacts("physics"), 2),
        "invalid_physics": pair.env.invalid_physics_count,
    }
    note(benchmark, found)
    assert pair.mean_contacts("physics") == pytest.approx(pair.mean_contacts("environment"), rel=0.2)


HANDS = {
    "open": [0.0, -1.0, -1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, -1.0],
    "still": [0.0] * 12,
    "closed": [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
}
"""Actions that open the fingers, hold them beside the nut, and close them around it."""


@pytest.mark.parametrize("num_envs", [8192] if CUDA else [64])
@pytest.mark.parametrize("hand", HANDS)
def test_cost_of_contacts(benchmark, hand, num_envs):
    """Bare physics of hands with few and many contacts; none begins anew meanwhile."""
    env = DexScrewVectorEnv("nut", num_envs, observe=OBSERVE, engine="warp", device=DEVICE, autoreset=False)
    env.reset(seed=0)
    action = torch.tensor(HANDS[hand], device=env.device).expand(num_envs, -1)
    pair = Pair(env, lambda _: action)
    while env.total_steps < 20 * num_envs:  # until the fingers are where they go
        pair.measure()
    for counts in pair.contacts.values():
        counts.clear()
    benchmark.group = "bare physics of the warp engine by contacts"
    raw = benchmark.pedantic(lambda: sorted(pair.measure()[2] for _ in range(ROUNDS)), rounds=1, iterations=1)
    contacts = pair.mean_contacts("physics")
    found = {
        "hand": hand,
        "num_envs": num_envs,
        "device": device_name(env),
        "contacts": round(contacts, 2),
        "raw_control_steps_per_second": round(pair.steps * num_envs / raw[ROUNDS // 2], 1),
    }
    note(benchmark, found)
    assert contacts == pytest.approx(pair.mean_contacts("environment"), rel=0.05, abs=0.05)
    assert contacts < 1 if hand == "open" else contacts > 0


@contextmanager
def no_waiting() -> Iterator[None]:
    """Let torch raise an error where it would wait for the GPU."""
    if CUDA:
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if CUDA:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not CUDA, reason="needs an NVIDIA GPU; tests look for host reads on the CPU device")
def test_rollout_waits_for_nothing():
    env = make_env("nut", 1024)
    with no_waiting():
        for _ in range(32):
            env.step(random_actions(env))


@pytest.mark.parametrize("num_envs", [4096, 8192, 16384] if CUDA else [64])
def test_shares_of_a_training_iteration(benchmark, num_envs):
    """Physics, the rest of the environment, the policy's part of the rollout, and the update."""
    from stable_baselines3.common.logger import configure

    from baselines.rl.ppo_agents import PPOConfig, ppo_agent
    from baselines.rl.sb3_env import TensorVecEnv

    env = make_env("nut", num_envs)
    config = PPOConfig(num_envs=num_envs, batch_size=num_envs * 4)
    model = ppo_agent("oracle", actor=OBSERVE).build(TensorVecEnv(env), config)
    model.set_logger(configure(None, []))
    model.learn(2 * config.n_steps * num_envs)  # warm
    _, callback = model._setup_learn(config.n_steps * num_envs, None)

    def rollout() -> None:
        model.collect_rollouts(model.env, callback, None, config.n_steps)

    with no_waiting():
        rollout()

    physics, step = Stopwatch(env.sim, "step"), Stopwatch(env, "step")
    benchmark.group = "a training iteration on the warp engine"
    collect = benchmark.pedantic(lambda: median(rollout), rounds=1, iterations=1)
    bare, around = physics.read() / ROUNDS, step.read() / ROUNDS
    before = model.policy.action_net.weight.detach().clone()
    update = median(model.train)
    total = collect + update
    found = {
        "num_envs": num_envs,
        "device": device_name(env),
        "control_steps_per_second_with_learning": round(config.n_steps * num_envs / total, 1),
        "share_physics": round(bare / total, 3),
        "share_mdp": round((around - bare) / total, 3),
        "share_policy": round((collect - around) / total, 3),
        "share_update": round(update / total, 3),
    }
    note(benchmark, found)
    assert not torch.equal(model.policy.action_net.weight, before)
