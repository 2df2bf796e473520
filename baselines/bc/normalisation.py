"""The normalisation of a clone, from its training data; the network holds it.

What never moves in the data becomes zero: divided by its span of nothing it would be noise, or raw counts.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from baselines.bc.design import Design
from baselines.bc.network import CloneNetwork
from baselines.bc.windows import Samples

_MOST_ROWS = 20_000
_LEAST_ANGLE = 1e-6
"""Spans of joint angles below this are none (rad)."""
_LEAST_HALF = {
    "contact": (0.5,), "pressure": (0.5, 0.5), "statistics": (10.0, 10.0, 10.0, 50.0, 0.1, 0.1),
    "taxels": (10.0, 10.0, 10.0),
}  # fmt: skip
"""Smallest half spans of the numbers of a fingertip, and of a taxel's axes (counts). A finger that did not touch in
training has a span of noise, and must not be amplified."""


@torch.no_grad()
def fit(network: CloneNetwork, samples: Samples, design: Design, fingers: int) -> None:
    """Set the normalisation inside a network.

    Joints: the 1st to the 99th percentile of each number becomes -1 to 1. Touch: the 0.1th to the 99.9th percentile of
    each number of a fingertip, or of each axis of a fingertip's taxels together. Increments: mean and standard
    deviation, for each step of the chunk; absolute targets: minimum and maximum, as the authors do.

    Args:
        network: whose buffers are set.
        samples: to learn from.
        design: of the clone.
        fingers: number of fingertips that feel.
    """
    chosen = samples.usable[:: max(1, len(samples.usable) // _MOST_ROWS)]
    for name, values in samples.observations.items():
        rows = values[chosen].float().numpy()
        if name == "touch":
            center, half = _touch_range(rows, design, fingers)
        else:
            low, high = np.percentile(rows, [1, 99], axis=0)
            center, half = (low + high) / 2, (high - low) / 2
        factor = np.where(half > _LEAST_ANGLE, 1 / np.maximum(half, _LEAST_ANGLE), 0.0)
        getattr(network, f"{name}_center").copy_(torch.from_numpy(center))
        getattr(network, f"{name}_factor").copy_(torch.from_numpy(factor))
    _, actions, valid = samples.windows(design, chosen)
    network.action_center.copy_(_masked_mean(actions, valid))
    if design.targets == "increments":
        spread = _masked_mean((actions - network.action_center) ** 2, valid).sqrt()
    else:
        low, high = actions.amin((0, 1)), actions.amax((0, 1))
        network.action_center.copy_((low + high) / 2)
        spread = ((high - low) / 2).expand_as(network.action_center)
    network.action_scale.copy_(torch.where(spread > _LEAST_ANGLE, spread, 0.0))


def _touch_range(rows: np.ndarray, design: Design, fingers: int) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and half span of each number of touch."""
    pads = rows.reshape(len(rows), fingers, -1)
    if design.touch == "taxels":  # those of a fingertip count as so many rows
        pads = pads.reshape(len(rows), fingers, -1, 3).transpose(0, 2, 1, 3).reshape(-1, fingers, 3)
    low, high = np.percentile(pads, [0.1, 99.9], axis=0)
    center, half = (low + high) / 2, np.maximum((high - low) / 2, _LEAST_HALF[design.touch])
    repeated = rows.shape[1] // center.size
    center, half = (np.repeat(value[:, None], repeated, axis=1) for value in (center, half))
    return center.ravel(), half.ravel()


def _masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Return the mean (H, A) of values (B, H, A) over the windows that have the step (B, H)."""
    weights = valid[..., None].float()
    return (values * weights).sum(0) / weights.sum(0).clamp(min=1.0)
