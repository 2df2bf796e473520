"""A task: every number of one simplified simulation, with its source or the reason for another.

A task is a frozen dataclass; `dataclasses.replace(NUT, reset_distance=0.12)` makes a variant of it, and every field is
also a keyword of `gymnasium.make`. `docs/tasks.md` is generated from here. Numbers are those of the paper "Learning
Dexterous Manipulation Skills from Imperfect Simulations" and of its authors' release; a docstring that begins with
"Ours:" marks a number that differs from theirs, and says why.
Units are metres, radians, seconds, newtons and kilograms; the world frame has z up, with the object's base at z = 0.
All tasks call the turning part (nut, screwdriver handle, cap) the nut, and what it turns on the bolt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from dexscrew_envs.hands import XHAND_LEFT, Hand
from dexscrew_envs.tasks.checks import check_task

Range = tuple[float, float]
Vector3 = tuple[float, float, float]

JointRange = tuple[str, float, float]
"""A joint, and the lower and upper limit of its target (rad)."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One simplified fastening task."""

    name: str
    """Name of the task, as in `--task`."""
    on_robot: bool = False
    """Whether the robot's environment has the task, too, and its twin the object."""
    hand: Hand = XHAND_LEFT
    """The hand. Numbers below that depend on it, such as the start pose, come from its record; see `hands/`."""

    # -- time ---------------------------------------------------------------------------------------------------------
    timestep: float = 0.005
    """Physics step (s): 200 Hz."""
    substeps: int = 10
    """Physics steps in a control step: control runs at 20 Hz."""
    episode_steps: int = 800
    """Time limit of an episode in control steps (40 s); it truncates, it does not terminate."""

    # -- object -------------------------------------------------------------------------------------------------------
    shape: str | tuple[str, ...]
    """Shape of the nut, or several of which each episode samples one."""
    shapes: tuple[str, ...]
    """All shapes that the task knows."""
    bolt_radius: float
    """Radius of the bolt or shaft under the nut (m)."""
    bolt_height: float
    """Height of the bolt or shaft above the base (m)."""
    joint_height: float
    """Height of the nut's frame, which is the frame of its revolute joint (m); the joint's axis is (0, 0, -turn)."""
    turn: int = 1
    """Direction that counts as positive: 1 is clockwise seen from above, as a nut is fastened; -1 is the other."""
    joint_turns: float = 100.0
    """Range of the nut's joint in turns; an episode starts at 0."""
    joint_friction: Range
    """Ours: dry friction of the nut's joint (N m). The release's 0.2 is a PhysX coefficient, not a torque; this range
    lets the nut stop when the fingers let go, and turn under a fingertip's force, which has less leverage on the
    thinner handle."""
    joint_damping: float = 5e-4
    """Ours: viscous friction of the nut's joint (N m s/rad). The release limits the joint's speed to 6.28 rad/s
    instead; MuJoCo's joints have no such limit."""
    object_position: Vector3
    """Position of the object's base before noise (m)."""
    object_position_noise: Vector3 = (0.0075, 0.0075, 0.0)
    """Width of the uniform noise U(0, width) added to it (m)."""
    object_tilt: float = 0.0
    """Largest tilt of the object from the vertical, in a random direction (degrees)."""
    scales: tuple[float, ...]
    """Nominal scales of the whole object, of which each episode samples one."""
    scale_noise: float = 0.025
    """Half width of the uniform noise on the scale. Ours: quantised to five values, since a mesh cannot be scaled
    while the simulation runs."""

    # -- hand ---------------------------------------------------------------------------------------------------------
    hand_position: Vector3 = (0.0, 0.0, 0.21)
    """Position of the hand's base before noise (m)."""
    hand_position_noise: float = 0.001
    """Width of the uniform noise U(0, width) on each coordinate (m)."""
    hand_pitch: Range = (60.0, 70.0)
    """Rotation of the hand about the world's x axis (degrees): 90 - U(20, 30)."""
    hand_roll: Range = (-5.0, 5.0)
    """Rotation of the hand about the world's y axis, applied after the pitch (degrees)."""
    start_pose: tuple[float, ...]
    """Joint positions at the start of an episode, before noise (rad). Ours: these push the fingertips into the object,
    so the fingers that touch are opened in small steps until none does; see `start_states.py`."""
    start_pose_noise: float = 0.05
    """Half width of the uniform noise on the start pose, as a share of each joint's range."""
    action_scale: float
    """Change of a joint's target for an action of 1 (rad)."""
    locked_joints: tuple[int, ...] = ()
    """Indices of the joints whose actions are ignored."""
    target_ranges: tuple[JointRange, ...] = ()
    """Limits of joint targets that are narrower than the joint's own: joint, low, high (rad)."""
    kp: Range = (2.7, 3.3)
    """Proportional gain of the joint controller, sampled per joint (N m/rad)."""
    kd: Range = (0.009, 0.011)
    """Derivative gain of the joint controller, sampled per joint (N m s/rad)."""

    # -- randomisation ------------------------------------------------------------------------------------------------
    mass: Range = (0.04, 0.06)
    """Mass of the nut (kg)."""
    center_of_mass: Range = (-0.001, 0.001)
    """Offset of the nut's centre of mass from its frame along each axis (m)."""
    friction: Range = (0.5, 8.0)
    """Coefficient of friction, one for all shapes of an environment."""
    restitution: Range = (0.0, 1.0)
    """Ours: coefficient of restitution e, which MuJoCo lacks. It enters as the damping ratio of the contacts,
    -ln e / sqrt(pi^2 + ln^2 e), with `min_contact_damping_ratio` as its lower bound, since PhysX applies restitution
    only to impacts and MuJoCo would apply it to every contact."""
    min_contact_damping_ratio: float = 0.8
    """Ours: see `restitution`. At 0.5 the target noise of a still hand shakes the nut; at 0.8 it does not."""
    observation_noise: tuple[float, float] = (0.01, 0.005)
    """Standard deviations of the noise on observed joint positions: drawn per episode, and per step (rad)."""
    action_noise: tuple[float, float] = (0.01, 0.005)
    """The same for the noise on joint targets (rad)."""
    push_probability: float = 0.25
    """Probability of each push of the nut. Ours: two pushes are drawn per control step, as in the release, but both act
    from its beginning rather than from a random physics step."""
    push_force: float = 2.0
    """Standard deviation of a push along each axis, per mass of the nut (N/kg)."""
    push_decay: float = 0.9
    """Factor by which a push decays in each `push_decay_interval`."""
    push_decay_interval: float = 0.08
    """See `push_decay` (s)."""

    # -- reward: weights and parameters of the terms in `mdp/rewards.py` ----------------------------------------------
    rotate_weight: float
    """Weight of the nut's speed."""
    rotate_clip: float = 4.0
    """The nut's speed is rewarded between minus and plus this (rad/s)."""
    proximity_weight: float = 2.0
    """Weight of the closeness of thumb and index fingertips to the nut's frame."""
    pose_weight: float
    """Weight of the squared distance from the start pose, thumb left out."""
    torque_weight: float
    """Weight of the squared joint torques."""
    work_weight: float = -0.01
    """Weight of the squared mechanical power."""
    overspeed_weight: float = -0.3
    """Weight of the part of the nut's speed above a threshold."""
    overspeed_threshold: Range
    """That threshold before and after its curriculum (rad/s)."""
    overspeed_curriculum: tuple[float, float] = (30e6, 60e6)
    """Control steps, all environments together, between which the threshold moves, in stages of 5 %."""
    height_weight: float = -1.0
    """Weight of the vertical extent of the object's point cloud."""
    height_threshold: float = 0.03
    """Extents below this cost nothing (m)."""

    # -- termination --------------------------------------------------------------------------------------------------
    reset_distance: float
    """An episode ends when the thumb's or the index finger's tip is further than this from the nut's frame (m); also
    the scale of the proximity reward."""
    idle_window: int
    """Length of the window over which stagnation and lost contact are judged (control steps)."""
    stagnation_variance: float = 0.003
    """An episode ends when the nut's angle varies less than this over the window (rad^2)."""
    contact_threshold: float = 1e-3
    """An episode ends when the net contact force on the nut stays at or below this over the window (N)."""
    joint_end_margin: float = 5.0
    """An episode ends when the nut is this close to the end of its joint (rad)."""

    # -- distillation -------------------------------------------------------------------------------------------------
    student_noise: tuple[float, float] = (0.02, 0.01)
    """Noise on observed joint positions and on targets while a student is distilled and scored; as
    `observation_noise`."""
    student_reset_distance: float
    """Reset distance while a student is distilled and scored (m)."""

    # -- observation --------------------------------------------------------------------------------------------------
    privileged: tuple[str, ...]
    """Slices of the privileged observation, in order; see `mdp/observations.py`."""
    proprio_delay: int = 0
    """Age of the newest pair in `proprio` (control steps). Ours: 0, so that `proprio` is the end of `history`; in the
    release the actor's newest pair is one step old, while the student's history is current."""

    def __post_init__(self) -> None:
        check_task(self)

    @property
    def sampled_shapes(self) -> tuple[str, ...]:
        """The shapes that episodes sample from."""
        return (self.shape,) if isinstance(self.shape, str) else tuple(self.shape)

    @property
    def student_fields(self) -> dict[str, Any]:
        """The fields that change while a student is distilled and scored, and their values."""
        noise = self.student_noise
        return {
            "observation_noise": noise, "action_noise": noise, "reset_distance": self.student_reset_distance
        }  # fmt: skip

    def values(self) -> dict[str, Any]:
        """Return all fields by name, as JSON can hold them: the hand by its name."""
        return {item.name: getattr(self, item.name) for item in fields(self)} | {"hand": self.hand.name}

    @property
    def control_dt(self) -> float:
        """Duration of a control step (s)."""
        return self.timestep * self.substeps

    def without_randomization(self) -> Task:
        """The same task with every range collapsed to its centre, and no noise and no pushes."""

        def centre(bounds: Range) -> Range:
            return ((bounds[0] + bounds[1]) / 2,) * 2

        names = ("joint_friction", "hand_pitch", "hand_roll", "kp", "kd", "mass", "center_of_mass", "friction")
        ranges: dict[str, Any] = {name: centre(getattr(self, name)) for name in names}
        x, y, z = (p + n / 2 for p, n in zip(self.object_position, self.object_position_noise, strict=True))
        return replace(
            self,
            **ranges,
            restitution=(0.0, 0.0),
            object_position=(x, y, z),
            object_position_noise=(0.0, 0.0, 0.0),
            object_tilt=0.0,
            scales=(1.0,),
            scale_noise=0.0,
            hand_position_noise=0.0,
            start_pose_noise=0.0,
            observation_noise=(0.0, 0.0),
            action_noise=(0.0, 0.0),
            student_noise=(0.0, 0.0),
            push_probability=0.0,
        )


