"""The recess against closed forms. A driver of mass m has its centre of mass h over its tip."""

from __future__ import annotations

import math
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from real.twin.objects.recess import FORMS, RecessParameters
from real.twin.objects.screwdriver import CENTER_OF_MASS, ScrewdriverParameters

UPRIGHT = ScrewdriverParameters(start_tilt=0.0, ripple=0.0, breakaway=1.0)
STUCK = replace(UPRIGHT, running_torque=10.0)
"""A screw that does not turn."""
WEIGHT = UPRIGHT.mass * 9.81
FOOT_ANGLE = math.atan(UPRIGHT.tip_contact_radius / CENTER_OF_MASS)
FORMS_WITH_WALLS = ("hex", "torx")


class Hand:
    """Pushes a driver at a height over its tip, turns it clockwise about its axis, and tilts it by a couple."""

    def __init__(self, bench):
        self.bench, self.body = bench, bench.model.body("driver").id
        self.force, self.height, self.torque, self.upright = np.zeros(3), CENTER_OF_MASS, 0.0, False
        self.couple = self.damping = 0.0
        self.velocity = np.zeros(6)

    def run(self, seconds):
        data = self.bench.data
        for _ in range(round(seconds / self.bench.model.opt.timestep)):
            axis = data.xmat[self.body].reshape(3, 3)[:, 2]
            arm = data.xpos[self.body] + axis * self.height - data.xipos[self.body]
            moment = np.cross(arm, self.force) - self.torque * axis
            mujoco.mj_objectVelocity(self.bench.model, data, mujoco.mjtObj.mjOBJ_BODY, self.body, self.velocity, 0)
            spin = self.velocity[:3]
            moment += [0.0, self.couple, 0.0] - np.array([self.damping, self.damping, 0.0]) * spin
            if self.upright:
                moment += 2.0 * np.cross(axis, [0.0, 0.0, 1.0]) - [0.03, 0.03, 1e-3] * spin
            data.xfrc_applied[self.body] = [*self.force, *moment]
            self.bench.step()


@pytest.fixture
def driver(driver_bench):
    """Build a driver that nobody holds: its recess, and a hand."""

    def build(parameters):
        bench = driver_bench(parameters)
        return bench.object, Hand(bench)

    return build


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("direction", [0.0, 0.4, math.pi / 8, 2.0])
def test_an_unheld_driver_stands_on_its_foot(driver, form, direction):
    leaning = replace(UPRIGHT, recess=form, clearance=1e-4, start_tilt=math.radians(0.5), start_direction=direction)
    screwdriver, hand = driver(leaning)
    hand.run(3.0)
    assert screwdriver.lost is None
    assert screwdriver.recess.tilt < math.radians(0.6)
    assert screwdriver.recess.force == pytest.approx(WEIGHT, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("direction", np.linspace(0.0, 2 * math.pi, 7))
def test_the_foot_holds_up_to_its_angle(driver, form, direction):
    if form == "slotted":
        direction = 0.0  # along the slot
    for factor, stands in ((0.9, True), (1.1, False)):
        lean = replace(UPRIGHT, recess=form, clearance=2e-4, recess_depth=0.002,
                       start_tilt=factor * FOOT_ANGLE, start_direction=direction)  # fmt: skip
        screwdriver, hand = driver(lean)
        hand.run(2.0)
        assert (screwdriver.recess.tilt < FOOT_ANGLE and not screwdriver.lost) == stands


@pytest.mark.parametrize("form", FORMS_WITH_WALLS)
def test_beyond_it_a_driver_leans_on_the_walls(driver, form):
    parameters = replace(UPRIGHT, recess=form, clearance=1e-4, start_tilt=1.2 * FOOT_ANGLE)
    screwdriver, hand = driver(parameters)
    hand.run(5.0)
    assert screwdriver.lost is None and screwdriver.recess.seated
    assert screwdriver.recess.tilt == pytest.approx(parameters.free_play(), rel=0.1)
    leaning = WEIGHT * (CENTER_OF_MASS * math.sin(screwdriver.recess.tilt) - UPRIGHT.tip_contact_radius)
    assert screwdriver.recess.moment == pytest.approx(leaning, rel=0.3)  # it still rocks a little


def test_beyond_it_a_driver_falls_out_of_a_phillips_recess(driver):
    screwdriver, hand = driver(replace(UPRIGHT, recess="phillips", start_tilt=1.2 * FOOT_ANGLE))
    hand.run(2.0)
    assert screwdriver.lost in ("the screwdriver fell", "the tip left the recess")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS_WITH_WALLS)
