"""The GPU engine beside the CPU engine, on a GPU where there is one, else on Warp's CPU device.

The first run compiles kernels, which takes minutes.
"""

from __future__ import annotations

import builtins

import gymnasium
import numpy as np
import pytest
import torch

from dexscrew_envs.mdp.randomization import sample_episode
from dexscrew_envs.sim import make_simulator
from dexscrew_envs.sim.base import Episode, State
from dexscrew_envs.tasks import NUT, make_task

pytest.importorskip("mujoco_warp", reason="needs the extra gpu")
warp = pytest.importorskip("warp")
engine = pytest.importorskip("dexscrew_envs.sim.warp")
pytestmark = pytest.mark.gpu

N = 6
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
QUIET = {"observation_noise": (0.0, 0.0), "action_noise": (0.0, 0.0), "push_probability": 0.0}


def episodes(task, count=N, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return sample_episode(task, count, 1024, generator)


@pytest.fixture(scope="module", params=["nut", "screwdriver"])
def pair(request):
    """Both engines with the same episodes of one task, which a test must begin by resetting them."""
    task = make_task(request.param, **QUIET)
    cpu = make_simulator("mujoco", task, N, num_threads=1)
    gpu = make_simulator("warp", task, N, device=DEVICE)
    return task, cpu, gpu


def begin(pair):
    """Begin the same episodes on both engines."""
    task, cpu, gpu = pair
    episode = episodes(task)
    everywhere = torch.ones(N, dtype=torch.bool, device=DEVICE)
    return cpu.reset(torch.arange(N), episode), on_host(gpu.reset(everywhere, on_device(episode)))


def on_device(episode):
    """Return the episode on the GPU engine's device."""
    drawn = {name: values.to(DEVICE) for name, values in episode.drawn.items()}
    return Episode(episode.start.to(DEVICE), drawn, episode.observation_bias.to(DEVICE), episode.action_bias.to(DEVICE))


def on_host(state):
    """Return the state on the CPU."""
    return State(**{name: values.cpu() for name, values in state.tensors().items()})


def step(sim, targets):
    """Take a control step without a push."""
    sim.step(targets.to(sim.device), torch.zeros(N, 3, device=sim.device))


def read(sim):
    """Return the state on the CPU."""
    return on_host(sim.read())


def random_actions(num_envs, generator):
    return 2 * torch.rand(num_envs, 12, generator=generator) - 1


# -- a reset ----------------------------------------------------------------------------------------------------------


def test_states_at_the_beginning_agree(pair):
    cpu, gpu = begin(pair)
    for name, values in cpu.tensors().items():
        torch.testing.assert_close(
            getattr(gpu, name), values, atol=1e-6, rtol=0, msg=lambda m, name=name: f"{name}: {m}"
        )


def test_models_agree_after_a_reset(pair):
    """Among them the constants that the CPU engine has `mj_setConst` derive."""
    _, cpu, gpu = pair
    begin(pair)
    for name, values in gpu._model.items():
        expected = np.array(cpu.batch.expand(name) if cpu.batch.expanded(name) is None else cpu.batch.expanded(name))
        np.testing.assert_allclose(values.cpu().reshape(expected.shape), expected, rtol=2e-5, atol=1e-7, err_msg=name)


def test_reset_by_mask_leaves_the_others(pair):
    task, _, gpu = pair
    begin(pair)
    for _ in range(3):
        step(gpu, gpu.read().joint_pos + 0.05)
    everything = lambda: {k: v.clone() for k, v in (gpu._data | gpu._model).items() if v.shape[0] == N}  # noqa: E731
    before, mask = everything(), torch.tensor([False, True, False, False, True, False], device=DEVICE)
    gpu.reset(mask, on_device(episodes(task, seed=9)))
    for name, values in everything().items():
        assert torch.equal(values[~mask], before[name][~mask]), name
    for name in ("qpos", "ctrl", "mocap_pos"):
        assert not torch.equal(gpu._data[name][mask], before[name][mask]), name


def test_reset_heals_a_diverged_simulation(pair):
    _, _, gpu = pair
    begin(pair)
    gpu._data["qpos"][2] = torch.nan
    step(gpu, gpu.read().joint_pos)
    begin(pair)
    step(gpu, gpu.read().joint_pos)
    for values in gpu.read().tensors().values():
        assert torch.isfinite(values).all()


# -- parity of the physics --------------------------------------------------------------------------------------------


def test_joints_agree_without_contact(pair):
    """The fingers open, away from the nut and from each other, for ten control steps."""
    _, cpu, gpu = pair
    state, _ = begin(pair)
    targets, direction = state.joint_pos.clone(), torch.tensor([0.5, -1, -1, -1, -1, -1, -1, -1, -1, 0.3, -1, -1])
    for _ in range(10):
        targets += 0.02 * direction
        for sim in (cpu, gpu):
            step(sim, targets)
        a, b = read(cpu), read(gpu)
        assert not a.nut_force.any() and not b.nut_force.any()
        torch.testing.assert_close(b.joint_pos, a.joint_pos, atol=1e-4, rtol=0)
        torch.testing.assert_close(b.joint_vel, a.joint_vel, atol=1e-3, rtol=0)
        torch.testing.assert_close(b.tip_pos, a.tip_pos, atol=1e-5, rtol=0)
        torch.testing.assert_close(b.tip_velocity, a.tip_velocity, atol=1e-2, rtol=0)
    assert (a.joint_pos - state.joint_pos).abs().amax() > 0.05


def copy_state(cpu, gpu):
    for name in ("qpos", "qvel", "ctrl", "qacc_warmstart"):
        gpu._data[name].copy_(torch.from_numpy(np.array(getattr(cpu.batch, name))))


def test_control_steps_agree_with_contact(pair):
    """From the same state, one control step under random actions ends in the same state, within these tolerances.

    The engines find other points of the same contact where a capsule lies along a mesh's face or edge, in one state of
    thirty, so that the tolerances are on quantiles: 1e-4 rad for nine in ten, 0.02 rad for all.
    """
    task, cpu, gpu = pair
    state, _ = begin(pair)
    generator, targets = torch.Generator().manual_seed(0), state.joint_pos
    errors, touched = [], 0
    for _ in range(60):
        targets = targets + task.action_scale * random_actions(N, generator)
        copy_state(cpu, gpu)
        for sim in (cpu, gpu):
            step(sim, targets)
        a, b = read(cpu), read(gpu)
        errors.append(torch.cat([(a.joint_pos - b.joint_pos), (a.nut_angle - b.nut_angle)[:, None]], dim=1).abs())
        touched += int((a.nut_force.norm(dim=1) > 1e-3).sum())
    worst = torch.cat(errors).amax(dim=1)
    assert touched > 60
    assert worst.quantile(0.9) < 1e-4
    assert worst.max() < 0.02


def test_forces_have_the_same_signs_and_sizes(pair):
    _, cpu, gpu = pair
    state, _ = begin(pair)
    targets = state.joint_pos.clone()
    targets[:, [1, 2, 10, 11]] += 0.3  # index finger and thumb press on the nut
    for sim in (cpu, gpu):
        for _ in range(10):
            step(sim, targets)
    a, b = read(cpu), read(gpu)
    assert a.tip_force[:, :2].norm(dim=2).median() > 0.1
    torch.testing.assert_close(b.tip_force.norm(dim=2).median(), a.tip_force.norm(dim=2).median(), rtol=0.2, atol=0.05)
    torch.testing.assert_close(b.torque, a.torque, atol=0.1, rtol=0.1)
    pressed = a.tip_force[:, 1].norm(dim=1) > 0.5
    cosine = torch.nn.functional.cosine_similarity(a.tip_force[pressed, 1], b.tip_force[pressed, 1])
    assert pressed.any()
    assert cosine.median() > 0.95


def test_constraints_stay_well_conditioned(pair):
    _, _, gpu = pair
    state = begin(pair)[1]
    generator, targets = torch.Generator().manual_seed(1), state.joint_pos
    for _ in range(40):
        targets = (targets + 0.05 * random_actions(N, generator)).clamp(-0.2, 1.8)
        step(gpu, targets)
        stiffest = gpu.data.efc.D.numpy()
        assert np.isfinite(stiffest).all()
        assert stiffest.max() < 1e8


# -- the factory ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "cuda"}, "needs an NVIDIA GPU, and .*; engine='mujoco' runs on CPUs"),
        ({"device": None}, "device 'cuda' needs an NVIDIA GPU"),
        ({"device": "mps"}, "the warp engine runs on device 'cuda' .* not on 'mps'"),
        ({"device": "gpu"}, "unknown device 'gpu'; choose cuda, cuda:0, ..., or cpu"),
        ({"max_contacts": 0}, "max_contacts must be an integer of at least 1, got 0"),
        ({"engine": "mujoco", "max_contacts": 3}, "max_contacts is for the warp engine"),
    ],
)
def test_bad_argument_raises(arguments, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=message):
        make_simulator(**{"engine": "warp", "task": NUT, "num_envs": 1, "device": "cpu", **arguments})


