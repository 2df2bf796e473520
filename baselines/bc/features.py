"""From the fields of control steps to what the network sees, the same in training and on the robot.

There are up to three modalities, `hand`, `arm` and `touch`, each an array (steps, numbers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.bc.design import Design

Array = NDArray[np.float32]
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
_FAINT = 30.0
"""Normal counts of a fingertip below which its place of contact fades to zero, since it would be that of noise."""


def rest(tactile: NDArray[Any]) -> Array:
    """Return what the taxels read at rest (F, T, 3) (counts), given the frames of an episode's first steps.

    It is the median, since the first frame after a start may be empty.

    Args:
        tactile: (steps, F, T, 3) counts; of more than `REST_STEPS` the first count.
    """
    return np.median(tactile[:REST_STEPS], axis=0).astype(np.float32)


def touch_statistics(counts: Array, resultant: NDArray[Any]) -> Array:
    """Return what a few numbers say of each fingertip.

    Args:
        counts: (steps, F, T, 3) of the taxels without those at rest.
        resultant: (steps, F, 3) counts of the force on each fingertip, which also feels contact beside the taxels.

    Returns:
        (steps, F, `STATISTICS`): the resultant (counts), the sum of the taxels' normal force (counts), and its centre,
        from -1 to 1, and standard deviation along the index of the taxels.
    """
    taxels = counts.shape[2]
    index = np.linspace(-1.0, 1.0, taxels, dtype=np.float32) if taxels > 1 else np.zeros(1, np.float32)
    pressed = np.maximum(counts[..., 2] - _THRESHOLD, 0.0)
    total = pressed.sum(-1)
    centre = pressed @ index / (total + _FAINT)
    square = pressed @ index**2 / (total + _FAINT)
    spread = np.sqrt(np.maximum(square - centre**2, 0.0))
    return np.concatenate([resultant, np.stack([total, centre, spread], -1)], -1).astype(np.float32)


def observe(design: Design, steps: Mapping[str, NDArray[Any]], start: Array, resting: Array | None) -> dict[str, Array]:
    """Return the modalities (steps, numbers) of some steps of an episode.

    Args:
        design: says what the clone sees.
        steps: its fields, each (steps, ...).
        start: (6,) arm joints where the episode began (rad).
        resting: (F, T, 3) counts of the taxels at rest; None where the clone does not feel.
    """
    hand, arm = steps["hand_q"], steps["arm_q"]
    origin = start if design.targets == "increments" else np.zeros_like(start)
    if design.held:  # the errors are what a soft controller tells of contact, and small beside the positions
        held_hand, held_arm = steps["held_hand"], steps["held_arm"]
        found = {
            "hand": np.concatenate([held_hand, hand - held_hand], -1),
            "arm": np.concatenate([held_arm - origin, arm - held_arm], -1),
        }
    else:
        found = {"hand": hand, "arm": arm - origin}
    if design.tactile:
        assert resting is not None
        counts = steps["tactile"].astype(np.float32) - resting
        touch = touch_statistics(counts, steps["resultant"]) if design.touch == "statistics" else counts
        found["touch"] = touch.reshape(len(touch), -1)
    return {name: np.ascontiguousarray(value, np.float32) for name, value in found.items()}


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
        found["touch"] = fingers * (STATISTICS if design.touch == "statistics" else 3 * taxels)
    return found
