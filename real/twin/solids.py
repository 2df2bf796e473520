"""Solid parts of the scene, and who touches whom.

What the hand grips is soft to it, as its elastomer is. Bolt, base and table are touched by the hand and by what moves
freely, but not by the nut on the bolt: the thread holds it, and contacts on top would be one constraint too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

_FINGER = 1
_FIXED = 2
MOVING = {"contype": _FINGER | _FIXED, "conaffinity": _FIXED}
"""For what moves freely: palm and screwdriver."""
THREADED = {"contype": _FINGER, "conaffinity": 0}
"""For what only fingers touch: the nut."""
FIXED = {"contype": _FINGER, "conaffinity": _FIXED}
"""For what stands still: bolt, base, table."""
VISUAL = {"contype": 0, "conaffinity": 0}


def grip(friction: float, torsion: float) -> dict[str, Any]:
    """Return geom attributes of a surface under the hand's elastomer.

    Args:
        friction: coefficient of friction.
        torsion: torsional friction: torque about the normal that a contact holds, per newton (m).
    """
    return {
        "friction": [friction, torsion, 1e-4],
        "condim": 4,
        "priority": 1,
        # A fingertip pressed with 3 N yields by 0.7 mm, as 2 to 3 mm of silicone does.
        "solref": [0.008, 1.0],
        "solimp": [0.8, 0.95, 0.001, 0.5, 2.0],
    }


def add_convex_parts(
    spec: mujoco.MjSpec, body: Any, name: str, parts: Sequence[NDArray[np.float64]], **attributes: Any
) -> None:
    """Add convex parts to a body, without mass.

    Args:
        spec: the body's.
        body: what to add to; its geoms are called `<name>_<part>`.
        name: of the whole.
        parts: vertices (V, 3) of each part, in the body's frame (m).
        attributes: of the geoms.
    """
    for index, vertices in enumerate(parts):
        part = f"{name}_{index}"
        spec.add_mesh(name=part, uservert=vertices.ravel())
        body.add_geom(name=part, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=part, mass=0, **attributes)