@pytest.mark.parametrize("clearance", [2e-5, 7e-5, 1.2e-4])
@pytest.mark.parametrize("direction", [0.0, 0.3, 2.2])
def test_a_push_tilts_it_by_its_free_play_and_hardly_more(driver, form, clearance, direction):
    parameters = replace(UPRIGHT, recess=form, clearance=clearance)
    screwdriver, hand = driver(parameters)
    hand.force, hand.height = 3.0 * np.array([math.cos(direction), math.sin(direction), 0.0]), 0.1
    hand.run(2.0)
    assert screwdriver.lost is None
    tilt, play = screwdriver.recess.tilt, math.atan(clearance / parameters.recess_depth)
    assert 0.98 * play < tilt < play + math.radians(0.5)
    assert screwdriver.recess.moment == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize(("form", "direction"), [("phillips", 0.0), ("slotted", 0.0)])
def test_a_push_topples_what_only_axial_force_would_hold(driver, form, direction):
    screwdriver, hand = driver(replace(UPRIGHT, recess=form))
    hand.force, hand.height = 3.0 * np.array([math.cos(direction), math.sin(direction), 0.0]), 0.1
    hand.run(1.0)
    assert screwdriver.lost is not None


@pytest.mark.slow
@pytest.mark.parametrize("force", [2.0, 5.0, 10.0])
def test_a_phillips_recess_holds_a_moment_proportional_to_the_axial_force(driver, force):
    screwdriver, hand = driver(replace(STUCK, recess="phillips"))
    hand.height, hand.damping = 0.0, 0.2
    while screwdriver.recess.seated and hand.couple < 1.0:  # so slowly that it does not knock against the flanks
        hand.couple += 2e-4
        hand.force = np.array([0.0, 0.0, -force])
        hand.run(0.01)
    gravity = WEIGHT * CENTER_OF_MASS * math.sin(screwdriver.parameters.cone_play)
    foot = (force + WEIGHT) * UPRIGHT.tip_contact_radius
    held = screwdriver.parameters.cone_moment * (force + WEIGHT)
    assert hand.couple + gravity - foot == pytest.approx(held, rel=0.1)


@pytest.mark.parametrize("form", [*FORMS_WITH_WALLS, "slotted"])
def test_walls_turn_the_screw_without_axial_force(driver, form):
    screwdriver, hand = driver(replace(UPRIGHT, recess=form, running_torque=0.025))
    hand.torque, hand.upright = 0.03, True
    hand.run(1.0)
    assert screwdriver.turns > 0.5 and screwdriver.lost is None and screwdriver.recess.slips == 0
    assert -hand.bench.position("screw_z") == pytest.approx(UPRIGHT.lead * screwdriver.turns, abs=3e-5)


def test_the_same_torque_cams_out_of_a_phillips_recess(driver):
    screwdriver, hand = driver(replace(UPRIGHT, recess="phillips", running_torque=0.025))
    hand.torque, hand.upright = 0.03, True
    hand.run(1.0)
    assert screwdriver.recess.slips > 0 or screwdriver.recess.ahead > math.radians(20)
    assert screwdriver.turns < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("form", "kappa"), [("phillips", UPRIGHT.cone_torque), ("slotted", UPRIGHT.blade_torque)])
