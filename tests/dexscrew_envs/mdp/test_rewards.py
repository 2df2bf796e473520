from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dexscrew_envs.mdp.rewards import overspeed_threshold, reward_terms, tip_distance
from dexscrew_envs.tasks import NUT, SCREWDRIVER

TERMS = ("rotate", "proximity", "pose", "torque", "work", "overspeed", "height")


def terms_of(state, task=NUT, rotated=0.0, start_pose=0.0, points=None, threshold=10.0):
    count = len(state.nut_angle)
    return reward_terms(
        task,
        state,
        torch.as_tensor(rotated, dtype=torch.float32).expand(count),
        torch.as_tensor(start_pose, dtype=torch.float32).expand(count, 12),
        torch.zeros(count, 100, 3) if points is None else points,
        threshold,
    )


def test_there_are_seven_terms(make_state):
    terms = terms_of(make_state(3))
    assert tuple(terms) == TERMS
    assert all(term.shape == (3,) for term in terms.values())


def test_nothing_but_proximity_at_rest(make_state):
    assert {name: term.item() for name, term in terms_of(make_state(1)).items() if term.item()} == {"proximity": 2.0}


@pytest.mark.parametrize(("rotated", "speed"), [(0.05, 1.0), (-0.05, -1.0), (0.2, 4.0), (1.0, 4.0), (-1.0, -4.0)])
def test_rotate_is_the_clipped_speed(make_state, rotated, speed):
    assert terms_of(make_state(1), rotated=rotated)["rotate"].item() == pytest.approx(6.0 * speed)
    assert terms_of(make_state(1), SCREWDRIVER, rotated)["rotate"].item() == pytest.approx(2.5 * speed)


def test_proximity_falls_with_the_mean_distance_of_thumb_and_index(make_state):
    tips = torch.full((1, 5, 3), 9.0)  # far away, which must not matter for the other three
    tips[0, 0] = torch.tensor([1.0, 2.0, 3.021])
    tips[0, 1] = torch.tensor([1.0, 2.035, 3.0])
    state = make_state(1, tip_pos=tips, nut_pos=[1.0, 2.0, 3.0])
    assert terms_of(state)["proximity"].item() == pytest.approx(2.0 * (1 - 0.028 / 0.07), rel=1e-4)
    assert terms_of(state, SCREWDRIVER)["proximity"].item() == pytest.approx(2.0 * (1 - 0.028 / 0.1), rel=1e-4)
    torch.testing.assert_close(tip_distance(state), torch.tensor([[0.021, 0.035]]))


def test_proximity_is_never_negative(make_state):
    assert terms_of(make_state(1, nut_pos=[1.0, 0.0, 0.0]))["proximity"].item() == 0.0


def test_pose_leaves_the_thumb_out(make_state):
    start = torch.linspace(-0.5, 0.6, 12)
    bent = torch.zeros(12)
    bent[[0, 4, 8]] = torch.tensor([0.1, -0.2, 0.3])
    bent[9:] = 5.0
    terms = terms_of(make_state(1, joint_pos=start + bent), start_pose=start)
    assert terms["pose"].item() == pytest.approx(-0.5 * 0.14, rel=1e-4)
    terms = terms_of(make_state(1, joint_pos=start + bent), SCREWDRIVER, start_pose=start)
    assert terms["pose"].item() == pytest.approx(-0.1 * 0.14, rel=1e-4)


def test_torque_is_the_sum_of_squares(make_state):
    torque = torch.zeros(12)
    torque[[0, 11]] = torch.tensor([0.3, -0.4])
    assert terms_of(make_state(1, torque=torque))["torque"].item() == pytest.approx(-0.1 * 0.25)
    assert terms_of(make_state(1, torque=torque), SCREWDRIVER)["torque"].item() == pytest.approx(-3.0 * 0.25)


def test_work_is_the_square_of_the_summed_power(make_state):
    torque, velocity = torch.zeros(12), torch.zeros(12)
    torque[:2], velocity[:2] = torch.tensor([0.5, -0.2]), torch.tensor([2.0, 10.0])  # 1 W, and 2 W of braking
    assert terms_of(make_state(1, torque=torque, joint_vel=velocity))["work"].item() == pytest.approx(-0.01 * 9.0)


@pytest.mark.parametrize(("speed", "cost"), [(9.0, 0.0), (10.0, 0.0), (12.0, -0.6), (-50.0, 0.0)])
def test_overspeed_costs_above_the_threshold(make_state, speed, cost):
    assert terms_of(make_state(1), rotated=speed * 0.05)["overspeed"].item() == pytest.approx(cost, abs=1e-5)


@pytest.mark.parametrize(("extent", "cost"), [(0.029, 0.0), (0.05, -0.05)])
def test_height_is_the_vertical_extent_above_its_threshold(make_state, extent, cost):
    points = torch.zeros(1, 100, 3)
    points[0, 7, 2], points[0, 8, 2] = 0.2, 0.2 - extent
    points[0, :, 0] = torch.linspace(-1, 1, 100)  # horizontal extent must not matter
    points[0, 9:, 2] = points[0, :7, 2] = 0.2
    assert terms_of(make_state(1), points=points)["height"].item() == pytest.approx(cost, abs=1e-6)


def test_height_follows_the_orientation_of_the_nut(make_state):
    points = torch.zeros(1, 100, 3)
    points[0, 0, 0] = 0.08  # 8 cm along x, which a rotation by -90 degrees about y makes vertical
    state = make_state(1, nut_quat=[2**-0.5, 0.0, -(2**-0.5), 0.0])
    assert terms_of(state, points=points)["height"].item() == pytest.approx(-0.08, rel=1e-4)


def test_environments_do_not_mix(make_state):
    torque = torch.zeros(2, 12)
    torque[1] = 1.0
    assert terms_of(make_state(2, torque=torque))["torque"].tolist() == pytest.approx([0.0, -1.2])


@pytest.mark.parametrize(
    ("steps", "threshold"),
    [
        (0, 7.5),
        (30e6, 7.5),
        (31.4e6, 7.5),
        (31.5e6, 7.875),
        (32.9e6, 7.875),
        (33e6, 8.25),
        (45e6, 11.25),
        (46.4e6, 11.25),
        (59.9e6, 14.625),
        (60e6, 15.0),
        (1e12, 15.0),
    ],
)
def test_overspeed_threshold_moves_in_stages_of_5_percent(steps, threshold):
    assert overspeed_threshold(SCREWDRIVER, steps) == pytest.approx(threshold)


def test_overspeed_threshold_of_the_nut_stays():
    assert {overspeed_threshold(NUT, steps) for steps in (0, 31e6, 45e6, 1e9)} == {10.0}


def test_every_stage_of_the_curriculum_is_reached():
    task = replace(SCREWDRIVER, overspeed_curriculum=(0.0, 100.0), overspeed_threshold=(0.0, 1.0))
    stages = [overspeed_threshold(task, steps) for steps in range(101)]
    assert stages == sorted(stages)
    assert sorted(set(stages)) == pytest.approx([k / 20 for k in range(21)])
    assert stages[::5] == pytest.approx([k / 20 for k in range(21)])
