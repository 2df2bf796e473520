from __future__ import annotations

import math

import pytest
import torch

from dexscrew_envs.mdp.terminations import IdleWindow, TerminationReason, terminations
from dexscrew_envs.tasks import NUT, SCREWDRIVER

END = 200 * math.pi


def window_of(task, count=1):
    return IdleWindow(task, count, torch.device("cpu"))


def reason_of(state, task=NUT, window=None, steps=1, valid=True):
    count = len(state.nut_angle)
    window = window_of(task, count) if window is None else window
    return terminations(task, state, window, torch.full((count,), steps), torch.full((count,), valid)).tolist()


def idle(make_state, task, angles, force=1.0):
    """Return a window that has seen these angles, under this contact force."""
    window = window_of(task)
    for angle in angles:
        window.update(make_state(1, nut_angle=angle, nut_force=[0.0, force, 0.0]))
    return window


def test_episode_runs_by_default(make_state):
    assert reason_of(make_state(3)) == [TerminationReason.RUNNING] * 3


@pytest.mark.parametrize(("task", "distance"), [(NUT, 0.07), (SCREWDRIVER, 0.1)])
@pytest.mark.parametrize("finger", range(5))
def test_thumb_and_index_must_stay_near(make_state, task, distance, finger):
    tips = torch.zeros(3, 5, 3)
    tips[:, finger, 1] = torch.tensor([0.0, distance - 1e-3, distance + 1e-3])
    ends = TerminationReason.FINGERS_AWAY if finger < 2 else TerminationReason.RUNNING
    assert reason_of(make_state(3, tip_pos=tips), task) == [TerminationReason.RUNNING, TerminationReason.RUNNING, ends]


def test_fingers_are_measured_from_the_nut(make_state):
    state = make_state(1, tip_pos=torch.ones(1, 5, 3), nut_pos=[1.0, 1.0, 1.0])
    assert reason_of(state) == [TerminationReason.RUNNING]


def test_nut_must_not_come_near_the_end_of_its_joint(make_state):
    state = make_state(3, nut_angle=torch.tensor([END - 5.1, END - 4.9, -4.9]))
    assert reason_of(state) == [TerminationReason.RUNNING, TerminationReason.JOINT_END, TerminationReason.RUNNING]


@pytest.mark.parametrize("task", [NUT, SCREWDRIVER])
def test_stagnation_needs_a_full_window(make_state, task):
    full = task.idle_window
    assert full == {"nut": 70, "screwdriver": 60}[task.name]
    for steps, reason in (
        (1, TerminationReason.RUNNING),
        (full - 1, TerminationReason.RUNNING),
        (full, TerminationReason.STAGNATION),
    ):
        assert reason_of(make_state(1), task, idle(make_state, task, [0.0] * steps)) == [reason]


@pytest.mark.parametrize(
    ("variance", "reason"), [(0.00297, TerminationReason.STAGNATION), (0.00303, TerminationReason.RUNNING)]
)
def test_stagnation_is_a_small_variance(make_state, variance, reason):
    angles = [5 + math.sqrt(variance) * (-1) ** k for k in range(70)]  # a population variance
    assert reason_of(make_state(1), window=idle(make_state, NUT, angles)) == [reason]


def test_stagnation_forgets_what_is_older_than_the_window(make_state):
    turned = [float(k) for k in range(40)]
    assert reason_of(make_state(1), window=idle(make_state, NUT, turned + [40.0] * 69)) == [TerminationReason.RUNNING]
    assert reason_of(make_state(1), window=idle(make_state, NUT, turned + [40.0] * 70)) == [
        TerminationReason.STAGNATION
    ]


def test_turning_nut_does_not_stagnate(make_state):
    assert reason_of(make_state(1), window=idle(make_state, NUT, [0.01 * k for k in range(200)])) == [
        TerminationReason.RUNNING
    ]


def test_lost_contact_needs_a_full_window(make_state):
    turning = [0.1 * k for k in range(100)]
    for steps, reason in (
        (69, TerminationReason.RUNNING),
        (70, TerminationReason.NO_CONTACT),
        (71, TerminationReason.NO_CONTACT),
    ):
        assert reason_of(make_state(1), window=idle(make_state, NUT, turning[:steps], force=0.0)) == [reason]


