from __future__ import annotations

import numpy as np
import pytest

from real.robot import Sight
from real.teleop.operator import Scene
from real.teleop.scripted import ScriptedOperator
from real.teleop.strokes import MIDDLE, SWEEP, StrokesOperator
from real.teleop.tutor import Tutor

GRIP = np.array([0.5, 0.1, 0.3])


def scene(time, *, lean=0.0, sunk=0.0, beside=0.0, turns=None):
    """A driver that leans along x (rad) and went down, and a wrist that is beside its start along y (m)."""
    axis = np.array([np.sin(lean), 0.0, np.cos(lean)])
    grip = GRIP + np.array([0.08 * lean, 0.0, -sunk])
    wrist = np.array([0.6, 0.1 + beside, 0.4, 0.0, 0.0, 0.0])
    turns = 0.2 * time if turns is None else turns
    return Scene(time=time, wrist=wrist, sight=Sight(grip, axis, np.zeros((5, 3))), turns=turns, needed=25.0)


def moved(operator, seconds=15.0, **state):
    """Sum of the nudges (3,) of an operator who sees the same all the time, but that it turns (m)."""
    orders = [operator.orders(scene(0.05 * k, **state)) for k in range(round(20 * seconds))]
    assert orders[-1].skill
    return 0.05 * np.sum([order.nudge[:3] for order in orders], 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_scripted_operator_rights_a_driver_that_leans_and_leaves_one_that_stands(seed):
    assert moved(ScriptedOperator(seed), lean=0.1)[0] < -0.005
    assert moved(ScriptedOperator(seed), lean=-0.1)[0] > 0.005
    np.testing.assert_allclose(moved(ScriptedOperator(seed), lean=0.02)[:2], 0, atol=1e-9)  # in its free play


@pytest.mark.parametrize("seed", range(3))
def test_the_scripted_operator_does_not_follow_a_lean_away_from_the_driver(seed):
    away = moved(ScriptedOperator(seed), seconds=60.0, lean=0.1)
    assert -0.02 < away[0] < -0.005  # a centimetre, and taps that went the wrong way


@pytest.mark.parametrize("seed", range(5))
def test_the_scripted_operator_comes_over_the_object_then_down_and_closes_the_hand(seed):
    hold = np.array([0.1, 0.0, 0.1])
    operator, off, orders, ways = ScriptedOperator(seed, hold=hold), np.array([0.008, -0.006, 0.05]), [], []
    while not (orders and orders[-1].skill):
        seen = scene(0.05 * len(orders), turns=0.0)
        seen.wrist[:3] = GRIP + hold + off
        orders.append(operator.orders(seen))
        ways.append(off)
        off = off + 0.05 * orders[-1].nudge[:3]
    assert len(orders) < 300
    assert np.linalg.norm(off) < 0.006, "about what it sees wrongly"
    sideways = np.linalg.norm(np.array(ways)[:, :2], axis=1)
    assert sideways[np.array(ways)[:, 2] < 0.045].max() < 0.006, "it does not come down beside the object"
    closing = [order.hand == "grasp" for order in orders]
    first = closing.index(True)
    assert first > 40 and all(closing[first:-1]) and not any(order.nudge.any() for order in orders[first:])


def stands_still(seconds, **about):
    """Orders of an operator who sees that nothing turns."""
    operator = ScriptedOperator(1, **about)
    return [operator.orders(scene(0.05 * k, turns=0.0)) for k in range(round(20 * seconds))]


def restarts(orders):
    opens = np.array([order.hand == "release" for order in orders])
    return np.flatnonzero(opens[1:] & ~opens[:-1]) / 20


def test_the_scripted_operator_opens_the_hand_soon_and_often_around_an_object_that_stays():
    stays, falls = restarts(stands_still(50, stays=True)), restarts(stands_still(50))
    assert stays[0] < 8 and len(stays) > 10
    assert falls[0] > 12 and 0 < len(falls) <= 3
    assert np.diff(stays).min() < stays[0]  # it waits less where it stopped before


def test_the_scripted_operator_turns_forward_with_an_open_hand_only():
    orders = stands_still(58, stays=True)
    forward = [order for order in orders if order.nudge[5] < 0]
    assert forward and all(order.hand == "release" and not order.skill for order in forward)
    assert any(order.nudge[5] > 0 and order.skill for order in orders)
    angle = 0.05 * np.cumsum([order.nudge[5] for order in orders])
    assert angle.min() > -0.01 and angle.max() < 1.2


@pytest.mark.parametrize("stays", [True, False])
def test_the_scripted_operator_gives_up_where_nothing_turns_for_two_minutes(stays):
    marks = [order.mark for order in stands_still(150, stays=stays)]
    assert "failure" in marks and 120 <= marks.index("failure") / 20 < 140
    operator = ScriptedOperator(1, stays=stays)
    assert not any(operator.orders(scene(0.05 * k)).mark for k in range(2000))


def test_the_operator_by_strokes_gives_up_likewise():
    operator = StrokesOperator(1)
    marks = []
    while "failure" not in marks and len(marks) < 3000:
        marks.append(operator.orders(scene(0.05 * len(marks), turns=0.0)).mark)
    assert 120 <= marks.index("failure") / 20 < 140
    operator = StrokesOperator(1)
    assert not any(operator.orders(scene(0.05 * k)).mark for k in range(3000))


def test_the_tutor_follows_down_comes_back_over_the_object_and_does_not_follow_a_lean():
    def speed(**state):
        tutor = Tutor()
        tutor.orders(scene(0.0))
        return tutor.orders(scene(1.0, **state)).nudge[:3]

    np.testing.assert_allclose(speed(), 0, atol=1e-12)
    np.testing.assert_allclose(speed(sunk=0.002), [0, 0, -0.004], atol=1e-12)
    np.testing.assert_allclose(speed(beside=0.002), 0, atol=1e-12)
    np.testing.assert_allclose(speed(beside=0.006), [0, -0.004, 0], atol=1e-12)
    np.testing.assert_allclose(speed(lean=0.1), 0, atol=1e-12)
    assert np.abs(speed(sunk=1.0)).max() == pytest.approx(0.02)  # no faster than a person taps


def test_the_tutor_searches_in_a_circle_while_nothing_turns_and_stays_where_it_does():
    tutor, here, places = Tutor(), np.zeros(2), []
    for k in range(600):
        seen = scene(0.05 * k, turns=0.0 if k < 500 else 0.01 * k)
        seen.wrist[:2] += here
        nudge = tutor.orders(seen).nudge[:3]
        assert nudge[2] == 0
        here = here + 0.05 * nudge[:2]
        places.append(here)
    assert not np.any(places[:45]), "it waits before it searches"
    circle = np.array(places[200:500])
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), 0.004, atol=0.0005)
    assert circle.min() < -0.003 and circle.max() > 0.003, "it goes all the way around"
    np.testing.assert_allclose(places[-1], places[-50], atol=1e-4)  # it turns there
    assert np.linalg.norm(places[-1]) > 0.003


