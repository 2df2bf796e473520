from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from dexscrew_envs.hands.xhand import FINGERS, JOINTS
from dexscrew_envs.tasks import NUT, SCREWDRIVER, TASKS, make_task

PUBLISHED = {
    "nut": {
        "timestep": 0.005,
        "substeps": 10,
        "episode_steps": 800,
        "object_position": (0.0175, 0.06, 0.0),
        "object_position_noise": (0.0075, 0.0075, 0.0),
        "object_tilt": 0.0,
        "bolt_radius": 0.0125,
        "bolt_height": 0.1,
        "joint_height": 0.1,
        "joint_turns": 100.0,
        "scales": (0.95, 1.0, 1.05),
        "scale_noise": 0.025,
        "hand_position": (0.0, 0.0, 0.21),
        "hand_pitch": (60.0, 70.0),
        "hand_roll": (-5.0, 5.0),
        "start_pose": (-0.17, 1.1, 0.4, 1.1, 0.4, 0, 0, 0, 0, 1.3, 0.5, 0.45),
        "start_pose_noise": 0.05,
        "action_scale": 0.04167,
        "locked_joints": (5, 6, 7, 8),
        "target_ranges": (("thumb_bend", 0.0, 1.83),),
        "reset_distance": 0.07,
        "idle_window": 70,
        "rotate_weight": 6.0,
        "rotate_clip": 4.0,
        "proximity_weight": 2.0,
        "pose_weight": -0.5,
        "torque_weight": -0.1,
        "work_weight": -0.01,
        "overspeed_weight": -0.3,
        "overspeed_threshold": (10.0, 10.0),
        "height_weight": -1.0,
        "height_threshold": 0.03,
        "stagnation_variance": 0.003,
        "contact_threshold": 1e-3,
        "joint_end_margin": 5.0,
        "mass": (0.04, 0.06),
        "center_of_mass": (-0.001, 0.001),
        "friction": (0.5, 8.0),
        "restitution": (0.0, 1.0),
        "kp": (2.7, 3.3),
        "kd": (0.009, 0.011),
        "observation_noise": (0.01, 0.005),
        "action_noise": (0.01, 0.005),
        "push_probability": 0.25,
        "push_force": 2.0,
        "push_decay": 0.9,
        "push_decay_interval": 0.08,
    },
    "screwdriver": {
        "object_position": (0.009, 0.06, 0.0),
        "object_tilt": 5.0,
        "bolt_radius": 0.00625,
        "joint_height": 0.01,
        "scales": (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25),
        "start_pose": (-0.036, 1.15, 0.5, 0.925, 0.58, 0, 0, 1.3, 0.43, 1.455, 0.817, 0.154),
        "action_scale": 0.05,
        "locked_joints": (5, 6),
        "target_ranges": (("thumb_bend", 0.6, 1.73),),
        "reset_distance": 0.1,
        "idle_window": 60,
        "rotate_weight": 2.5,
        "pose_weight": -0.1,
        "torque_weight": -3.0,
        "overspeed_threshold": (7.5, 15.0),
        "overspeed_curriculum": (30e6, 60e6),
    },
}


@pytest.mark.parametrize("task", PUBLISHED)
def test_numbers_are_the_published_ones(task):
    published = PUBLISHED[task]
    assert {name: getattr(TASKS[task], name) for name in published} == published


def test_joints_and_fingers_have_their_order():
    assert JOINTS[:5] == ("index_bend", "index_1", "index_2", "mid_1", "mid_2")
    assert JOINTS[5:] == ("pinky_1", "pinky_2", "ring_1", "ring_2", "thumb_bend", "thumb_1", "thumb_2")
    assert FINGERS == ("thumb", "index", "mid", "ring", "pinky")


def test_locked_joints_are_ring_and_pinky():
    assert {JOINTS[k] for k in NUT.locked_joints} == {"pinky_1", "pinky_2", "ring_1", "ring_2"}
    assert {JOINTS[k] for k in SCREWDRIVER.locked_joints} == {"pinky_1", "pinky_2"}


def test_default_shapes_are_those_of_training():
    assert NUT.sampled_shapes == ("triangle",)
    assert SCREWDRIVER.sampled_shapes == ("octagon", "dodecagon")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_control_runs_at_20_hz(task):
    assert task.control_dt == pytest.approx(0.05)


def test_make_task_changes_fields_and_nothing_else():
    task = make_task("nut", reset_distance=0.12, shape=["square", "cross"])
    assert task.reset_distance == 0.12
    assert task.sampled_shapes == ("square", "cross")
    assert replace(task, reset_distance=0.07, shape="triangle") == NUT
    assert make_task("nut") == NUT


def test_lists_become_tuples_so_that_a_task_is_hashable():
    task = make_task("nut", mass=[0.05, 0.06], scales=[1.0])
    assert task.mass == (0.05, 0.06)
    assert hash(task) == hash(make_task("nut", mass=(0.05, 0.06), scales=(1.0,)))


def test_task_is_frozen():
    with pytest.raises(FrozenInstanceError):
        NUT.reset_distance = 1.0


