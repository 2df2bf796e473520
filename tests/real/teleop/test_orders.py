from __future__ import annotations

import numpy as np
import pytest

from real.teleop.operator import Orders


def test_orders_by_default_ask_for_nothing():
    orders = Orders()
    assert orders.fresh and not orders.clutch and not orders.skill and not orders.nudge.any()
    assert (orders.hand, orders.mark) == ("hold", "")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"wrist": np.zeros(6)}, r"\(4, 4\)"),
        ({"wrist": np.diag([2.0, 1, 1, 1])}, "rotation"),
        ({"wrist": np.full((4, 4), np.nan)}, "finite"),
        ({"nudge": np.full(6, np.inf)}, "finite"),
        ({"nudge": np.zeros(3)}, r"\(6,\)"),
        ({"hand": "wave"}, "'grasp'"),
        ({"mark": "perhaps"}, "'discard'"),
        ({"fresh": False, "skill": True}, "must hold"),
    ],
)
def test_orders_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Orders(**wrong)


def test_a_mark_counts_although_the_input_is_not_fresh():
    assert Orders.hold("tracking is lost", "discard").mark == "discard"
