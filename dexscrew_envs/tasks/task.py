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
from dexscrew_envs.tasks.checks import (
    check_flag,
    check_hand,
    check_joints,
    check_name,
    check_names,
    check_pose,
    check_shape,
    check_target_ranges,
    check_together,
    check_turn,
)
from dexscrew_envs.tasks.declare import (
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Range,
    between,
    centre,
    checked,
    drawn,
    fixed_fields,
    identity,
    integer,
    interval,
    number,
    numbers,
)

_HISTORY = 30
Vector3 = tuple[float, float, float]

JointRange = tuple[str, float, float]
"""A joint, and the lower and upper limit of its target (rad)."""


def _middle(position: Vector3, task: Task) -> tuple[float, ...]:
    """Return where the object stands on average."""
    return tuple(p + width / 2 for p, width in zip(position, task.object_position_noise, strict=True))


@dataclass(frozen=True, kw_only=True)
class Task:
    """One simplified fastening task."""

    name: str = identity(check_name)
    """Name of the task, as in `--task`."""
    on_robot: bool = identity(check_flag, False)
    """Whether the robot's environment has the task, too, and its twin the object."""
    hand: Hand = checked(check_hand, XHAND_LEFT)
    """The hand. Numbers below that depend on it, such as the start pose, come from its record; see `hands/`."""

    # -- time ---------------------------------------------------------------------------------------------------------
    timestep: float = number(0.005, POSITIVE)
    """Physics step (s): 200 Hz."""
    substeps: int = integer(10, POSITIVE)
    """Physics steps in a control step: control runs at 20 Hz."""
    episode_steps: int = integer(800, POSITIVE)
    """Time limit of an episode in control steps (40 s); it truncates, it does not terminate."""

    # -- object -------------------------------------------------------------------------------------------------------
    shapes: tuple[str, ...] = identity(check_names)
    """All shapes that the task knows."""
    shape: str | tuple[str, ...] = checked(check_shape)
    """Shape of the nut, or several of which each episode samples one."""
    bolt_radius: float = number(bound=POSITIVE)
    """Radius of the bolt or shaft under the nut (m)."""
    bolt_height: float = number(bound=POSITIVE)
    """Height of the bolt or shaft above the base (m)."""
    joint_height: float = number()
    """Height of the nut's frame, which is the frame of its revolute joint (m); the joint's axis is (0, 0, -turn)."""
    turn: int = checked(check_turn, 1)
    """Direction that counts as positive: 1 is clockwise seen from above, as a nut is fastened; -1 is the other."""
    joint_turns: float = number(100.0, POSITIVE)
    """Range of the nut's joint in turns; an episode starts at 0."""
    joint_damping: float = number(5e-4, NOT_NEGATIVE)
    """Ours: viscous friction of the nut's joint (N m s/rad). The release limits the joint's speed to 6.28 rad/s
    instead; MuJoCo's joints have no such limit."""
    object_position: Vector3 = numbers(3, fixed=_middle)
    """Position of the object's base before noise (m)."""
    object_position_noise: Vector3 = numbers(3, (0.0075, 0.0075, 0.0), NOT_NEGATIVE, fixed=(0.0, 0.0, 0.0))
    """Width of the uniform noise U(0, width) added to it (m)."""
    object_tilt: float = number(0.0, NOT_NEGATIVE, fixed=0.0)
    """Largest tilt of the object from the vertical, in a random direction (degrees)."""
    scales: tuple[float, ...] = numbers(None, bound=POSITIVE, fixed=(1.0,))
    """Nominal scales of the whole object, of which each episode samples one."""
    scale_noise: float = number(0.025, NOT_NEGATIVE, fixed=0.0)
    """Half width of the uniform noise on the scale. Ours: quantised to five values, since a mesh cannot be scaled
    while the simulation runs."""

    # -- hand ---------------------------------------------------------------------------------------------------------
    hand_position: Vector3 = numbers(3, (0.0, 0.0, 0.21))
    """Position of the hand's base before noise (m)."""
    hand_position_noise: float = number(0.001, NOT_NEGATIVE, fixed=0.0)
    """Width of the uniform noise U(0, width) on each coordinate (m)."""
    hand_pitch: Range = interval((60.0, 70.0), fixed=centre)
    """Rotation of the hand about the world's x axis (degrees): 90 - U(20, 30)."""
    hand_roll: Range = interval((-5.0, 5.0), fixed=centre)
    """Rotation of the hand about the world's y axis, applied after the pitch (degrees)."""
    start_pose: tuple[float, ...] = checked(check_pose)
    """Joint positions at the start of an episode, before noise (rad). Ours: these push the fingertips into the object,
    so the fingers that touch are opened in small steps until none does; see `start_states.py`."""
    start_pose_noise: float = number(0.05, NOT_NEGATIVE, fixed=0.0)
    """Half width of the uniform noise on the start pose, as a share of each joint's range."""
    action_scale: float = number(bound=POSITIVE)
    """Change of a joint's target for an action of 1 (rad)."""
    locked_joints: tuple[int, ...] = checked(check_joints, ())
    """Indices of the joints whose actions are ignored."""
    target_ranges: tuple[JointRange, ...] = checked(check_target_ranges, ())
    """Limits of joint targets that are narrower than the joint's own: joint, low, high (rad)."""

    # -- randomisation: every episode draws from the ranges, in this order --------------------------------------------
    mass: Range = drawn((0.04, 0.06), POSITIVE)
    """Mass of the nut (kg)."""
    center_of_mass: Range = drawn((-0.001, 0.001), size=3)
    """Offset of the nut's centre of mass from its frame along each axis (m)."""
    friction: Range = drawn((0.5, 8.0), NOT_NEGATIVE)
    """Coefficient of friction, one for all shapes of an environment."""
    restitution: Range = drawn((0.0, 1.0), SHARE, fixed=(0.0, 0.0))
    """Ours: coefficient of restitution e, which MuJoCo lacks. It enters as the damping ratio of the contacts,
    -ln e / sqrt(pi^2 + ln^2 e), with `min_contact_damping_ratio` as its lower bound, since PhysX applies restitution
    only to impacts and MuJoCo would apply it to every contact."""
    joint_friction: Range = drawn(bound=NOT_NEGATIVE)
    """Ours: dry friction of the nut's joint (N m). The release's 0.2 is a PhysX coefficient, not a torque; this range
    lets the nut stop when the fingers let go, and turn under a fingertip's force, which has less leverage on the
    thinner handle."""
    kp: Range = drawn((2.7, 3.3), POSITIVE, size="joints")
    """Proportional gain of the joint controller, sampled per joint (N m/rad)."""
    kd: Range = drawn((0.009, 0.011), NOT_NEGATIVE, size="joints")
    """Derivative gain of the joint controller, sampled per joint (N m s/rad)."""
    min_contact_damping_ratio: float = number(0.8, SHARE)
    """Ours: see `restitution`. At 0.5 the target noise of a still hand shakes the nut; at 0.8 it does not."""
    observation_noise: tuple[float, float] = numbers(2, (0.01, 0.005), NOT_NEGATIVE, fixed=(0.0, 0.0))
    """Standard deviations of the noise on observed joint positions: drawn per episode, and per step (rad)."""
    action_noise: tuple[float, float] = numbers(2, (0.01, 0.005), NOT_NEGATIVE, fixed=(0.0, 0.0))
    """The same for the noise on joint targets (rad)."""
    push_probability: float = number(0.25, SHARE, fixed=0.0)
    """Probability of each push of the nut. Ours: two pushes are drawn per control step, as in the release, but both act
    from its beginning rather than from a random physics step."""
    push_force: float = number(2.0, NOT_NEGATIVE)
    """Standard deviation of a push along each axis, per mass of the nut (N/kg)."""
    push_decay: float = number(0.9, SHARE)
    """Factor by which a push decays in each `push_decay_interval`."""
    push_decay_interval: float = number(0.08, POSITIVE)
    """See `push_decay` (s)."""

    # -- reward: weights and parameters of the terms in `mdp/rewards.py` ----------------------------------------------
    rotate_weight: float = number()
    """Weight of the nut's speed."""
    rotate_clip: float = number(4.0)
    """The nut's speed is rewarded between minus and plus this (rad/s)."""
    proximity_weight: float = number(2.0)
    """Weight of the closeness of thumb and index fingertips to the nut's frame."""
    pose_weight: float = number()
    """Weight of the squared distance from the start pose, thumb left out."""
    torque_weight: float = number()
    """Weight of the squared joint torques."""
    work_weight: float = number(-0.01)
    """Weight of the squared mechanical power."""
    overspeed_weight: float = number(-0.3)
    """Weight of the part of the nut's speed above a threshold."""
    overspeed_threshold: Range = interval()
    """That threshold before and after its curriculum (rad/s)."""
    overspeed_curriculum: Range = interval((30e6, 60e6), NOT_NEGATIVE)
    """Control steps, all environments together, between which the threshold moves, in stages of 5 %."""
    height_weight: float = number(-1.0)
    """Weight of the vertical extent of the object's point cloud."""
    height_threshold: float = number(0.03)
    """Extents below this cost nothing (m)."""

    # -- termination --------------------------------------------------------------------------------------------------
    reset_distance: float = number(bound=POSITIVE)
    """An episode ends when the thumb's or the index finger's tip is further than this from the nut's frame (m); also
    the scale of the proximity reward."""
    idle_window: int = integer(bound=POSITIVE)
    """Length of the window over which stagnation and lost contact are judged (control steps)."""
    stagnation_variance: float = number(0.003)
    """An episode ends when the nut's angle varies less than this over the window (rad^2)."""
    contact_threshold: float = number(1e-3)
    """An episode ends when the net contact force on the nut stays at or below this over the window (N)."""
    joint_end_margin: float = number(5.0)
    """An episode ends when the nut is this close to the end of its joint (rad)."""

    # -- distillation -------------------------------------------------------------------------------------------------
    student_noise: tuple[float, float] = numbers(2, (0.02, 0.01), NOT_NEGATIVE, fixed=(0.0, 0.0))
    """Noise on observed joint positions and on targets while a student is distilled and scored; as
    `observation_noise`."""
    student_reset_distance: float = number(bound=POSITIVE)
    """Reset distance while a student is distilled and scored (m)."""

    # -- observation --------------------------------------------------------------------------------------------------
    privileged: tuple[str, ...] = checked(check_names)
    """Slices of the privileged observation, in order; see `mdp/observations.py`."""
    proprio_delay: int = integer(0, between(0, _HISTORY - 3))
    """Age of the newest pair in `proprio` (control steps). Ours: 0, so that `proprio` is the end of `history`; in the
    release the actor's newest pair is one step old, while the student's history is current."""

    def __post_init__(self) -> None:
        """Check every field, and then what they must be to each other.

        Raises:
            ValueError: a value is not possible; the message says what would be.
        """
        try:
            for item in fields(self):
                item.metadata["check"](item.name, getattr(self, item.name), self)
            check_together(self)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None

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
        return replace(self, **fixed_fields(self))


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
