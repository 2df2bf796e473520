from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from test_recess import STUCK, UPRIGHT, Hand

from real.twin.objects.screwdriver import FLOOR_HEIGHT, SHAPES, ScrewdriverParameters


def test_an_upright_driver_with_axial_load_turns_the_screw_down(driver_bench):
    bench = driver_bench(UPRIGHT)
    hand = Hand(bench)
    hand.upright, hand.height, hand.force = True, 0.0, np.array([0.0, 0.0, -10.0])
    hand.run(0.1)
    hand.torque = 0.03
    hand.run(2.0)
    assert bench.object.turns > 1.0
    assert bench.object.recess.slips == 0 and bench.object.lost is None
    assert -bench.position("screw_z") == pytest.approx(UPRIGHT.lead * bench.object.turns, abs=3e-5)
    assert bench.object.recess.tilt < math.radians(0.5)


def test_the_start_lean_is_at_most_the_free_play(driver_bench):
    parameters = replace(STUCK, clearance=2e-5, start_tilt=math.radians(1.0))
    bench = driver_bench(parameters)
    assert 0.9 * parameters.free_play() < bench.object.recess.tilt < parameters.free_play()


@pytest.mark.parametrize("lift", [0.0, 4.0])
def test_a_person_keeps_the_tip_in_and_follows_the_screw_down(driver_bench, lift):
    bench = driver_bench(replace(UPRIGHT, hold_time=10.0), held=True)
    hand = Hand(bench)
    hand.upright = True
    for force in np.linspace(0.0, lift, 20):
        hand.force = np.array([0.0, 0.0, force])
        hand.run(0.02)
    for hand.torque in np.linspace(0.0, 0.015, 20):
        hand.run(0.05)
    hand.run(1.0)
    assert bench.object.turns > 0.5 and bench.object.recess.slips == 0
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
    bench = driver_bench(replace(UPRIGHT, turns=2.0))
    hand = Hand(bench)
    hand.upright, hand.height, hand.force, hand.torque = True, 0.0, np.array([0.0, 0.0, -10.0]), 0.03
    hand.run(3.0)
    assert bench.object.finished and bench.object.lost is None
    assert bench.object.turns == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_handle_has_the_driver_s_mass_and_centre(driver_bench, shape):
    bench = driver_bench(UPRIGHT, shape)
    assert bench.model.body("driver").mass == pytest.approx(UPRIGHT.mass)
    assert bench.data.subtree_com[bench.model.body("driver").id, 2] == pytest.approx(0.09 - 0.03)


def test_it_is_known_when_the_person_lets_go(driver_bench):
    bench = driver_bench(ScrewdriverParameters(hold_time=0.5), held=True)
    assert bench.object.released is None
    for _ in range(300):
        bench.step()
    assert bench.object.released == pytest.approx(0.5, abs=0.01)
