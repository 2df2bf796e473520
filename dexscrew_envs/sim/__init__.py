"""Simulators: engines that step the same scene behind the same named tensors."""

from __future__ import annotations

import gymnasium
import torch

from dexscrew_envs import arguments, extras
from dexscrew_envs.sim.base import Episode, Simulator, State, write_rows
from dexscrew_envs.tasks import Task

ENGINES = {"mujoco": "cpu", "warp": "cuda"}
"""Names of the engines, and the device on which each runs unless told otherwise."""


def make_simulator(
    engine: str,
    task: Task,
    num_envs: int,
    *,
    device: str | torch.device | None = None,
    num_threads: int = 0,
    max_contacts: int | None = None,
) -> Simulator:
    """Return a simulator of `num_envs` copies of the task's scene.

    Args:
        engine: "mujoco", which runs on CPUs, or "warp", which runs on an NVIDIA GPU (or, for tests, on the CPU).
        task: the task.
        num_envs: how many copies.
        device: torch device on which the tensors live; None takes the engine's own.
        num_threads: threads of the mujoco engine; 0 takes all CPUs.
        max_contacts: contacts per environment for which the warp engine has room; None takes what was measured.

    Raises:
        ValueError: the engine is unknown, a number is out of range, or the device is not there or is not for it.
        gymnasium.error.DependencyNotInstalled: the engine's packages are missing.
    """
    if not isinstance(engine, str) or engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; choose from {', '.join(ENGINES)}")
    num_envs = arguments.num_envs(num_envs)
    num_threads = arguments.integer("num_threads", num_threads, 0, "0 (all CPUs) or positive")
    if max_contacts is not None:
        max_contacts = arguments.integer("max_contacts", max_contacts, 1)
    if device is not None and not isinstance(device, (str, torch.device)):
        raise ValueError(f"device must be a torch device or its name, such as {ENGINES[engine]!r}, got {device!r}")
    device = ENGINES[engine] if device is None else str(device)
    if engine == "mujoco":
        if device not in ("cpu", "cpu:0"):
            raise ValueError(f"the mujoco engine runs on device 'cpu', not on {device!r}; engine='warp' runs on a GPU")
        if max_contacts is not None:
            raise ValueError("max_contacts is for the warp engine; the mujoco engine makes room as it needs it")
        from dexscrew_envs.sim.mujoco import MujocoSimulator

        return MujocoSimulator(task, num_envs, num_threads)
    try:
        from dexscrew_envs.sim.warp import WarpSimulator, check_device
    except ModuleNotFoundError as error:
        raise gymnasium.error.DependencyNotInstalled(
            extras.missing(error.name or "mujoco_warp", "the warp engine")
        ) from error
    return WarpSimulator(task, num_envs, check_device(device), max_contacts)


__all__ = ["ENGINES", "Episode", "Simulator", "State", "make_simulator", "write_rows"]