def test_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="there is no device 'cuda:1'; this machine has 1 GPUs"):
        engine.check_device("cuda:1")


@pytest.mark.parametrize(
    ("built", "found", "needed"), [((13, 4), (12, 8), "13.0"), ((12, 9), (12, 2), "12.4"), ((13, 4), None, "13.0")]
)
def test_old_driver_is_refused(monkeypatch, built, found, needed):
    """Warp finds no GPU below the major version of its own CUDA, and has no conditional graphs below 12.4."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, value in (
        ("is_cuda_available", found == (12, 2)), ("is_conditional_graph_supported", found == (12, 8)),
        ("get_cuda_toolkit_version", built), ("get_cuda_driver_version", found),
    ):  # fmt: skip
        monkeypatch.setattr(warp, name, lambda value=value: value)
    version = "none" if found is None else f"{found[0]}.{found[1]}"
    with pytest.raises(ValueError, match=f"driver for CUDA {needed} or newer, found one for {version}; update"):
        engine.check_device("cuda")


def test_small_memory_is_refused_with_what_fits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**30, 2**31))
    with pytest.raises(
        ValueError, match=r"1000000 environments need about \d+.\d GiB, .* 1.0 GiB free; at most \d+ fit"
    ):
        engine._check_memory(1_000_000, 32, torch.device("cuda"))
    engine._check_memory(16, 32, torch.device("cuda"))


def test_missing_extra_names_what_to_install(monkeypatch):
    real_import = builtins.__import__

    def without_warp(name, *args, **kwargs):
        if name == "dexscrew_envs.sim.warp":
            raise ModuleNotFoundError("No module named 'mujoco_warp'", name="mujoco_warp")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_warp)
    with pytest.raises(
        gymnasium.error.DependencyNotInstalled, match=r"package mujoco_warp, .* pip install 'dexscrew\[gpu\]'"
    ):
        make_simulator("warp", NUT, 1, device="cpu")