def test_cam_out_torque_is_proportional_to_axial_force(driver, form, kappa):
    for force in (5.0, 10.0, 20.0):
        screwdriver, hand = driver(replace(STUCK, recess=form, blade="tapered"))
        hand.upright, hand.height, hand.force = True, 0.0, np.array([0.0, 0.0, -force])
        hand.run(0.1)
        held = kappa * (force + WEIGHT)
        while screwdriver.recess.ahead < UPRIGHT.backlash + math.radians(2) and hand.torque < 2 * held:
            hand.torque += held / 250
            hand.run(0.01)
        assert hand.torque == pytest.approx(held, rel=0.1)


def test_a_tip_that_cams_out_ends_in_the_next_seat(driver):
    screwdriver, hand = driver(replace(STUCK, recess="phillips"))
    hand.upright, hand.force, hand.torque = True, np.array([0.0, 0.0, -10.0]), 0.2
    while not screwdriver.recess.ahead > math.radians(20):
        hand.run(0.002)
    hand.torque = 0.01  # enough to turn the loose tip, not to cam out again
    hand.run(1.5)
    assert screwdriver.recess.slips == 1
    assert abs(screwdriver.recess.ahead) < STUCK.backlash + math.radians(1)


@pytest.mark.slow
@pytest.mark.parametrize(("push", "torque"), [(0.0, 0.0), (1.0, 0.0), (0.0, 0.03), (0.5, 0.05)])
@pytest.mark.parametrize("friction", [0.1, 0.25])
def test_friction_of_the_walls_resists_the_lift(driver, push, torque, friction):
    screwdriver, hand = driver(parameters := replace(STUCK, tip_friction=friction))
    hand.force, hand.height, hand.torque = np.array([push, 0.0, 0.0]), 0.1, torque
    hand.run(1.0)
    moment = max(push * 0.1 + WEIGHT * CENTER_OF_MASS * math.sin(screwdriver.recess.tilt) - WEIGHT * 0.0016, 0.0)
    if push == 0.0:
        moment = 0.0
    held = friction * (2 * moment / parameters.recess_depth + 2 * torque / parameters.tip_contact_radius) + WEIGHT
    pull = 0.0
    while screwdriver.recess.seated and pull < 2 * held:
        pull += held / 200
        # The pull goes through the tip, so that it does not right the driver.
        hand.bench.data.qfrc_applied[hand.bench.model.joint("lift").dofadr[0]] = pull
        hand.run(0.01)
    assert pull == pytest.approx(held, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("degrees", [1.0, 4.0])
def test_backlash_is_what_was_drawn_both_ways(driver, form, degrees):
    screwdriver, hand = driver(replace(STUCK, recess=form, backlash=math.radians(degrees)))
    hand.upright, hand.force = True, np.array([0.0, 0.0, -3.0])
    ends = []
    for hand.torque in (0.01, -0.01, 0.01):
        hand.run(0.5)
        ends.append(screwdriver.recess.ahead)
    assert ends == pytest.approx([math.radians(degrees * sign) for sign in (1, -1, 1)], rel=0.05)


@pytest.mark.parametrize("depth, friction", [(0.002, 0.1), (0.003, 0.25)])
@pytest.mark.parametrize("form", ["hex", "phillips"])
def test_no_sideways_force_moves_the_tip_off_the_axis(driver, depth, friction, form):
    screwdriver, hand = driver(replace(STUCK, recess=form, recess_depth=depth, tip_friction=friction))
    hand.upright, hand.height = True, 0.0
    for force in np.linspace(0.0, 15.0, 50):
        hand.force = np.array([force, 0.3 * force, -0.5])
        hand.run(0.01)
    assert math.hypot(hand.bench.position("tip_x"), hand.bench.position("tip_y")) < 1e-4
    assert screwdriver.lost is None


@pytest.mark.parametrize("direction, lost", [((1.0, 0.0), "the tip left the recess"), ((0.0, 1.0), None)])
def test_a_tip_leaves_a_slot_along_it_and_not_across(driver, direction, lost):
    screwdriver, hand = driver(replace(STUCK, recess="slotted"))
    hand.upright, hand.height = True, 0.0
    for force in np.linspace(0.0, 5.0, 100):
        hand.force = np.array([*(force * np.array(direction)), -3.0])
        hand.run(0.01)
    assert screwdriver.lost == lost


def test_a_tip_that_hops_out_and_falls_back_is_seated_again(driver):
    screwdriver, hand = driver(UPRIGHT)
    hand.upright, hand.force = True, np.array([0.0, 0.0, 0.7])
    while screwdriver.recess.seated:
        hand.run(0.002)
    hand.force = np.array([0.0, 0.0, -3.0])
    hand.run(0.2)
    assert screwdriver.recess.seated and screwdriver.lost is None
    hand.torque = 0.012
    hand.run(1.0)
    assert screwdriver.turns > 0.3


def test_a_driver_lifted_out_is_lost_and_upsets_nothing(driver):
    screwdriver, hand = driver(UPRIGHT)
    hand.force = np.array([0.0, 0.0, 1.0])
    hand.run(0.25)
    assert screwdriver.lost is None
    hand.run(0.25)
    assert screwdriver.lost == "the tip left the recess"
    hand.force = np.array([0.05, 0.02, 0.0])
    hand.run(10.0)
    assert np.isfinite(hand.bench.data.qvel).all() and not hand.bench.data.warning.number.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "force", "height", "torque"),
    [
        ({}, (1.0, 0.0, 3.0), 0.09, 0.0),  # half of what lifts it
        ({}, (0.5, 0.5, -2.0), 0.09, 0.03),
        ({"running_torque": 0.02}, (0.0, 0.0, -1.0), 0.0, 0.015),
        ({"recess": "slotted"}, (0.3, 1.0, -3.0), 0.0, 0.0),
    ],
)
def test_nothing_creeps_in_three_minutes(driver, changes, force, height, torque):
    screwdriver, hand = driver(replace(STUCK, **changes))
    hand.height, hand.torque = height, torque
    hand.force = np.array([*force[:2], min(force[2], 0.0)])  # what lifts it comes when the walls are loaded
    hand.run(1.0)
    hand.force = np.array(force)
    hand.run(1.0)
    names = {"screw": 1.0, "twist": 1.0, "tilt_x": 1.0, "tilt_y": 1.0, "lift": 0.0, "tip_x": 0.0, "tip_y": 0.0}
    before = {name: hand.bench.position(name) for name in names}
    hand.run(60.0)  # a third of the time, and of what is allowed
    for name, angle in names.items():
        moved = abs(hand.bench.position(name) - before[name])
        assert moved < (math.radians(2.0) if angle else 2e-4) / 3, name
    assert screwdriver.lost is None


