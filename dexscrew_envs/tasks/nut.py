"""Turn a nut: a thick triangular prism, which teaches gaits that clear the corners of thinner nuts."""

from __future__ import annotations

from dexscrew_envs.hands import XHAND_LEFT
from dexscrew_envs.tasks.task import CONTROLLER_SLICES, OBJECT_SLICES, Task

TASK = Task(
    name="nut",
    on_robot=True,
    shape="triangle",
    shapes=("triangle", "square", "hexagon", "cross"),
    bolt_radius=0.0125,
    bolt_height=0.1,
    joint_height=0.1,
    joint_friction=(0.01, 0.03),
    object_position=(0.0175, 0.06, 0.0),
    scales=(0.95, 1.0, 1.05),
    rotate_weight=6.0,
    pose_weight=-0.5,
    torque_weight=-0.1,
    overspeed_threshold=(10.0, 10.0),
    reset_distance=0.07,
    student_reset_distance=0.12,
    idle_window=70,
    privileged=OBJECT_SLICES + CONTROLLER_SLICES,
    **XHAND_LEFT.tasks["nut"],
)
