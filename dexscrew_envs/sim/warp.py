"""The GPU engine: MuJoCo Warp, thousands of simulations of the same scene in float32 on one NVIDIA GPU.

Nothing here waits for the GPU, but `check_capacity` and `render_state`. A control step is three CUDA graphs, launched
one after the other: the environment's work before the physics, which torch records (`capture`); all physics steps,
which Warp records, since the solver's loop is a conditional node that only Warp can make; and the environment's work
after them. On Warp's CPU device, which is for tests, the physics is recorded and replayed likewise.
"""

from __future__ import annotations

import copy
import gc
import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import mujoco
import mujoco_warp
import torch
import warp
from torch import Tensor

from dexscrew_envs.scene import Scene
from dexscrew_envs.sim import episode_fields
from dexscrew_envs.sim.base import Episode, State, write_rows
from dexscrew_envs.sim.cuda_graph import CudaGraph, without_garbage_collection
from dexscrew_envs.sim.mujoco import MujocoSimulator
from dexscrew_envs.sim.readout import Readout
from dexscrew_envs.start_states import StartStates, scene_and_start_states
from dexscrew_envs.tasks import Task
from dexscrew_envs.tasks.declare import drawn_sizes

warp.config.log_level = warp.LOG_ERROR  # else it lists every kernel that it loads, and warns where there is no GPU
warp.init()

MAX_CONTACTS = 32
"""Default contact capacity per environment, on average. Random actions and the shipped oracles, with and without noise,
had 6 to 11 in 256 environments."""
MAX_CONSTRAINTS = 192
"""Capacity for constraint rows in each environment at that number of contacts. The same policies needed at most 50, but
in a million steps of learning the nut one environment once needed 114."""
_FEW = 16
"""An average needs many environments; with fewer, the capacity is that of this many."""
_CONTACT_ROWS = 3
"""Rows of a contact: normal and two directions of friction."""
_BYTES, _BYTES_OF_CONTACT = 136_000, 9_000
"""GPU memory of an environment, and of each of its contacts (bytes): arrays and scratch space of solver and collider,
counted on the CPU device, a tenth more, and torch's tensors."""
_DEPENDENT_FIELDS = ("body_subtreemass", "body_invweight0", "dof_invweight0")