@pytest.mark.parametrize("touched_at", [0, 1, 35, 69])
def test_one_contact_within_the_window_is_enough(make_state, touched_at):
    window = window_of(NUT)
    for k in range(70):
        force = [0.0, 0.0, -2e-3 if k == touched_at else 0.0]
        window.update(make_state(1, nut_angle=0.1 * k, nut_force=force))
    assert reason_of(make_state(1), window=window) == [TerminationReason.RUNNING]
    for k in range(70, 70 + touched_at + 1):
        assert reason_of(make_state(1), window=window) == [TerminationReason.RUNNING]
        window.update(make_state(1, nut_angle=0.1 * k))
    assert reason_of(make_state(1), window=window) == [TerminationReason.NO_CONTACT]


@pytest.mark.parametrize(
    ("force", "reason"), [(0.9e-3, TerminationReason.NO_CONTACT), (1.1e-3, TerminationReason.RUNNING)]
)
def test_contact_is_a_force_above_a_millinewton(make_state, force, reason):
    turning = [0.1 * k for k in range(70)]
    assert reason_of(make_state(1), window=idle(make_state, NUT, turning, force)) == [reason]


def test_time_limit_comes_at_its_step(make_state):
    assert reason_of(make_state(1), steps=799) == [TerminationReason.RUNNING]
    assert reason_of(make_state(1), steps=800) == [TerminationReason.TIME_LIMIT]


def test_diverged_physics_ends_the_episode(make_state):
    assert reason_of(make_state(1), valid=False) == [TerminationReason.INVALID_PHYSICS]


def test_lowest_reason_is_reported(make_state):
    """Switch the reasons off one by one, from the first that counts to the last."""
    away = torch.ones(1, 5, 3)
    idle_window = idle(make_state, NUT, [END] * 70, force=0.0)
    lost = idle(make_state, NUT, [0.1 * k for k in range(70)], force=0.0)
    over = make_state(1, nut_angle=END, tip_pos=away)
    assert reason_of(over, window=idle_window, steps=800, valid=False) == [TerminationReason.INVALID_PHYSICS]
    assert reason_of(over, window=idle_window, steps=800) == [TerminationReason.FINGERS_AWAY]
    near = make_state(1, nut_angle=END)
    assert reason_of(near, window=idle_window, steps=800) == [TerminationReason.STAGNATION]
    assert reason_of(near, window=lost, steps=800) == [TerminationReason.NO_CONTACT]
    assert reason_of(near, steps=800) == [TerminationReason.JOINT_END]
    assert reason_of(make_state(1), steps=800) == [TerminationReason.TIME_LIMIT]


def test_codes_are_stable():
    assert {reason.name.lower(): int(reason) for reason in TerminationReason} == {
        "running": 0,
        "invalid_physics": 1,
        "fingers_away": 2,
        "stagnation": 3,
        "no_contact": 4,
        "joint_end": 5,
        "time_limit": 6,
    }


def test_reset_forgets_one_environment_only(make_state):
    window = window_of(NUT, 2)
    for _ in range(70):
        window.update(make_state(2))
    assert window.stagnant().tolist() == [True, True]
    assert window.contact_lost().tolist() == [True, True]
    window.reset(torch.tensor([1]))
    assert window.stagnant().tolist() == [True, False]
    assert window.contact_lost().tolist() == [True, False]
    for _ in range(69):
        window.update(make_state(2))
    assert window.stagnant().tolist() == [True, False]
    assert window.contact_lost().tolist() == [True, False]
    window.update(make_state(2))
    assert window.stagnant().tolist() == [True, True]
    assert window.contact_lost().tolist() == [True, True]


def test_angles_before_a_reset_do_not_count(make_state):
    window = window_of(NUT)
    for k in range(100):
        window.update(make_state(1, nut_angle=float(k)))
    window.reset(torch.tensor([0]))
    for _ in range(70):
        window.update(make_state(1, nut_angle=0.0))
    assert window.stagnant().tolist() == [True]
