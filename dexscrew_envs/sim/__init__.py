"""Simulators: engines that step the same scene behind the same named tensors."""

from __future__ import annotations

from dexscrew_envs.sim.base import Episode, Simulator, State
from dexscrew_envs.tasks import Task

ENGINES = ("mujoco",)
"""Names of the engines."""


def make_simulator(engine: str, task: Task, num_envs: int, *, device: str = "cpu", num_threads: int = 0) -> Simulator:
    """Return a simulator of `num_envs` copies of the task's scene.

    Args:
        engine: one of `ENGINES`.
        task: the task.
        num_envs: how many copies.
        device: torch device on which the tensors live; the mujoco engine has only "cpu".
        num_threads: threads that step the simulations; 0 takes all CPUs.

    Raises:
        ValueError: the engine or the device is unknown to it, or a number is out of range.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; choose from {', '.join(ENGINES)}")
    if device != "cpu":
        raise ValueError(f"the mujoco engine runs on device 'cpu', not on {device!r}")
    if num_envs < 1:
        raise ValueError(f"num_envs must be at least 1, got {num_envs}")
    if num_threads < 0:
        raise ValueError(f"num_threads must be 0 (all CPUs) or positive, got {num_threads}")
    from dexscrew_envs.sim.mujoco import MujocoSimulator

    return MujocoSimulator(task, num_envs, num_threads)


__all__ = ["ENGINES", "Episode", "Simulator", "State", "make_simulator"]
