from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from real.twin.screwdriver import FLOOR_HEIGHT, SHAPES, ScrewdriverParameters

UPRIGHT = ScrewdriverParameters(start_tilt=0.0, ripple=0.0, breakaway=1.0)
STUCK = replace(UPRIGHT, running_torque=10.0)
"""A screw that does not turn."""
GRAVITY = 9.81


class Hand:
    """Presses the driver down and turns it clockwise with a torque; keeps it upright, unless let go; pushes its tip."""

    def __init__(self, bench, force):
        self.bench, self.force, self.torque, self.upright = bench, force, 0.0, True
        self.tip_push = np.zeros(3)
        self.body, self.tip = bench.model.body("driver").id, bench.model.site("seated_driver").id
        self.dofs = slice(*(int(bench.model.joint("driver").dofadr[0]) + k for k in (3, 6)))

    def run(self, seconds):
        data = self.bench.data
        for _ in range(round(seconds / self.bench.model.opt.timestep)):
            rotation = data.xmat[self.body].reshape(3, 3)
            spin = rotation @ data.qvel[self.dofs]
            wrench = np.array([0.0, 0.0, -self.torque])
            if self.upright:
                wrench += 2.0 * np.cross(rotation[:, 2], [0.0, 0.0, 1.0]) - 0.03 * spin * [1, 1, 0] - 1e-3 * spin
            wrench += np.cross(data.site_xpos[self.tip] - data.xipos[self.body], self.tip_push)
            data.xfrc_applied[self.body] = [*(self.tip_push - [0.0, 0.0, self.force]), *wrench]
            self.bench.step()


def cam_out_torque(bench, hand):
    """Turn ever harder until the tip slips; return the torque (N m)."""
    limit = 2 * bench.object.parameters.capacity * (hand.force + 1)
    while not bench.object.slips and hand.torque < limit:
        hand.torque += limit / 500
        hand.run(0.01)
        if abs(bench.object.ahead) > bench.object.parameters.backlash + math.radians(8):
            break
    return hand.torque


def test_an_upright_driver_with_axial_load_turns_the_screw_down(driver_bench):
    bench = driver_bench(UPRIGHT)
    hand = Hand(bench, 10.0)
    hand.run(0.1)
    hand.torque = 0.02
    hand.run(2.0)
    assert bench.object.turns > 1.0
    assert bench.object.slips == 0 and bench.object.lost is None
    assert -bench.position("screw_z") == pytest.approx(UPRIGHT.lead * bench.object.turns, abs=3e-5)
    assert bench.object.tilt < math.radians(0.5)


def test_without_axial_load_it_slips_instead(driver_bench):
    bench = driver_bench(replace(UPRIGHT, running_torque=0.03))
    hand = Hand(bench, 0.0)
    hand.torque = 0.02
    hand.run(2.0)
    assert bench.object.turns < 0.02
    assert bench.object.ahead > math.radians(10) or bench.object.slips


@pytest.mark.parametrize("recess", ["phillips", "slotted"])
def test_cam_out_torque_is_proportional_to_axial_force(driver_bench, recess):
    parameters = replace(STUCK, recess=recess)
    for force in (5.0, 10.0, 20.0):
        bench = driver_bench(parameters)
        hand = Hand(bench, force)
        hand.run(0.1)
        held = parameters.capacity * (force + parameters.mass * GRAVITY)
        assert cam_out_torque(bench, hand) == pytest.approx(held, rel=0.05)


def test_a_slip_ends_in_the_next_seat(driver_bench):
    bench = driver_bench(STUCK)
    hand = Hand(bench, 10.0)
    hand.run(0.1)
    cam_out_torque(bench, hand)
    hand.torque = 0.01  # enough to turn the loose tip, not to slip again
    hand.run(1.5)
    assert bench.object.slips == 1
    assert abs(bench.object.ahead) < STUCK.backlash + math.radians(3)


def test_tilt_takes_the_recess_capacity_away(driver_bench):
    held = []
    for degrees in (0.0, 6.0, 13.0):
        bench = driver_bench(replace(STUCK, start_tilt=math.radians(degrees), backlash=0.0))
        bench.object.before_step()
        held.append(float(bench.model.pair_friction[bench.model.pair("tip").id, 2]))
    assert held[:2] == pytest.approx([STUCK.capacity, 0.75 * STUCK.capacity])  # 1 - (6 / 12)^2
    assert held[2] < 0.05 * STUCK.capacity


def test_an_unheld_driver_falls(driver_bench):
    bench = driver_bench(ScrewdriverParameters())
    for _ in range(500):
        bench.step()
        if bench.object.lost:
            break
    assert bench.object.lost == "the screwdriver fell"
    assert 0.1 < bench.data.time < 1.0  # some time constants of an inverted pendulum, 0.1 s each


def test_a_driver_lifted_out_is_lost(driver_bench):
    bench = driver_bench(UPRIGHT)
    hand = Hand(bench, -1.0)  # pulls up, with twice its weight
    hand.run(0.25)
    assert bench.object.lost is None
    hand.run(0.25)
    assert bench.object.lost == "the tip left the recess"


