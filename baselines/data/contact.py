"""Which fingertips touch the object, from the forces on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.data.reader import Episode

CONTACT_NEWTONS = 1.0
"""Force above rest from which on a fingertip touches (N)."""
CONTACT_COUNTS = 10.0
"""The same in counts, where the force of a count is not known; users of the hand publish this threshold."""
_REST_SHARE = 2.0  # percent of an episode in which each finger surely touches nothing: every gait lifts it more often


def fingertip_forces(episode: Episode) -> NDArray[np.float64]:
    """Return the force on each fingertip above its rest (steps, fingers), in N or, without a scale, in counts.

    From the resultants: what 120 taxels read adds up to little but their offsets, which drift.
    """
    scale = episode.header.tactile_scale or 1.0
    return above_rest(scale * np.linalg.norm(episode["resultant"].astype(float), axis=2))


def above_rest(forces: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return forces (steps, fingers) of a whole episode less what each finger reads at its lowest.

    A sensor at rest reads up to 1.5 N, which differs from finger to finger.
    """
    return np.asarray(forces - np.percentile(forces, _REST_SHARE, axis=0) if len(forces) else forces, np.float64)


def touching(forces: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which fingertips touch something.

    Args:
        forces: (steps, fingers) norms of the forces on fingertips over a whole episode (N).
    """
    return above_rest(forces) >= CONTACT_NEWTONS
