from __future__ import annotations

import numpy as np
import pytest

from real.robot import Sight
from real.teleop.operator import Scene
from real.teleop.relabel import Tutor
from real.teleop.scripted import ScriptedOperator

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