class WarpSimulator:
    """N simulations of a task's scene in MuJoCo Warp.

    Args:
        task: the task.
        num_envs: how many simulations.
        device: torch device: an NVIDIA GPU, or for tests the CPU.
        max_contacts: candidate contacts per environment, on average, for which there is room; None takes
            `MAX_CONTACTS`.

    Raises:
        ValueError: the GPU's memory does not hold that many simulations.
    """

    asynchronous = True

    def __init__(self, task: Task, num_envs: int, device: torch.device, max_contacts: int | None = None) -> None:
        self.task = task
        self.num_envs = num_envs
        self.device = device
        self.scene: Scene
        self.start_states: StartStates
        self.scene, self.start_states = scene_and_start_states(task)
        self.max_contacts = MAX_CONTACTS if max_contacts is None else max_contacts
        self.max_constraints = MAX_CONSTRAINTS + _CONTACT_ROWS * max(0, self.max_contacts - MAX_CONTACTS)
        if device.type == "cuda":
            _check_memory(num_envs, self.max_contacts, device)
        fields = (*self.scene.variants.geom_fields, *episode_fields.NAMES, *_DEPENDENT_FIELDS)
        model = copy.copy(self.scene.model)
        model.opt.disableflags &= ~mujoco.mjtDisableBit.mjDSBL_AUTORESET.value  # Warp has none that it could disable
        with warp.ScopedDevice(warp.device_from_torch(device)):
            self.model = mujoco_warp.put_model(model, batch_sizes=dict.fromkeys(fields, num_envs))
            self.model.opt.warn_overflow = 0  # printed from a kernel; see `check_capacity`
            room = self.max_contacts * max(num_envs, _FEW)
            self.data = mujoco_warp.make_data(model, num_envs, naconmax=room, njmax=self.max_constraints)
        self._readout = Readout(self.scene.model, task.hand, device)
        self._model = {name: warp.to_torch(getattr(self.model, name)) for name in fields}
        inputs = ("ctrl", "xfrc_applied", "qacc_warmstart", "mocap_pos", "mocap_quat")
        counters = ("nacon", "ncollision", "nefc", "overflow")
        names = (*Readout.ARRAYS, *inputs, *counters)
        self._data = {name: warp.to_torch(getattr(self.data, name)) for name in names}
        self._peak = torch.zeros(2, dtype=torch.int32, device=device)  # of candidate contacts, and of constraints
        self._make_bank()
        self._physics = self._record_physics()

    def _make_bank(self) -> None:
        """Copy the start states and the nuts' variants to the device."""
        bank, variants, model = self.start_states, self.scene.variants, self.scene.model
        tensor = partial(torch.as_tensor, dtype=torch.float32, device=self.device)
        count = len(bank.variant)
        # At rest and out of contact, nothing of an episode but its start state decides the state in which it begins.
        starts, noise = torch.arange(count), torch.zeros(count, len(self.task.hand.joints))
        drawn = {name: torch.ones(count, size) for name, size in drawn_sizes(self.task).items()}
        begun = MujocoSimulator(self.task, count).reset(starts, Episode(starts, drawn, noise, noise))
        self._bank_state = State(**{name: tensor(values) for name, values in begun.tensors().items()})
        palm, base = model.body(self.task.hand.palm).mocapid[0], model.body("object").mocapid[0]
        self._bank_mocap = {
            "mocap_pos": torch.zeros(count, model.nmocap, 3, device=self.device),
            "mocap_quat": torch.zeros(count, model.nmocap, 4, device=self.device),
        }
        for body, pos, quat in ((palm, bank.hand_pos, bank.hand_quat), (base, bank.object_pos, bank.object_quat)):
            self._bank_mocap["mocap_pos"][:, body] = tensor(pos)
            self._bank_mocap["mocap_quat"][:, body] = tensor(quat)
        self._bank_variant = torch.as_tensor(bank.variant, device=self.device)
        self._geoms = torch.as_tensor(variants.geoms, device=self.device)
        self._variant_fields = {}
        for name, values in variants.geom_fields.items():
            field = self._model[name]
            self._variant_fields[name] = torch.as_tensor(values, dtype=field.dtype, device=self.device).reshape(
                *values.shape[:2], *field.shape[2:]
            )
        self._nut_position = tensor(variants.nut_position)
        self._nut_inertia = tensor(variants.nut_inertia)
        nut = self._readout.nut_body
        self._above_nut = torch.tensor([0, int(model.body_parentid[nut]), nut], device=self.device)
        others = model.body_subtreemass[self._above_nut.cpu()] - model.body_mass[nut]
        self._mass_above_nut = tensor(others)

    def reset(self, rows: Tensor, episode: Episode) -> State:
        """See `Simulator.reset`."""
        start = episode.start
        variant = self._bank_variant[start]
        state = State(**{name: values[start] for name, values in self._bank_state.tensors().items()})
        self._reset_data(rows, start, state)
        for name, values in self._variant_fields.items():
            write_columns(self._model[name], rows, self._geoms, values[variant])
        self._reset_model(rows, episode, variant)
        return state

    def _reset_data(self, rows: Tensor, start: Tensor, state: State) -> None:
        data = self._data
        write_rows(data["qpos"], rows, 0.0)
        write_rows(data["qpos"][:, self._readout.hand], rows, state.joint_pos)
        write_rows(data["ctrl"], rows, state.joint_pos)
        for name in ("qvel", "qacc_warmstart", "xfrc_applied"):
            write_rows(data[name], rows, 0.0)
        for name, values in self._bank_mocap.items():
            write_rows(data[name], rows, values[start])

    def _reset_model(self, rows: Tensor, episode: Episode, variant: Tensor) -> None:
        model, nut, nut_joint = self._model, self._readout.nut_body, self._readout.nut
        mass, com = episode.drawn["mass"], episode.drawn["center_of_mass"]
        inertia = mass * self._nut_inertia[variant]
        write_rows(model["body_pos"][:, nut], rows, self._nut_position[variant])
        write_rows(model["body_inertia"][:, nut], rows, inertia)
        for entry in episode_fields.FIELDS:
            values = entry.values(self.task, episode, torch.float32)
            write_rows(model[entry.field][(slice(None), *entry.place(self._readout))], rows, values)
        # What `mj_setConst` derives from these. Its port would do so for all environments in every control step; for a
        # body on one hinge about its own z axis it is little.
        write_columns(model["body_subtreemass"], rows, self._above_nut, mass + self._mass_above_nut)
        lever = com[:, :2].square().sum(dim=1)
        mobility = 1 / (inertia[:, 2] + mass[:, 0] * lever)
        turning = mobility / 3
        moving = torch.where(lever * turning < mujoco.mjMINVAL, turning, lever * turning)
        write_rows(model["dof_invweight0"][:, nut_joint], rows, mobility)
        write_rows(model["body_invweight0"][:, nut], rows, torch.stack([moving, turning], dim=1))

    def step(self, targets: Tensor, push: Tensor) -> None:
        """See `Simulator.step`."""
        data = self._data
        data["ctrl"].copy_(targets)
        data["xfrc_applied"][:, self._readout.nut_body, :3] = push
        stream = warp.stream_from_torch(self.device) if self.device.type == "cuda" else None
        warp.capture_launch(self._physics, stream)

    def _record_physics(self) -> warp.Graph:
        """Record the physics steps of a control step; nothing moves."""
        device = warp.device_from_torch(self.device)
        kept = {name: self._data[name].clone() for name in ("qpos", "qvel", "qacc_warmstart")}
        warp.synchronize_device(device)
        with warp.ScopedDevice(device):
            mujoco_warp.step(self.model, self.data)  # compiles the kernels, which takes a minute the first time
            warp.synchronize_device(device)
            with without_garbage_collection(), warp.ScopedCapture(device) as capture:
                for _ in range(self.task.substeps):
                    mujoco_warp.step(self.model, self.data)
        for name, values in kept.items():
            self._data[name].copy_(values)
        self._data["overflow"].zero_()
        return capture.graph

    def read(self) -> State:
        """See `Simulator.read`."""
        data = self._data
        now = torch.stack([torch.maximum(data["nacon"], data["ncollision"])[0], data["nefc"].amax()])
        torch.maximum(self._peak, now, out=self._peak)
        return self._readout.state(data)

    def capture(self, function: Callable[..., Any], generator: torch.Generator) -> Callable[..., Any]:
        """See `Simulator.capture`."""
        return CudaGraph(function, generator) if self.device.type == "cuda" else function

    def check_capacity(self) -> None:
        """See `Simulator.check_capacity`."""
        overflow = self._data["overflow"]
        kinds = mujoco_warp.OverflowType
        lost = kinds.NEFC | kinds.BROADPHASE | kinds.NARROWPHASE | kinds.CCD | kinds.CONTACT_MATCH
        count = int((overflow & int(lost)).ne(0).sum())
        overflow.zero_()
        if count:
            warnings.warn(
                f"contacts were left out in {count} of {self.num_envs} environments; give the environment "
                f"max_contacts={self._wanted_contacts()} (it has {self.max_contacts})",
                RuntimeWarning,
                stacklevel=2,
            )

    def _wanted_contacts(self) -> int:
        """Return how many contacts per environment would have been enough, with a margin of half as many."""
        candidates, constraints = self._peak.tolist()
        average = 1.5 * candidates / max(self.num_envs, _FEW)
        worst = MAX_CONTACTS + (1.5 * constraints - MAX_CONSTRAINTS) / _CONTACT_ROWS
        return math.ceil(max(average, worst, 1.5 * self.max_contacts))

    def render_state(self, env: int) -> tuple[Any, Any]:
        """See `Simulator.render_state`."""
        model = copy.copy(self.scene.model)
        for name, values in self._model.items():
            field = getattr(model, name)
            field[:] = values[env].cpu().numpy().reshape(field.shape)
        data = mujoco.MjData(model)
        for name in ("qpos", "qvel", "ctrl", "mocap_pos", "mocap_quat"):
            getattr(data, name)[:] = self._data[name][env].cpu().numpy()
        mujoco.mj_forward(model, data)
        return model, data