@pytest.mark.parametrize("name", TASKS)
def test_without_randomization_collapses_every_range(name):
    task, still = TASKS[name], make_task(name, randomize=False)
    assert still == task.without_randomization()
    designed = {"overspeed_threshold", "overspeed_curriculum"}  # a curriculum, not randomisation
    for field in fields(task):
        low_and_high = getattr(task, field.name)
        if field.type != "Range" or field.name in designed:
            continue
        assert "fixed" in field.metadata
        low, high = getattr(still, field.name)
        assert low == high
        if field.name != "restitution":
            assert low == pytest.approx(sum(low_and_high) / 2)
    assert still.restitution == (0.0, 0.0)
    noises = ("scale_noise", "hand_position_noise", "start_pose_noise", "object_tilt", "push_probability")
    assert [getattr(still, noise) for noise in noises] == [0.0] * 5
    assert still.object_position_noise == (0.0, 0.0, 0.0)
    assert still.observation_noise == still.action_noise == (0.0, 0.0)
    assert still.scales == (1.0,)
    assert still.object_position == pytest.approx(
        [p + n / 2 for p, n in zip(task.object_position, task.object_position_noise, strict=True)]
    )


def test_without_randomization_keeps_what_is_asked_for():
    task = make_task("nut", randomize=False, observation_noise=(0.01, 0.0), mass=(0.02, 0.03))
    assert task.observation_noise == (0.01, 0.0)
    assert task.mass == (0.02, 0.03)
    assert task.push_probability == 0.0


def test_unknown_task_names_those_that_are_known():
    with pytest.raises(ValueError, match="unknown task 'bolt'; choose from nut, screwdriver"):
        make_task("bolt")


def test_unknown_field_suggests_the_nearest():
    with pytest.raises(TypeError, match="no field 'reset_distnce'; did you mean 'reset_distance'"):
        make_task("nut", reset_distnce=0.1)


def test_unknown_field_like_no_other_lists_all():
    with pytest.raises(TypeError, match="no field 'zzz'; the fields are hand, timestep, substeps"):
        make_task("nut", zzz=1)


@pytest.mark.parametrize("field", ["name", "shapes"])
def test_identity_of_a_task_cannot_be_changed(field):
    with pytest.raises(TypeError):
        make_task("nut", **{field: "x"})


@pytest.mark.parametrize("shape", ["octagon", ("triangle", "octagon")])
def test_unknown_shape_names_those_of_the_task(shape):
    message = (
        "nut: unknown shape 'octagon'; choose from triangle, square, hexagon, cross; 'octagon' exists, but the task"
    )
    with pytest.raises(ValueError, match=message):
        make_task("nut", shape=shape)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("shape", (), "shape must name at least one of triangle"),
        ("mass", (0.06, 0.05), r"mass must be \(low, high\) with low <= high"),
        ("mass", (0.06, 0.07, 0.08), r"mass must be \(low, high\)"),
        ("kp", (float("nan"), 3.0), r"kp must be \(low, high\)"),
        ("kp", 3.0, r"kp must be \(low, high\) with low <= high, got 3.0"),
        ("kp", ("a", "b"), r"kp must be \(low, high\)"),
        ("kp", (0.0, 3.0), "kp must be positive"),
        ("mass", (-0.01, 0.05), "mass must be positive"),
        ("friction", (-1.0, 2.0), "friction must not be negative"),
        ("restitution", (0.0, 1.5), "restitution must be between 0 and 1"),
        ("push_probability", 1.5, "push_probability must be between 0 and 1, got 1.5"),
        ("push_force", float("inf"), "push_force must be a number, got inf"),
        ("push_force", "2", "push_force must be a number, got '2'"),
        ("scales", (), r"scales must be one or more numbers, got \(\)"),
        ("scales", 1.0, "scales must be one or more numbers, got 1.0"),
        ("scales", (1.0, 0.0), "scales must be positive"),
        ("object_position", (0.0, 0.06), "object_position must be three numbers"),
        ("observation_noise", (0.01,), "observation_noise must be two numbers"),
        ("observation_noise", (-0.01, 0.0), "observation_noise must not be negative"),
        ("substeps", 2.5, "substeps must be an integer, got 2.5"),
        ("locked_joints", (12,), "locked_joints must be between 0 and 11"),
        ("timestep", 0.0, "timestep must be positive, got 0.0"),
        ("substeps", 0, "substeps must be positive"),
        ("episode_steps", -1, "episode_steps must be positive, got -1"),
        ("reset_distance", 0.0, "reset_distance must be positive"),
        ("idle_window", 0, "idle_window must be positive"),
        ("action_scale", float("nan"), "action_scale must be a number, got nan"),
        ("start_pose", (0.0,) * 11, "start_pose must have 12 numbers, .* got 11"),
        ("proprio_delay", 28, "proprio_delay must be between 0 and 27, got 28"),
        ("proprio_delay", -1, "proprio_delay must be between 0 and 27, got -1"),
        ("substeps", 2**31, r"substeps must be below 2\^31"),
        ("turn", 0, "turn must be 1 or -1, got 0"),
        ("privileged", ("kp", "kp"), "privileged must be a tuple of different names"),
        ("locked_joints", (1.5,), r"locked_joints must be integers, got \(1.5,\)"),
        ("target_ranges", (("nose", 0.0, 1.0),), r"target_ranges must be \(joint, low, high\)"),
        ("target_ranges", 1.0, r"target_ranges must be \(joint, low, high\)"),
    ],
)
def test_impossible_value_raises(field, value, message):
    with pytest.raises(ValueError, match=message):
        make_task("nut", **{field: value})
    with pytest.raises(ValueError, match=message):
        replace(NUT, **{field: value})
