"""Unscrew the cap of a bottle: ribbed, and anticlockwise. Ours; a task in one file, and an example of one.

The object is as thick as the training nut, so that fingertips need not find a rim of 15 mm.
"""

from __future__ import annotations

from dataclasses import replace

from dexscrew_envs.shapes import SHAPES, THICK, Shape, prism, regular_polygon
from dexscrew_envs.tasks.nut import TASK as NUT

SHAPES["cap"] = Shape(20, lambda: (prism(regular_polygon(20, 0.0205), THICK),))  # of a wide neck: 41 mm, 20 ribs

TASK = replace(
    NUT,
    name="cap",
    on_robot=False,
    shape="cap",
    shapes=("cap",),
    turn=-1,
    bolt_radius=0.016,
    joint_friction=(0.01, 0.02),
)