DEVIATIONS: Mapping[str, str] = {
    "contacts": "Friction cones are elliptic. MuJoCo's default, pyramidal cones, soften a contact with the square of "
    "its friction coefficient, so at 8 the fingertips sink 10 to 20 mm into the nut.",
    "armature": "Every joint of the hand has a rotor inertia of 2e-4 kg m^2, an estimate. The URDF has none; a "
    "saturated motor (0.4 N m) would then speed a 16 g link (1e-5 kg m^2) up by 200 rad/s within one physics step.",
    "inertia of the nut": "It is that of a shell of its shape and mass; the release's numbers do not fit its meshes.",
    "privileged angle and orientation of the nut": "They are given modulo the nut's rotational symmetry, so that the "
    "angle does not grow over the episode, and a network need not learn that corners recur. Taken modulo the symmetry, "
    "both are discontinuous at every corner; `nut_phase`, which is ours, says the same continuously.",
    "randomisation": "Shape, scale, friction, masses and gains are drawn anew for every episode, rather than once per "
    "environment.",
    "derived quantities": "Fingertip poses and forces in rewards and observations are 5 ms old; joint angles are "
    "current.",
}
"""What differs from the paper and its release and is no field of a task."""

OBJECT_SLICES = (
    "object_position", "object_scale", "object_mass", "object_friction", "object_center_of_mass",
    "object_orientation", "object_linear_velocity", "object_angular_velocity", "object_restitution",
    "fingertip_position", "fingertip_orientation", "fingertip_linear_velocity", "fingertip_angular_velocity",
    "nut_contact_force", "nut_position", "nut_joint_velocity", "nut_joint_angle", "nut_phase", "nut_joint_friction",
)  # fmt: skip
"""What the privileged observation says of object and fingertips."""
CONTROLLER_SLICES = ("kp", "kd", "start_pose", "hand_orientation", "hand_position")
"""What it says of the controller and of where the hand stands."""
