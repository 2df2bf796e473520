"""The CPU engine: MuJoCo's native batch of simulations, stepped on threads."""

from __future__ import annotations

import warnings
from typing import Any

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch, SimulationError
from torch import Tensor

from dexscrew_envs.scene import CONTACT_SENSOR, NUT_JOINT, check_joint_order
from dexscrew_envs.sim.base import Episode, State
from dexscrew_envs.start_states import scene_and_start_states
from dexscrew_envs.tasks import FINGERS, JOINTS, Task

_HAND = slice(0, len(JOINTS))


class MujocoSimulator:
    """N simulations of a task's scene in one `mujoco.batch.Batch`.

    Args:
        task: the task.
        num_envs: how many simulations.
        num_threads: threads that step them; 0 takes all CPUs. It does not change results.
    """

    def __init__(self, task: Task, num_envs: int, num_threads: int = 0) -> None:
        self.task = task
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.scene, self.start_states = scene_and_start_states(task)
        model = self.scene.model
        check_joint_order(model)
        self.batch = batch = Batch(model, num_envs, min(num_threads, num_envs))
        self._palm, self._base = model.body("palm").mocapid[0], model.body("object").mocapid[0]
        self._nut_body = model.body("nut").id
        self._nut = model.joint(NUT_JOINT).qposadr[0]
        self._root = model.body("palm").id
        self._object_root = model.body_rootid[self._nut_body]
        self._tip_sites = torch.tensor([model.site(f"{finger}_tip").id for finger in FINGERS])
        self._tip_bodies = torch.tensor(model.site_bodyid[self._tip_sites])
        self._force = model.sensor(CONTACT_SENSOR).adr[0]
        self._tip_force = model.sensor(f"{FINGERS[0]}_force").adr[0]
        self._start_rows = self._make_start_rows()
        self._state = {name: torch.from_numpy(batch.bind(name)) for name in ("qpos", "qvel", "ctrl", "xfrc_applied")}
        outputs = ("xpos", "xquat", "cvel", "subtree_com", "site_xpos", "site_xquat", "actuator_force", "sensordata")
        self._output = {name: _view(batch.bind(name)) for name in outputs}
        fields = [*self.scene.variants.geom_fields, "geom_friction", "geom_solref", "body_pos", "body_mass"]
        fields += ["body_ipos", "body_inertia", "dof_frictionloss", "actuator_gainprm", "actuator_biasprm"]
        self._model = {name: batch.expand(name) for name in fields}

    def _make_start_rows(self) -> np.ndarray:
        """Return the state rows (B, nstate) of the bank's start states, which a reset copies."""
        bank = self.start_states
        rows = Batch(self.scene.model, len(bank.variant), 1)
        rows.qpos[:, _HAND] = rows.ctrl[:] = bank.joint_pos
        rows.mocap_pos[:, self._palm], rows.mocap_quat[:, self._palm] = bank.hand_pos, bank.hand_quat
        rows.mocap_pos[:, self._base], rows.mocap_quat[:, self._base] = bank.object_pos, bank.object_quat
        return rows.state.copy()

    def reset(self, ids: Tensor, episode: Episode) -> None:
        """See `Simulator.reset`."""
        rows, batch = ids.numpy(), self.batch
        bank, start = self.start_states, episode.start.numpy()
        batch.state[rows] = self._start_rows[start]

        variants, variant, fields = self.scene.variants, bank.variant[start], self._model
        for name, values in variants.geom_fields.items():
            fields[name][rows[:, None], variants.geoms] = values[variant]
        nut, mass = self._nut_body, episode.mass.double().numpy()
        fields["body_pos"][rows, nut] = variants.nut_position[variant]
        fields["body_mass"][rows, nut] = mass[:, 0]
        fields["body_ipos"][rows, nut] = episode.center_of_mass.numpy()
        fields["body_inertia"][rows, nut] = mass * variants.nut_inertia[variant]
        fields["dof_frictionloss"][rows, self._nut] = episode.joint_friction[:, 0].numpy()
        fields["geom_friction"][rows, :, 0] = episode.friction.numpy()
        fields["geom_solref"][rows, :, 1] = self._damping_ratio(episode.restitution.double().numpy())
        fields["actuator_gainprm"][rows, :, 0] = episode.kp.numpy()
        fields["actuator_biasprm"][rows, :, 1] = -episode.kp.numpy()
        fields["actuator_biasprm"][rows, :, 2] = -episode.kd.numpy()
        batch.set_const(rows)
        batch.forward(rows)

    def _damping_ratio(self, restitution: np.ndarray) -> np.ndarray:
        """Damping ratio of a linear contact with this coefficient of restitution."""
        log = np.log(restitution.clip(1e-6, 1 - 1e-6))
        ratio = -log / np.sqrt(np.pi**2 + log**2)
        return np.maximum(ratio, self.task.min_contact_damping_ratio)

    def step(self, targets: Tensor, push: Tensor) -> None:
        """See `Simulator.step`."""
        self._state["ctrl"].copy_(targets)
        self._state["xfrc_applied"][:, self._nut_body, :3] = push
        try:
            self.batch.step(nstep=self.task.substeps)
        except SimulationError as error:  # those simulations stand still; mark them as diverged
            self.batch.qpos[error.ids] = np.nan

    def read(self, ids: Tensor | None = None) -> State:
        """See `Simulator.read`."""

        def rows(tensor: Tensor) -> Tensor:
            return tensor if ids is None else tensor.index_select(0, ids)

        qpos, qvel = rows(self._state["qpos"]), rows(self._state["qvel"])
        out = {name: rows(tensor) for name, tensor in self._output.items()}
        tips, tip_bodies, nut = self._tip_sites, self._tip_bodies, self._nut_body
        tip_pos, nut_pos = out["site_xpos"].index_select(1, tips), out["xpos"][:, nut]
        com = out["subtree_com"]
        object_root = self._object_root
        sensors = -out["sensordata"]  # MuJoCo's contact sensor gives the force of its first body on the second
        tip_velocity = _velocity_at(tip_pos, out["cvel"].index_select(1, tip_bodies), com[:, None, self._root])
        nut_velocity = _velocity_at(nut_pos, out["cvel"][:, nut], com[:, object_root])
        tip_force = sensors[:, self._tip_force : self._tip_force + 15].reshape(-1, 5, 3)
        return State(
            joint_pos=qpos[:, _HAND].float(),
            joint_vel=qvel[:, _HAND].float(),
            torque=out["actuator_force"].float(),
            nut_angle=qpos[:, self._nut].float(),
            nut_speed=qvel[:, self._nut].float(),
            nut_pos=nut_pos.float(),
            nut_quat=out["xquat"][:, nut].float(),
            nut_velocity=nut_velocity.float(),
            nut_force=sensors[:, self._force : self._force + 3].float(),
            tip_pos=tip_pos.float(),
            tip_quat=out["site_xquat"].index_select(1, tips).float(),
            tip_velocity=tip_velocity.float(),
            tip_force=tip_force.float(),
        )

    def render_state(self, env: int) -> tuple[Any, Any]:
        """See `Simulator.render_state`."""
        model, data = self.batch.get_model(env), self.batch.get_data(env)
        mujoco.mj_forward(model, data)
        return model, data


def _velocity_at(point: Tensor, cvel: Tensor, com: Tensor) -> Tensor:
    """Shift MuJoCo's com-based spatial velocities (..., 6) to points (..., 3) of the same bodies."""
    angular, linear = cvel[..., :3], cvel[..., 3:]
    return torch.cat([angular, linear + torch.linalg.cross(angular, point - com)], dim=-1)


def _view(array: np.ndarray) -> Tensor:
    """View an output of the batch as a tensor, without a copy."""
    with warnings.catch_warnings():
        # Torch knows no read-only tensors and says so; nothing here writes to these.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)
