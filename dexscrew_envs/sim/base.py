"""The protocol of a simulator, and the named tensors that it exchanges with the task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from dexscrew_envs.scene import Scene
from dexscrew_envs.start_states import StartStates


def write_rows(tensor: Tensor, rows: Tensor, values: Tensor | float) -> None:
    """Overwrite some rows of a tensor (N, ...), in place.

    Args:
        tensor: what is overwritten.
        rows: which rows, as indices (K,), int64, or as a mask (N,), bool, which asks for no host read on a GPU.
        values: K rows for indices, N rows for a mask, or one number.
    """
    if rows.dtype != torch.bool:
        tensor[rows] = values
        return
    mask = rows.view(-1, *[1] * (tensor.dim() - 1))
    if isinstance(values, Tensor):  # either way one kernel: on a GPU their number is what a reset costs
        torch.where(mask, values, tensor, out=tensor)
    else:
        tensor.masked_fill_(mask, values)


class TensorStruct:
    """A dataclass of tensors that all have one row per environment."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def write(self, rows: Tensor, other: Any) -> None:
        """Overwrite some rows with those of `other`; see `write_rows`."""
        others = other.tensors()
        for name, tensor in self.tensors().items():
            write_rows(tensor, rows, others[name])


@dataclass
class Episode(TensorStruct):
    """What is drawn once for an episode and then stays: N rows, float32 unless said otherwise; A joints."""

    start: Tensor
    """(N,) int64 index into the bank of start states."""
    drawn: dict[str, Tensor]
    """(N, size) of each range that the task declares with `drawn`, by the field's name and in its unit."""
    observation_bias: Tensor
    """(N, A) noise of the episode on observed joint positions (rad)."""
    action_bias: Tensor
    """(N, A) noise of the episode on joint targets (rad)."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        noise = {"observation_bias": self.observation_bias, "action_bias": self.action_bias}
        return {"start": self.start, **self.drawn, **noise}


@dataclass
class State(TensorStruct):
    """The simulated state after a control step: N rows, float32, world frame; A joints and F fingers.

    Joint positions and velocities and the nut's angle are current. What derives from them (fingertips, forces) is that
    of the beginning of the last physics step, 5 ms before, as the engines leave it.
    """

    joint_pos: Tensor
    """(N, A) hand joint positions (rad)."""
    joint_vel: Tensor
    """(N, A) hand joint velocities (rad/s)."""
    torque: Tensor
    """(N, A) joint torques (N m)."""
    nut_angle: Tensor
    """(N,) angle of the nut since the episode began, positive in the task's direction (rad)."""
    nut_speed: Tensor
    """(N,) its velocity (rad/s)."""
    nut_pos: Tensor
    """(N, 3) origin of the nut's frame (m)."""
    nut_quat: Tensor
    """(N, 4) orientation of the nut, (w, x, y, z)."""
    nut_velocity: Tensor
    """(N, 6) angular and linear velocity of the nut's frame (rad/s, m/s)."""
    nut_force: Tensor
    """(N, 3) net contact force on the nut (N)."""
    tip_pos: Tensor
    """(N, F, 3) fingertip positions (m), in the order of the hand's F fingers."""
    tip_quat: Tensor
    """(N, F, 4) fingertip orientations, (w, x, y, z)."""
    tip_velocity: Tensor
    """(N, F, 6) angular and linear fingertip velocities (rad/s, m/s)."""
    tip_force: Tensor
    """(N, F, 3) force of the nut on each fingertip link (N)."""


class Simulator(Protocol):
    """Steps N copies of a scene.

    An asynchronous simulator runs on a device of its own, and nothing in a control step may wait for it: the
    environment then selects rows by masks rather than by indices, and asks only in `check_capacity` how it went.
    """

    scene: Scene
    start_states: StartStates
    num_envs: int
    device: torch.device
    asynchronous: bool

    def reset(self, rows: Tensor, episode: Episode) -> State:
        """Begin new episodes and return the states in which they begin.

        Args:
            rows: which environments: sorted indices (K,), int64, or for an asynchronous simulator a mask (N,).
            episode: what was drawn for them, K rows, or N, of which those outside the mask are ignored.

        Returns:
            As many rows as `episode` has.
        """

    def step(self, targets: Tensor, push: Tensor) -> None:
        """Advance by a control step.

        Args:
            targets: (N, A) joint targets (rad).
            push: (N, 3) force on the nut's centre of mass, in the world frame (N).
        """

    def read(self) -> State:
        """Return a copy of the state of all environments."""

    def capture(self, function: Callable[..., Any], generator: torch.Generator) -> Callable[..., Any]:
        """Return a function of tensors as this engine calls it fastest: itself, or replayed from a CUDA graph.

        Args:
            function: maps tensors to tensors, in tuples and dicts, and changes others only in place.
            generator: what it draws from.
        """

    def check_capacity(self) -> None:
        """Warn if contacts or constraints were left out since the last call, naming the size to ask for."""

    def render_state(self, env: int) -> tuple[Any, Any]:
        """Return the MjModel and the MjData of one environment, ready to be drawn."""
