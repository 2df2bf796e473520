"""The contract of an exported clone: all that is needed to act with it without this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.bc.features import ARM_JOINTS, REST_STEPS, observe
from baselines.bc.policy import ClonePolicy
from baselines.policies import without_paths
from dexscrew_envs.scene import build_scene
from dexscrew_envs.start_states import joint_limits
from dexscrew_envs.tasks import make_task

FORMAT = "dexscrew-clone-contract"
VERSION = 1
OUTPUT = "targets"

_MEANING = {
    "hand_q": ("rad", "measured positions of the hand's joints"),
    "arm_q": ("rad", "measured positions of the arm's joints"),
    "held_hand": (
        "rad",
        "targets of the hand's joints that stood as it was measured: those sent last",
    ),
    "held_arm": ("rad", "targets of the arm's joints that stood, likewise"),
    "tactile": ("counts", "fingers, taxels, axes; as the sensor gives them, with their offset"),
    "resultant": ("counts", "force on each finger, three axes, as the sensor gives it"),
    "start_arm": ("rad", "arm_q of the episode's first step; no steps"),
    "resting": ("counts", "what touch reads at rest, see start; no steps"),
}
_STEP = (
    "Measure, and append what was measured to the inputs as the newest step; drop the oldest. As long as an episode is "
    "shorter than an input, its first step fills the rest.",
    "Run the network. Its output holds joint targets (rad) for this control step and those after it, hand first, then "
    "arm.",
    "Send the targets of the first `execute` steps, one each period of 1 / rate_hz, and measure in each; then run the "
    "network anew. If something on the way changes the targets, those really sent are the ones that stand.",
)


class ExportedClone(nn.Module):
    """A clone's network with the fields of a step as positional arguments, as they are measured.

    Args:
        policy: the clone.
    """

    def __init__(self, policy: ClonePolicy) -> None:
        super().__init__()
        self.network, self.design = policy.network, policy.design
        self.inputs = {name: shape for name, shape, _ in input_shapes(policy)}
        """Shapes of the inputs without the batch, by name, in order."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return joint targets (batch, H, J + 6) (rad)."""
        given = dict(zip(self.inputs, inputs, strict=True))
        found = self.network.targets(observe(self.design, given, given["start_arm"], given.get("resting")))
        if self.design.targets == "increments":
            found = found + torch.cat([given["held_hand"][:, -1], given["held_arm"][:, -1]], -1).unsqueeze(1)
        return found


def input_shapes(policy: ClonePolicy) -> list[tuple[str, tuple[int, ...], int]]:
    """Return name, shape without the batch, and number of steps (0: no axis of steps) of each input of an export."""
    design, found = policy.design, []
    for name in design.fields:
        steps = design.steps_needed("touch" if name in ("tactile", "resultant") else "hand")
        found.append((name, (steps, *policy.shapes[name]), steps))
    found.append(("start_arm", (ARM_JOINTS,), 0))
    if design.tactile:
        found.append(("resting", policy.shapes[design.rests], 0))
    return found


def contract(policy: ClonePolicy) -> dict[str, Any]:
    """Return what a caller must know, as values that JSON can hold."""
    design, interface = policy.design, policy.interface
    known = _hand_pose(policy)
    hand = "start_rad" if known else "its start pose"
    start = [
        f"Move the hand to {hand}, and bring the wrist to where the demonstrations began, with the hand around the "
        "object. Where the arm stands then is its start.",
        "Let that pose stand as targets of hand and arm.",
    ]
    if design.tactile:
        start.append(
            f"Hold the targets for the first {REST_STEPS} steps, and measure. `resting` is the median over them of "
            f"each number of `{design.rests}`."
        )
    return {
        "format": FORMAT,
        "version": VERSION,
        "task": policy.task,
        "hand": interface["hand"],
        "joints": list(interface["joints"]),
        **known,
        "arm": "six joints of a UR5e, from the base",
        "fingers": list(interface["fingers"]),
        "rate_hz": interface["rate_hz"],
        "execute": design.execute,
        "inputs": [
            {"name": name, "shape": ["batch", *shape], "steps": steps, "dtype": "float32", "unit": _MEANING[name][0],
             "meaning": _MEANING[name][1] + (f"; the last {steps} steps, oldest first" if steps else "")}
            for name, shape, steps in input_shapes(policy)
        ],
        "output": {"name": OUTPUT, "shape": ["batch", design.horizon, policy.joints + ARM_JOINTS], "dtype": "float32",
                   "unit": "rad"},
        "start": start,
        "step": list(_STEP),
        "normalisation": "inside the network: the inputs are given as they are measured",
        "safety": "the network knows no limits; whatever moves the robot must",
        "files": {
            "policy.onnx": "inputs and output by name",
            "policy.ts": "TorchScript; inputs by position, in the order of inputs",
        },
        "card": without_paths(policy.card),
    }  # fmt: skip


def _hand_pose(policy: ClonePolicy) -> dict[str, Any]:
    """Return where each joint of the hand starts, and the range of its targets (rad), if it is the task's own hand."""
    task = make_task(policy.task)
    if list(task.hand.joints) != list(policy.interface["joints"]):
        return {}
    lower, upper = joint_limits(task, build_scene(task).model)
    return {
        "start_rad": np.clip(task.start_pose, lower, upper).round(6).tolist(),
        "target_range_rad": np.stack([lower, upper], axis=1).round(6).tolist(),
    }


def probe(policy: ClonePolicy, batch: int) -> Mapping[str, Tensor]:
    """Return random inputs of an export, on which formats are compared."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, shape, _ in input_shapes(policy):
        scale = 20.0 if _MEANING[name][0] == "counts" else 1.0
        found[name] = scale * torch.randn(batch, *shape, generator=generator)
    return found
