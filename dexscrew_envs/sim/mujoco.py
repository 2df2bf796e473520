"""The CPU engine: MuJoCo's native batch of simulations, stepped on threads."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import torch
from mujoco.batch import MODEL_FIELDS, Batch, SimulationError
from torch import Tensor

from dexscrew_envs.scene import Scene
from dexscrew_envs.sim import episode_fields
from dexscrew_envs.sim.base import Episode, State
from dexscrew_envs.sim.readout import Readout
from dexscrew_envs.start_states import StartStates, scene_and_start_states
from dexscrew_envs.tasks import Task


class MujocoSimulator:
    """N simulations of a task's scene in one `mujoco.batch.Batch`.

    Args:
        task: the task.
        num_envs: how many simulations.
        num_threads: threads that step them; 0 takes all CPUs. It does not change results.
    """

    asynchronous = False

    def __init__(self, task: Task, num_envs: int, num_threads: int = 0) -> None:
        scene, start_states = scene_and_start_states(task)
        self._build(task, num_envs, num_threads, scene, start_states)

    def _build(self, task: Task, num_envs: int, num_threads: int, scene: Scene, start_states: StartStates) -> None:
        self.task = task
        self.num_envs = num_envs
        self._num_threads = num_threads
        self.device = torch.device("cpu")
        self.scene, self.start_states = scene, start_states
        model = self.scene.model
        self.batch = batch = Batch(model, num_envs, min(num_threads, num_envs))
        self._palm, self._base = model.body(task.hand.palm).mocapid[0], model.body("object").mocapid[0]
        self._readout = Readout(model, task.hand, self.device)
        self._start_rows = self._make_start_rows()
        self._state = {name: torch.from_numpy(batch.bind(name)) for name in ("qpos", "qvel", "ctrl", "xfrc_applied")}
        self._output = {name: self._state.get(name, _view(batch.bind(name))) for name in Readout.ARRAYS}
        self._model = {name: batch.expand(name) for name in (*self.scene.variants.geom_fields, *episode_fields.NAMES)}

    def __getstate__(self) -> dict[str, Any]:
        batch = self.batch
        expanded = {name: batch.expanded(name) for name in MODEL_FIELDS}
        return {
            "made_of": (self.task, self.num_envs, self._num_threads),
            "start_states": self.start_states,
            "state": batch.state,
            "warning": batch.warning,
            "model": {name: values for name, values in expanded.items() if values is not None},
            "output": {name: batch.bind(name) for name in Readout.ARRAYS},
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        task, num_envs, num_threads = kept["made_of"]
        scene, _ = scene_and_start_states(task)  # MuJoCo's model is compiled anew, to the same
        self._build(task, num_envs, num_threads, scene, kept["start_states"])
        for name, values in kept["model"].items():
            self.batch.expand(name)[:] = values
        self.batch.state[:], self.batch.warning[:] = kept["state"], kept["warning"]
        for name, values in kept["output"].items():
            self._output[name].copy_(torch.from_numpy(values))  # torch heeds no read-only arrays

    def _make_start_rows(self) -> np.ndarray:
        """Return the state rows (B, nstate) of the bank's start states, which a reset copies."""
        bank = self.start_states
        rows = Batch(self.scene.model, len(bank.variant), 1)
        rows.qpos[:, self._readout.hand] = rows.ctrl[:] = bank.joint_pos
        rows.mocap_pos[:, self._palm], rows.mocap_quat[:, self._palm] = bank.hand_pos, bank.hand_quat
        rows.mocap_pos[:, self._base], rows.mocap_quat[:, self._base] = bank.object_pos, bank.object_quat
        return rows.state.copy()

    def reset(self, rows: Tensor, episode: Episode) -> State:
        """See `Simulator.reset`."""
        ids, batch, nut = rows.numpy(), self.batch, self._readout.nut_body
        bank, start = self.start_states, episode.start.numpy()
        batch.state[ids] = self._start_rows[start]

        variants, variant, fields = self.scene.variants, bank.variant[start], self._model
        for name, values in variants.geom_fields.items():
            fields[name][ids[:, None], variants.geoms] = values[variant]
        fields["body_pos"][ids, nut] = variants.nut_position[variant]
        fields["body_inertia"][ids, nut] = episode.drawn["mass"].double().numpy() * variants.nut_inertia[variant]
        for entry in episode_fields.FIELDS:
            values = entry.values(self.task, episode, torch.float64).numpy()
            fields[entry.field][(ids, *entry.place(self._readout))] = values
        batch.set_const(ids)
        # set_const resets geom_rbound to the compiled model's, which hides contacts of larger variants.
        fields["geom_rbound"][ids[:, None], variants.geoms] = variants.geom_fields["geom_rbound"][variant]
        batch.forward(ids)
        return self.read(rows)

    def step(self, targets: Tensor, push: Tensor) -> None:
        """See `Simulator.step`."""
        self._state["ctrl"].copy_(targets)
        self._state["xfrc_applied"][:, self._readout.nut_body, :3] = push
        try:
            self.batch.step(nstep=self.task.substeps)
        except SimulationError as error:  # those simulations stand still; mark them as diverged
            self.batch.qpos[error.ids] = np.nan

    def read(self, ids: Tensor | None = None) -> State:
        """See `Simulator.read`; of the environments `ids` (K,) alone, if they are given."""
        arrays = self._output
        if ids is not None:
            arrays = {name: array.index_select(0, ids) for name, array in arrays.items()}
        return self._readout.state(arrays)

    def capture(self, function: Callable[..., Any], generator: torch.Generator) -> Callable[..., Any]:
        """See `Simulator.capture`; there is nothing to capture."""
        return function

    def check_capacity(self) -> None:
        """See `Simulator.check_capacity`; MuJoCo makes room as it needs it."""

    def render_state(self, env: int) -> tuple[Any, Any]:
        """See `Simulator.render_state`."""
        model, data = self.batch.get_model(env), self.batch.get_data(env)
        mujoco.mj_forward(model, data)
        return model, data


def _view(array: np.ndarray) -> Tensor:
    """View an output of the batch as a tensor, without a copy."""
    with warnings.catch_warnings():
        # Torch knows no read-only tensors and says so; nothing here writes to these.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)