def check_device(name: str) -> torch.device:
    """Return the device of this name, if this engine can run on it.

    Raises:
        ValueError: the name is not a device's, there is no such GPU, or its driver is too old.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; choose cuda, cuda:0, ..., or cpu") from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ValueError(f"the warp engine runs on device 'cuda' (or, for tests, 'cpu'), not on {name!r}")
    if not torch.cuda.is_available():
        reason = "this PyTorch was built without CUDA" if torch.version.cuda is None else "PyTorch finds none"
        raise ValueError(
            f"device {name!r} needs an NVIDIA GPU, and {reason} (torch {torch.__version__}); "
            "engine='mujoco' runs on CPUs"
        )
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise ValueError(f"there is no device {name!r}; this machine has {torch.cuda.device_count()} GPUs")
    # Warp finds no GPU where the driver is older than the CUDA that it was built with, up to the minor version.
    if not (warp.is_cuda_available() and warp.is_conditional_graph_supported()):
        needed = max((12, 4), ((warp.get_cuda_toolkit_version() or (12, 4))[0], 0))
        found = ".".join(map(str, warp.get_cuda_driver_version() or ("none",)))
        raise ValueError(
            f"Warp {warp.__version__} needs an NVIDIA driver for CUDA {needed[0]}.{needed[1]} or newer, found "
            f"one for {found}; update the driver, or install a build of Warp for its CUDA"
        )
    return torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)


def bytes_per_env(max_contacts: int) -> int:
    """Return the memory of one environment (bytes): arrays, and what the solver and torch's graphs need besides."""
    return _BYTES + max_contacts * _BYTES_OF_CONTACT


def _check_memory(num_envs: int, max_contacts: int, device: torch.device) -> None:
    """Raise ValueError unless the GPU has room for that many environments."""
    gc.collect()  # environments that are gone, and the memory that torch keeps of them
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    wanted = bytes_per_env(max_contacts) * num_envs
    if wanted > free:
        raise ValueError(
            f"{num_envs} environments need about {wanted / 2**30:.1f} GiB, and {device} has {free / 2**30:.1f} GiB "
            f"free; at most {free // bytes_per_env(max_contacts)} fit"
        )


def write_columns(tensor: Tensor, rows: Tensor, columns: Tensor, values: Tensor) -> None:
    """Overwrite the columns (C,) of a tensor (N, M, ...) in the rows of a mask (N,) with values (N, C, ...)."""
    merged = tensor.index_select(1, columns)
    write_rows(merged, rows, values)
    tensor.index_copy_(1, columns, merged)
