"""From the fields of control steps to what the network sees, the same in training, on the robot, and when exported.

There are up to three modalities, `hand`, `arm` and `touch`, each a tensor (..., steps, numbers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.bc.design import Design

ARM_JOINTS = 6
"""Of a UR5e."""
REST_STEPS = 8
"""First steps of an episode, in which a clone that feels holds still to learn what the taxels read at rest. Operators
need longer than that to begin."""
STATISTICS = 6
"""Numbers of a fingertip: its resultant force along three axes, and how much its taxels feel, where, and how far along
they are spread."""
_THRESHOLD = 8.0
"""Normal counts of a taxel that are not yet contact: noise, and what the taxels' offset drifts in minutes."""
_LIGHT, _FIRM = 5.0, 20.0
"""Counts of the force on a fingertip above rest that are not yet contact, and that tell a firm one from a light one
(half a newton and two)."""
_HARD = 50.0
"""Counts above which a fingertip is pressed hard, and by how much more the number of it grows by one (five newtons)."""
_FAINT = 30.0
"""Normal counts of a fingertip below which its place of contact fades to zero, since it would be that of noise."""


def rest(frames: NDArray[Any]) -> Tensor:
    """Return what a sensor reads at rest (...) (counts), given the frames of an episode's first steps.

    It is the median, since the first frame after a start may be empty.

    Args:
        frames: (steps, ...) counts; of more than `REST_STEPS` the first count.
    """
    return torch.from_numpy(np.median(frames[:REST_STEPS], axis=0).astype(np.float32))


def touch_statistics(counts: Tensor, resultant: Tensor) -> Tensor:
    """Return what a few numbers say of each fingertip.

    Args:
        counts: (..., F, T, 3) of the taxels without those at rest.
        resultant: (..., F, 3) counts of the force on each fingertip, which also feels contact beside the taxels.

    Returns:
        (..., F, `STATISTICS`): the resultant (counts), the sum of the taxels' normal force (counts), and its centre,
        from -1 to 1, and standard deviation along the index of the taxels.
    """
    taxels = counts.shape[-2]
    index = torch.linspace(-1.0, 1.0, taxels) if taxels > 1 else torch.zeros(1)
    pressed = (counts[..., 2] - _THRESHOLD).clamp(min=0.0)
    total = pressed.sum(-1)
    centre = pressed @ index / (total + _FAINT)
    square = pressed @ index**2 / (total + _FAINT)
    spread = (square - centre**2).clamp(min=0.0).sqrt()
    return torch.cat([resultant, torch.stack([total, centre, spread], -1)], -1)


def contact(force: Tensor) -> Tensor:
    """Return how firmly each fingertip touches (..., F), from 0 to 1.

    Args:
        force: (..., F, 3) counts of the force on each fingertip above rest, which also feels contact beside the taxels.
    """
    return ((force.norm(dim=-1) - _LIGHT).clamp(min=0.0) / _FIRM).tanh()


def pressure(force: Tensor) -> Tensor:
    """Return two numbers of each fingertip (..., F, 2): how firmly it touches, and how hard it is pressed, from 0 on.

    Args:
        force: (..., F, 3) counts as of `contact`, whose number hardly grows any more where this second one begins.
    """
    return torch.stack([contact(force), (force.norm(dim=-1) / _HARD - 1.0).clamp(min=0.0)], -1)


def observe(design: Design, steps: Mapping[str, Tensor], start: Tensor, resting: Tensor | None) -> dict[str, Tensor]:
    """Return the modalities (..., steps, numbers) of some steps of an episode.

    Args:
        design: says what the clone sees.
        steps: its fields, each (..., steps, ...), float32.
        start: (..., 6) arm joints where the episode began (rad).
        resting: counts at rest of the field `design.rests`, without its steps; None where the clone does not feel.
    """
    hand, arm = steps["hand_q"], steps["arm_q"]
    origin = start.unsqueeze(-2) if design.targets == "increments" else 0.0
    if design.held:  # the errors are what a soft controller tells of contact, and small beside the positions
        held_hand, held_arm = steps["held_hand"], steps["held_arm"]
        found = {
            "hand": torch.cat([held_hand, hand - held_hand], -1),
            "arm": torch.cat([held_arm - origin, arm - held_arm], -1),
        }
    else:
        found = {"hand": hand, "arm": arm - origin}
    if design.tactile:
        assert resting is not None
        counts = steps[design.rests] - resting.unsqueeze(-4 if design.rests == "tactile" else -3)
        if design.touch == "contact":
            found["touch"] = contact(counts)
        elif design.touch == "pressure":
            found["touch"] = pressure(counts).flatten(-2)
        elif design.touch == "statistics":
            found["touch"] = touch_statistics(counts, steps["resultant"]).flatten(-2)
        else:
            found["touch"] = counts.flatten(-3)
    return found


def as_tensors(design: Design, steps: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return the fields that a clone of the design sees, as `observe` takes them."""
    return {name: torch.from_numpy(np.array(steps[name], np.float32)) for name in design.fields}


def sizes(design: Design, joints: int, pads: tuple[int, int]) -> dict[str, int]:
    """Return how many numbers a step of each modality has.

    Args:
        design: says what the clone sees.
        joints: of the hand.
        pads: fingertips, and taxels of each.
    """
    both = 2 if design.held else 1
    found = {"hand": both * joints, "arm": both * ARM_JOINTS}
    if design.tactile:
        fingers, taxels = pads
        found["touch"] = (
            fingers * {"contact": 1, "pressure": 2, "statistics": STATISTICS, "taxels": 3 * taxels}[design.touch]
        )
    return found
