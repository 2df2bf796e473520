from __future__ import annotations

import numpy as np
import pytest

from real.teleop.collect import demonstrate
from real.teleop.setup import Setup
from real.teleop.strokes import MIDDLE, SWEEP, Strokes


def run(strokes, steps, over=0.0, spread=0.0):
    """Let a hand that does as it is told work by strokes; give what was ordered, row by row."""
    rows = []
    for _ in range(steps):
        orders = strokes.orders(over, spread)
        rows.append((orders.skill, orders.hand, over, spread))
        over += 0.05 * orders.nudge[2]
        spread += 0.005 * ((orders.hand == "release") - (orders.hand == "squeeze"))
    return rows


def test_it_turns_lets_go_and_takes_hold_again():
    rows = run(Strokes(), 400)
    kinds = ["turn" if skill else hand for skill, hand, _, _ in rows]
    changes = [k for k in range(1, 400) if kinds[k] != kinds[k - 1]]
    order = [kinds[0], *(kinds[k] for k in changes)]
    assert order[:7] == ["turn", "release", "squeeze", "turn", "release", "squeeze", "turn"]
    assert changes[0] == 30 and changes[3] - changes[2] == 30
    spreads = [spread for _, _, _, spread in rows]
    assert 0.03 < max(spreads) < 0.04 and min(spreads) >= 0.0


def test_it_sweeps_as_far_up_as_down():
    heights = np.array([over for _, _, over, _ in run(Strokes(), 800)]) - MIDDLE
    assert heights.min() == pytest.approx(-SWEEP, abs=4e-4) and heights.max() == pytest.approx(SWEEP, abs=4e-4)
    assert np.abs(np.diff(heights)).max() == pytest.approx(0.00012)
    turning = np.flatnonzero(np.diff(np.sign(np.diff(heights))))
    np.testing.assert_allclose(np.diff(turning), 2 * SWEEP / 0.00012, atol=4)


def test_it_goes_on_from_where_something_else_has_led_the_hand():
    strokes = Strokes()
    run(strokes, 10)
    assert strokes.orders(MIDDLE - 0.001, 0.025).hand == "release"  # half open is no place to turn from
    assert strokes.orders(MIDDLE - 0.001, 0.031).hand == "squeeze"
    assert strokes.orders(MIDDLE - 0.001, 0.009).skill
    down = strokes.orders(MIDDLE - 0.003, 0.0)
    assert down.nudge[2] < 0
    assert strokes.orders(MIDDLE - 0.0016, 0.0).nudge[2] < 0  # as a noisy wrist moves
    assert strokes.orders(MIDDLE - 0.0014, 0.0).nudge[2] > 0
    assert strokes.orders(0.02, 0.0).nudge[2] < 0 and strokes.orders(-0.02, 0.0).nudge[2] > 0


@pytest.mark.slow
def test_the_operator_turns_a_nut_and_is_fixed_by_its_seed():
    setup = Setup(task="nut", policy="nut-student", shape="square", seconds=12.0)
    first, again = (demonstrate(setup, 3, noisy=False, operator="strokes") for _ in range(2))
    assert first.outcome.turns > 0.5
    skill = np.array([row["skill"] for row in first.rows])
    assert 0.4 < skill.mean() < 0.9 and (np.diff(skill) == -1).sum() >= 3
    np.testing.assert_array_equal([row["asked_arm"] for row in first.rows], [row["asked_arm"] for row in again.rows])
