"""Turn the handle of a screwdriver: prisms of 8 and 12 sides, which turn by friction."""

from __future__ import annotations

from dexscrew_envs.hands import XHAND_LEFT
from dexscrew_envs.tasks.task import OBJECT_SLICES, Task

TASK = Task(
    name="screwdriver",
    on_robot=True,
    shape=("octagon", "dodecagon"),
    shapes=("octagon", "dodecagon", "spheres"),
    bolt_radius=0.00625,
    bolt_height=0.02,
    joint_height=0.01,
    joint_friction=(0.01, 0.02),
    object_position=(0.009, 0.06, 0.0),
    object_tilt=5.0,
    scales=(0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25),
    rotate_weight=2.5,
    pose_weight=-0.1,
    torque_weight=-3.0,
    overspeed_threshold=(7.5, 15.0),
    reset_distance=0.1,
    student_reset_distance=0.15,
    idle_window=60,
    privileged=OBJECT_SLICES,
    **XHAND_LEFT.tasks["screwdriver"],
)