def ramp_sideways(bench, hand, direction, limit):
    """Push the tip sideways ever harder; return the largest distance from the axis of the recess (m)."""
    aside = []
    for force in np.linspace(0.0, limit, 100):
        hand.tip_push = force * np.array([*direction, 0.0])
        hand.run(0.01)
        aside.append(float(np.linalg.norm(bench.data.site_xpos[hand.tip, :2])))
    return max(aside)


@pytest.mark.parametrize("depth, friction", [(0.0015, 0.1), (0.002, 0.15), (0.0028, 0.25)])
@pytest.mark.parametrize("angle", [0.0, math.pi / 8])
@pytest.mark.parametrize("force", [0.5, 3.0])
def test_no_sideways_force_of_fingers_throws_the_tip_out(driver_bench, depth, friction, angle, force):
    bench = driver_bench(replace(STUCK, recess_depth=depth, tip_friction=friction))
    hand = Hand(bench, force)
    hand.run(0.1)
    assert ramp_sideways(bench, hand, (math.cos(angle), math.sin(angle)), 15.0) < 1e-4
    assert bench.object.lost is None


@pytest.mark.parametrize("direction, lost", [((1.0, 0.0), "the tip left the recess"), ((0.0, 1.0), None)])
def test_a_tip_leaves_a_slot_along_it_and_not_across(driver_bench, direction, lost):
    bench = driver_bench(replace(STUCK, recess="slotted"))
    hand = Hand(bench, 3.0)
    hand.run(0.1)
    ramp_sideways(bench, hand, direction, 5.0)
    assert bench.object.lost == lost


def test_a_tip_that_hops_out_and_falls_back_is_seated_again(driver_bench):
    bench = driver_bench(UPRIGHT)
    hand = Hand(bench, -0.7)
    seated = bench.model.equality("seated").id
    while bench.data.eq_active[seated]:
        hand.run(0.002)
    hand.force = 3.0
    hand.run(0.2)
    assert bench.data.eq_active[seated] and bench.object.lost is None
    hand.torque = 0.012
    hand.run(1.0)
    assert bench.object.turns > 0.3


def test_a_tip_that_turned_back_out_of_its_seat_finds_it_again(driver_bench):
    """As at every regrasp, when fingers drag a driver back that nobody presses down."""
    bench = driver_bench(replace(UPRIGHT, running_torque=0.02))
    hand = Hand(bench, 3.0)
    hand.run(0.1)
    hand.force, hand.torque = -0.4, -0.003
    while bench.object.ahead > -math.radians(45):
        hand.run(0.01)
    before = bench.object.turns
    hand.force, hand.torque = 5.0, 0.03
    hand.run(1.0)
    assert bench.object.slips == 0
    assert bench.object.turns > before + 0.2


@pytest.mark.parametrize("lift", [0.0, 4.0])
def test_a_person_keeps_the_tip_in_and_follows_the_screw_down(driver_bench, lift):
    bench = driver_bench(replace(UPRIGHT, hold_time=10.0), held=True)
    hand = Hand(bench, 0.0)
    for hand.force in np.linspace(0.0, -lift, 20):
        hand.run(0.02)
    for hand.torque in np.linspace(0.0, 0.015, 20):
        hand.run(0.05)
    hand.run(1.0)
    assert bench.object.turns > 0.5 and bench.object.slips == 0
    driver = bench.model.body("driver").id
    assert bench.data.xpos[driver, 2] == pytest.approx(FLOOR_HEIGHT + bench.position("screw_z"), abs=2e-4)


def test_torque_rises_over_the_turns_of_a_wood_screw(driver_bench):
    friction = []
    parameters = replace(UPRIGHT, torque_rise=0.05, turns=10.0)
    for turns in (0.0, 5.0):
        bench = driver_bench(parameters)
        bench.data.qpos[bench.model.joint("screw").qposadr[0]] = -2 * math.pi * turns
        bench.object.before_step()
        friction.append(float(bench.model.dof_frictionloss[bench.model.joint("screw").dofadr[0]]))
    assert friction[1] - friction[0] == pytest.approx(0.025)


def test_the_screw_sits_tight_after_its_turns(driver_bench):
    parameters = replace(UPRIGHT, turns=2.0, recess="hex")
    bench = driver_bench(parameters)
    hand = Hand(bench, 10.0)
    hand.torque = 0.03
    hand.run(3.0)
    assert bench.object.finished and bench.object.lost is None
    assert bench.object.turns == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_handle_has_the_driver_s_mass_and_centre(driver_bench, shape):
    bench = driver_bench(UPRIGHT, shape)
    assert bench.model.body("driver").mass == pytest.approx(UPRIGHT.mass)
    assert bench.data.subtree_com[bench.model.body("driver").id, 2] == pytest.approx(0.09 - 0.03)