@pytest.mark.parametrize(("stratum", "low", "high"), [("easy", 0.0, 1.5), ("nominal", 0.38, 3.45), ("hard", 2.0, 3.45)])
def test_free_play_of_the_strata(stratum, low, high):
    rng = np.random.default_rng(0)
    drawn = [ScrewdriverParameters.draw(rng, stratum) for _ in range(200)]
    assert {item.recess for item in drawn} == {"hex", "torx"}
    play = [math.degrees(item.free_play()) for item in drawn]
    assert low <= min(play) and max(play) <= high


def test_the_extreme_stratum_has_what_nobody_finishes():
    rng = np.random.default_rng(0)
    drawn = [ScrewdriverParameters.draw(rng, "extreme") for _ in range(100)]
    assert {item.recess for item in drawn} == {"phillips", "slotted"}


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_blade_beyond_the_end_of_its_slot_stays_out(driver, direction):
    screwdriver, hand = driver(replace(STUCK, recess="slotted"))
    hand.upright, hand.height, hand.force = True, 0.0, np.array([2.0 * direction, 0.0, -3.0])
    seated = []
    while not screwdriver.lost and hand.bench.data.time < 3.0:
        hand.run(0.002)
        seated.append(screwdriver.recess.seated)
    assert screwdriver.lost and np.count_nonzero(np.diff(seated)) == 1


def test_an_unknown_recess_is_refused():
    with pytest.raises(ValueError, match="unknown recess 'cross'; choose from hex, torx, slotted, phillips"):
        RecessParameters(recess="cross")