def test_the_tutor_runs_the_skill_after_the_clone_has_felt_what_rest_is():
    tutor = Tutor()
    on = [tutor.orders(scene(0.05 * k)).skill for k in range(20)]
    assert on == [False] * 8 + [True] * 12


def test_the_tutor_works_by_strokes_around_what_stays_and_brings_the_wrist_back():
    tutor = Tutor(stays=True)
    orders = [tutor.orders(scene(0.05 * k)) for k in range(50)]
    assert not any(order.moves_wrist or order.skill for order in orders[:8])
    assert all(order.skill and order.nudge[2] < 0 for order in orders[8:38]) and orders[38].hand == "release"
    led = scene(2.5, beside=0.003)
    led.wrist[5] = 0.05
    nudge = tutor.orders(led).nudge
    np.testing.assert_allclose(nudge[[0, 1, 3, 4, 5]], [0, -0.006, 0, 0, -0.05], atol=1e-9)
    for sunk, speed in ((MIDDLE + SWEEP + 0.01, -0.0024 - 0.005), (MIDDLE - SWEEP - 0.02, 0.0024 + 0.01)):
        tutor = Tutor(stays=True)
        seen = [scene(0.0), scene(1.0, sunk=sunk), scene(1.05, sunk=sunk)]  # two steps to know which way to sweep
        assert [tutor.orders(state) for state in seen][-1].nudge[2] == pytest.approx(speed)


def widest(operator):
    """How far (m) a hand opens at most, over a minute, that opens and closes by a centimetre in a control step."""
    apart, most = 0.1, 0.0
    for k in range(1200):
        seen = scene(0.05 * k)
        seen.sight.tips[1:, 0] = apart
        hand = operator.orders(seen).hand
        apart += {"release": 0.01, "squeeze": -0.01}.get(hand, 0.0)
        apart = max(apart, 0.08)
        most = max(most, apart - 0.1)
    return most


def test_the_tutor_opens_the_hand_as_far_as_the_operator_of_the_demonstrations():
    wide = [widest(StrokesOperator(seed)) for seed in range(5)]
    assert abs(widest(Tutor(stays=True)) - np.mean(wide)) < 0.015, wide
