"""The wrist follows orders, never jumps, and makes up for nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from real.kinematics import forward, forward_matrix
from real.safety import SafetyLimits
from real.teleop.operator import Orders
from real.teleop.wrist import MARGIN, SPEED, TURN_SPEED, Wrist

ARM = np.array([0.0, -1.6, 1.8, -1.8, -1.57, 0.0])
DT = 0.05
WORKSPACE = np.array(SafetyLimits().workspace)


def make(room_yaw=0.0, pivot=(0.0, 0.0, 0.1), workspace=WORKSPACE):
    wrist = Wrist(workspace, np.array(pivot), room_yaw)
    wrist.reset(ARM)
    return wrist


def held(x=0.0, y=0.0, z=0.0, yaw=0.0):
    """Return a controller's pose."""
    pose = np.eye(4)
    pose[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    pose[:3, 3] = x, y, z
    return pose


def clutched(**pose):
    return Orders(clutch=True, wrist=held(**pose))


def nudge(*velocity):
    return Orders(nudge=np.array(velocity, float))


def position(wrist):
    return forward(wrist.target)[:3]


def point(wrist, pivot=(0.0, 0.0, 0.1)):
    return (forward_matrix(wrist.target) @ [*pivot, 1.0])[:3]


def test_without_orders_it_stays():
    wrist = make()
    for _ in range(5):
        np.testing.assert_array_equal(wrist.follow(Orders(), DT), ARM)


def test_a_nudge_moves_it_with_its_velocity():
    wrist, before = make(), position(make())
    for _ in range(10):
        wrist.follow(nudge(0.02, -0.01, 0.03, 0, 0, 0), DT)
    np.testing.assert_allclose(position(wrist) - before, 0.5 * np.array([0.02, -0.01, 0.03]), atol=1e-5)


def test_a_turn_leaves_the_point_between_the_fingertips():
    wrist, before = make(), point(make())
    turned = forward_matrix(ARM)[:3, :3]
    for _ in range(20):
        wrist.follow(nudge(0, 0, 0, 0, 0, 0.3), DT)
    np.testing.assert_allclose(point(wrist), before, atol=1e-5)
    angle = forward_matrix(wrist.target)[:3, :3] @ turned.T
    np.testing.assert_allclose(angle[:2, :2], held(yaw=0.3)[:2, :2], atol=1e-5)


def test_the_clutch_takes_motion_since_the_press_and_nothing_before():
    wrist, before = make(), position(make())
    wrist.follow(Orders(wrist=held(x=5.0)), DT)
    wrist.follow(clutched(x=5.0, y=1.0), DT)
    np.testing.assert_allclose(position(wrist), before, atol=1e-6)
    wrist.follow(clutched(x=5.003, y=1.0), DT)
    np.testing.assert_allclose(position(wrist) - before, [0.003, 0, 0], atol=1e-5)
    wrist.follow(Orders(wrist=held(x=7.0)), DT)
    wrist.follow(clutched(x=7.0), DT)
    np.testing.assert_allclose(position(wrist) - before, [0.003, 0, 0], atol=1e-5)


def test_the_room_may_be_turned():
    wrist, before = make(room_yaw=math.pi / 2), position(make())
    wrist.follow(nudge(0.02, 0, 0, 0, 0, 0), DT)
    np.testing.assert_allclose(position(wrist) - before, [0, 0.001, 0], atol=1e-6)


def test_a_clutch_that_is_down_when_input_appears_does_nothing():
    wrist = make()
    for x in (0.0, 0.01, 0.02):
        np.testing.assert_array_equal(wrist.follow(clutched(x=x), DT), ARM)


def test_after_lost_input_only_a_fresh_press_moves_it_from_a_new_reference():
    wrist = make()
    wrist.follow(Orders(), DT)
    wrist.follow(clutched(), DT)
    wrist.follow(clutched(x=0.002), DT)
    here = wrist.target.copy()
    for orders in (Orders.hold("the link is lost"), clutched(x=0.3), clutched(x=0.31), Orders(wrist=held(x=0.31)),
                   clutched(x=0.31)):  # fmt: skip
        np.testing.assert_array_equal(wrist.follow(orders, DT), here)
    wrist.follow(clutched(x=0.313), DT)
    np.testing.assert_allclose(position(wrist) - forward(here)[:3], [0.003, 0, 0], atol=1e-5)


def test_it_is_never_faster_than_its_limits():
    wrist = make()
    wrist.follow(Orders(), DT)
    wrist.follow(clutched(), DT)
    before = forward_matrix(wrist.target)
    for _ in range(3):
        wrist.follow(clutched(z=0.5, yaw=2.0), DT)
        now = forward_matrix(wrist.target)
        moved = (now @ [0, 0, 0.1, 1.0] - before @ [0, 0, 0.1, 1.0])[:3]
        assert np.linalg.norm(moved) <= SPEED * DT + 1e-6
        angle = math.acos(min(1.0, (np.trace(now[:3, :3] @ before[:3, :3].T) - 1) / 2))
        assert angle <= TURN_SPEED * DT + 1e-6
        before = now


def test_at_the_end_of_the_workspace_it_stops_with_a_note_and_owes_nothing():
    here = position(make())
    tight = WORKSPACE.copy()
    tight[2] = [here[2] - 0.012 - MARGIN, 1.0]
    wrist = make(workspace=tight)
    wrist.follow(Orders(), DT)
    wrist.follow(clutched(), DT)
    notes = set()
    for _ in range(40):
        wrist.follow(clutched(z=-0.1), DT)
        notes.add(wrist.note)
    assert notes == {"", "the wrist is at the end of its workspace"}
    assert position(wrist)[2] == pytest.approx(here[2] - 0.012, abs=1e-5)
    wrist.follow(clutched(z=-0.098), DT)  # back by 2 mm: it comes up at once
    assert position(wrist)[2] == pytest.approx(here[2] - 0.010, abs=1e-4)


def test_what_the_arm_cannot_reach_is_a_note():
    wide = np.array([[-5.0, 5.0], [-5.0, 5.0], [-5.0, 5.0]])
    wrist = make(workspace=wide)
    for _ in range(200):
        wrist.follow(nudge(0, 0, 0.1, 0, 0, 0), DT)
        if wrist.note:
            break
    assert wrist.note
    assert np.isfinite(wrist.target).all()


def test_beside_it_is_a_place_to_which_it_does_not_move():
    wrist = make()
    there = wrist.beside(np.array([0.001, 0.0, -0.002]))
    np.testing.assert_allclose(forward(there)[:3] - position(wrist), [0.001, 0, -0.002], atol=1e-5)
    np.testing.assert_array_equal(wrist.target, ARM)


def test_nudges_add_up_under_the_clutch():
    wrist, before = make(), position(make())
    wrist.follow(Orders(wrist=held()), DT)
    wrist.follow(clutched(), DT)
    for _ in range(10):
        wrist.follow(Orders(clutch=True, wrist=held(x=0.003), nudge=np.array([0, 0, 0.02, 0, 0, 0])), DT)
    np.testing.assert_allclose(position(wrist) - before, [0.003, 0, 0.01], atol=1e-5)
    turned = forward_matrix(wrist.target)[:3, :3]
    for _ in range(10):
        wrist.follow(Orders(clutch=True, wrist=held(x=0.003), nudge=np.array([0, 0, 0, 0, 0, 0.2])), DT)
    np.testing.assert_allclose(
        (forward_matrix(wrist.target)[:3, :3] @ turned.T)[:2, :2], held(yaw=0.1)[:2, :2], atol=1e-5
    )
