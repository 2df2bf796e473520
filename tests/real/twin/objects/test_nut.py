from __future__ import annotations

import math
from dataclasses import replace

import pytest

from real.twin.objects.nut import SHAPES, TURNS, NutParameters
from real.twin.objects.thread import FLANK

PLAIN = NutParameters(running_torque=1e-6, viscous=0.0, ripple=0.0, ripple_noise=0.0, breakaway=1.0)
"""A nut that has friction only from what presses on its flanks."""
GRAVITY = 9.81


def push(bench, newtons, seconds, *, wrench=None):
    """Press down on the nut for some time, while a wrench turns it at a speed (rad/s, positive loosens)."""
    for _ in range(round(seconds / bench.model.opt.timestep)):
        bench.data.xfrc_applied[bench.model.body("nut").id, 2] = -newtons
        if wrench is not None:
            bench.data.ctrl[0] = wrench
        bench.step()


@pytest.mark.parametrize("lead", [0.0015, 0.003, 0.004])
def test_a_perfect_wrench_drives_the_nut_down_by_the_lead_within_a_thousandth(nut_bench, lead):
    bench = nut_bench(NutParameters(lead=lead), wrench=True)
    push(bench, 0.0, 0.2, wrench=0.0)
    before, turns = bench.position("nut_z"), bench.object.turns
    push(bench, 0.0, 3.5, wrench=-4 * math.pi)
    push(bench, 0.0, 0.2, wrench=0.0)
    turned = bench.object.turns - turns
    assert turned > 6.9
    assert before - bench.position("nut_z") == pytest.approx(lead * turned, rel=1e-3)


@pytest.mark.parametrize("friction, turns", [(0.0, True), (0.03, True), (0.045, False), (0.35, False)])
def test_axial_force_alone_turns_the_nut_only_below_the_self_locking_friction(nut_bench, friction, turns):
    """The limit is tan(lead angle) cos(flank angle) = 0.0375."""
    bench = nut_bench(replace(PLAIN, friction=friction))
    push(bench, 20.0, 1.0)
    degrees = 360 * bench.object.turns
    assert degrees > 360 if turns else abs(degrees) < 2


@pytest.mark.parametrize("friction", [0.05, 0.15, 0.3])
@pytest.mark.parametrize("newtons", [5.0, 20.0])
def test_torque_against_axial_load_follows_the_closed_form(nut_bench, friction, newtons):
    """N r tan(phi +- lead angle) to raise and lower a load: Shigley, chapter 8."""
    parameters = replace(PLAIN, friction=friction)
    bench = nut_bench(parameters, wrench=True)
    measured = []
    for speed in (1.0, -1.0):
        push(bench, newtons, 0.5, wrench=speed)
        measured.append(speed * float(bench.data.actuator_force[0]))
    load, radius = newtons + parameters.mass * GRAVITY, parameters.thread.diameter / 2
    phi, angle = math.atan(friction / math.cos(FLANK)), parameters.thread.lead_angle
    raising, lowering = (load * radius * math.tan(phi + sign * angle) for sign in (1, -1))
    assert measured == pytest.approx([raising, lowering], rel=0.05)


def test_a_push_at_the_side_brakes_the_nut(nut_bench):
    torques = []
    for newtons in (0.0, 5.0):
        bench = nut_bench(NutParameters(ripple=0.0, ripple_noise=0.0), wrench=True)
        bench.data.xfrc_applied[bench.model.body("nut").id, 0] = newtons
        push(bench, 0.0, 0.5, wrench=-1.0)
        torques.append(-float(bench.data.actuator_force[0]))
    parameters = NutParameters()
    flank = parameters.friction / math.cos(FLANK) * parameters.thread.diameter / 2
    assert torques[1] - torques[0] == pytest.approx(5.0 * flank, rel=0.1)


def test_running_torque_needs_to_be_overcome(nut_bench):
    for torque, moves in ((0.5, False), (1.5, True)):
        parameters = NutParameters(ripple=0.0, ripple_noise=0.0, breakaway=1.0, friction=0.05)
        bench = nut_bench(parameters)
        bench.data.qfrc_applied[bench.model.joint("nut").dofadr[0]] = -torque * parameters.running_torque
        push(bench, 0.0, 0.1)
        assert (bench.object.turns > 0.05) == moves


def test_the_nut_sits_tight_after_its_turns(nut_bench):
    bench = nut_bench(NutParameters(), wrench=True)
    push(bench, 0.0, 3.9, wrench=-4 * math.pi)
    assert not bench.object.finished
    push(bench, 0.0, 0.3, wrench=-4 * math.pi)
    assert bench.object.finished and bench.object.lost is None
    assert -float(bench.data.actuator_force[0]) > 0.3  # far above what fingers can do
    assert bench.object.turns == pytest.approx(TURNS, abs=0.5)


def test_turned_back_too_far_it_comes_off(nut_bench):
    bench = nut_bench(NutParameters(), wrench=True)
    push(bench, 0.0, 1.5, wrench=4 * math.pi)
    assert bench.object.lost == "the nut came off the bolt"


@pytest.mark.parametrize("shape", SHAPES)
def test_every_nut_is_14_mm_thin(nut_bench, shape):
    model = nut_bench(NutParameters(), shape).model
    heights = [2 * model.geom_aabb[g, 3:].min() for g in range(model.ngeom) if model.geom(g).name.startswith("nut")]
    assert heights == pytest.approx([0.014] * len(heights))
