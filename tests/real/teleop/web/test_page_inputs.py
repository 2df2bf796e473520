"""When input counts: order, age, silence, and fresh presses."""

from __future__ import annotations

import numpy as np
import pytest
from page_messages import message, xr

from real.teleop.web.inputs import Inputs
from real.teleop.web.link import LinkLimits

FRAME = 1 / 60


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Page:
    """Sends a message a frame."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.inputs = Inputs(clock=self.clock)
        self.inputs.connected()
        self.seq = 0
        self.began = self.clock.now

    def clock_ms(self) -> float:
        """Return the page's own clock (ms)."""
        return 1000 * (self.clock.now - self.began)

    def send(self, make=message, frames: int = 1, **changes):
        """Send the same for some frames, and return the orders after them."""
        for _ in range(frames):
            self.clock.now += FRAME
            self.seq += 1
            self.inputs.receive(make(self.seq, t_ms=self.clock_ms(), **changes))
        return self.inputs.orders()

    def engaged(self):
        """Press the clutch."""
        self.send(xr, 3)
        orders = self.send(xr, 3, trigger=1.0)
        assert orders.clutch
        return orders


@pytest.fixture
def page():
    return Page()


def test_nothing_moves_before_the_page_is_armed(page):
    orders = page.send(armed=False, keys=["KeyW", "Space"])
    assert not orders.fresh and "armed" in orders.note and not orders.nudge.any()


def test_a_key_that_was_down_at_the_start_must_be_pressed_anew(page):
    assert not page.send(keys=["KeyW"]).nudge.any()
    page.send()
    assert page.send(keys=["KeyW"]).nudge.any()


def test_the_skill_is_switched_by_presses(page):
    page.send()
    assert page.send(frames=5, keys=["Space"]).skill
    assert page.send().skill
    assert not page.send(keys=["Space"]).skill


def test_a_tap_between_two_control_steps_counts(page):
    page.send()
    page.clock.now += FRAME
    page.inputs.receive(message(page.seq + 1, t_ms=page.clock_ms(), keys=["Space"]))
    page.seq += 1
    assert page.send().skill


def test_marks_come_once_and_one_by_one(page):
    page.send()
    assert page.send(keys=["Backspace", "KeyN"]).mark == "discard"
    assert page.inputs.orders().mark == "next"
    assert page.inputs.orders().mark == ""


def test_a_press_that_nobody_asked_for_in_time_is_forgotten(page):
    page.send()
    for _ in range(60):
        page.clock.now += FRAME
        page.seq += 1
        page.inputs.receive(message(page.seq, t_ms=page.clock_ms(), keys=["Backspace"]))
    assert page.inputs.orders().mark == ""


def test_the_hand_moves_only_while_its_button_is_held(page):
    page.send()
    assert page.send(keys=["KeyG"]).hand == "grasp"
    assert page.send().hand == "hold"


def test_old_and_repeated_messages_are_dropped(page):
    page.send(frames=3)
    for seq in (page.seq, page.seq - 1):
        page.inputs.receive(message(seq, keys=["Space"]))
    orders = page.inputs.orders()
    assert orders.fresh and not orders.skill


def test_silence_holds_and_asks_for_a_fresh_press(page):
    page.engaged()
    page.clock.now += 0.35
    held = page.inputs.orders()
    assert not held.fresh and not held.clutch and "no input" in held.note
    assert not page.send(xr, 5, x=0.9, trigger=1.0).clutch  # still pressed, somewhere else
    page.send(xr, 2, x=0.9)
    assert page.send(xr, 2, x=0.9, trigger=1.0).clutch


def test_a_burst_after_a_stall_is_not_acted_on(page):
    page.engaged()
    sent = page.clock_ms()
    page.clock.now += 1.0  # meanwhile fifty messages wait in the network
    for step in range(1, 51):
        page.seq += 1
        page.inputs.receive(xr(page.seq, 0.3 + 0.01 * step, 1.0, sent + 20 * step))
        orders = page.inputs.orders()
        assert not orders.clutch
        assert orders.fresh == (step >= 38)  # those within the limit of 250 ms


def test_an_age_within_the_limit_is_no_fault(page):
    page.engaged()
    page.clock.now += 0.2
    assert page.send(xr, x=0.3, trigger=1.0).clutch


def test_a_clock_that_jumped_is_measured_anew(page):
    page.send(frames=10)
    page.clock.now += 600
    page.began += 600  # the page's clock stood still, as in a laptop's sleep
    assert not page.send(frames=10).fresh
    assert page.send(frames=200).fresh


@pytest.mark.slow
@pytest.mark.parametrize("drift", [-1e-4, 1e-4])
def test_clocks_may_drift(page, drift):
    for step in range(3600):
        page.clock.now = 100 + step * (1 + drift)
        page.inputs.receive(message(step, t_ms=1000.0 * step))
        assert page.inputs.orders().fresh


def test_a_hidden_page_holds(page):
    page.engaged()
    page.send(message, source="xr", hidden=True)
    assert "hidden" in page.inputs.orders().note
    assert not page.send(xr, 3, trigger=1.0).clutch


def test_lost_tracking_holds_until_a_fresh_press(page):
    page.engaged()
    orders = page.send(xr, trigger=1.0, emulated=True)
    assert not orders.fresh and not orders.clutch and "into view" in orders.note
    assert not page.send(xr, 3, trigger=1.0).clutch
    page.send(xr, 2)
    assert page.send(xr, 2, trigger=1.0).clutch


def test_an_episode_can_be_discarded_while_tracking_is_lost(page):
    page.engaged()
    page.send(source="xr", hands={})
    orders = page.send(source="xr", hands={}, keys=["Backspace"])
    assert not orders.fresh and orders.mark == "discard"


def test_a_pose_that_jumps_lets_go(page):
    page.engaged()
    orders = page.send(xr, x=1.0, trigger=1.0)
    assert not orders.clutch and "jumped" in orders.note


def test_the_clutch_engages_only_when_the_controller_is_still(page):
    page.send(xr, 3)
    for step in range(5):
        assert not page.send(xr, x=0.32 + 0.02 * step, trigger=1.0).clutch
    assert "still" in page.inputs.orders().note
    assert page.send(xr, 2, x=0.40, trigger=1.0).clutch


def test_a_release_between_two_control_steps_makes_a_new_reference(page):
    page.engaged()
    for trigger in (0.0, 1.0, 1.0):
        page.clock.now += FRAME
        page.seq += 1
        page.inputs.receive(xr(page.seq, trigger=trigger, t_ms=page.clock_ms()))
    assert not page.inputs.orders().clutch
    assert page.inputs.orders().clutch


def test_a_recentred_room_asks_for_a_fresh_press(page):
    page.engaged()
    moved = page.send(xr, trigger=1.0)
    assert moved.clutch
    hands = {"right": {"p": [0.3, 1.2, -0.4], "q": [0, 0, 0, 1], "emulated": False, "buttons": [1.0], "axes": []}}
    assert not page.send(source="xr", hands=hands, space=1).clutch


def test_another_connection_asks_for_fresh_presses(page):
    page.engaged()
    page.inputs.disconnected()
    assert "disconnected" in page.inputs.orders().note
    page.inputs.connected()
    page.seq = 0
    assert not page.send(xr, 5, trigger=1.0).clutch


def test_a_lost_link_switches_the_skill_off(page):
    page.send()
    assert page.send(keys=["Space"]).skill
    page.clock.now += 1.0
    assert not page.inputs.orders().skill
    page.send(frames=5)
    assert not page.inputs.orders().skill


def test_a_stopped_robot_switches_the_skill_off(page):
    page.send()
    page.send(keys=["Space"])
    assert not page.inputs.orders(over=True).skill
    assert not page.inputs.orders().skill


def test_the_skill_stays_off_while_the_episode_is_over(page):
    page.send()
    page.send(keys=["Space"])
    page.inputs.orders(over=True)
    page.send()
    page.clock.now += FRAME
    page.seq += 1
    page.inputs.receive(message(page.seq, t_ms=page.clock_ms(), keys=["Space"]))
    assert not page.inputs.orders(over=True).skill
    assert not page.inputs.orders().skill


@pytest.mark.parametrize("key", ["Enter", "KeyF", "Backspace", "KeyN"])
def test_after_a_mark_only_a_fresh_press_switches_the_skill_on(page, key):
    page.send()
    assert page.send(keys=["Space"]).skill
    page.send()
    marked = page.send(keys=[key])
    assert marked.mark and not marked.skill
    assert not page.send(frames=5).skill
    assert page.send(keys=["Space"]).skill


def test_what_is_held_at_a_mark_counts_when_it_is_pressed_anew(page):
    page.send()
    assert page.send(keys=["KeyG"]).hand == "grasp" and page.send(keys=["KeyG", "KeyW"]).nudge.any()
    marked = page.send(keys=["KeyG", "KeyW", "Enter"])
    assert marked.mark and marked.hand == "hold" and not marked.nudge.any()
    held = page.send(keys=["KeyG", "KeyW"])
    assert held.hand == "hold" and not held.nudge.any()
    page.send()
    again = page.send(keys=["KeyG", "KeyW"])
    assert again.hand == "grasp" and again.nudge.any()


def test_a_mark_lets_go_of_the_clutch(page):
    page.engaged()
    assert not page.send(xr, trigger=1.0, buttons=[1.0, 0, 0, 0, 1.0]).clutch
    assert not page.send(xr, 3, trigger=1.0).clutch
    page.send(xr, 2)
    assert page.send(xr, 2, trigger=1.0).clutch


def test_a_hand_button_that_is_held_when_the_input_returns_must_be_pressed_anew(page):
    page.send()
    assert page.send(keys=["KeyR"]).hand == "release"
    page.clock.now += 1.0
    assert page.inputs.orders().hand == "hold"
    assert page.send(frames=3, keys=["KeyR"]).hand == "hold"
    page.send()
    assert page.send(keys=["KeyR"]).hand == "release"


def test_the_page_is_shown_rate_age_and_jitter(page):
    page.send(frames=30)
    view = page.inputs.view()
    assert view["rate"] == pytest.approx(60, rel=0.02) and view["jitter"] < 1e-3 and view["age"] < 0.01
    page.clock.now += 0.1
    assert page.inputs.view()["age"] == pytest.approx(0.1, abs=0.01)


def test_half_the_round_trip_counts_as_age(page):
    page.inputs.state_sent(7)
    page.clock.now += 0.1
    page.send(ack=7)
    assert page.inputs.view()["age"] == pytest.approx((0.1 + FRAME) / 2, abs=1e-3)


@pytest.mark.parametrize("wrong", [{"age": 0}, {"silence": float("nan")}, {"age": True}, {"silence": "1"}])
def test_limits_must_be_positive(wrong):
    with pytest.raises(ValueError, match="positive"):
        LinkLimits(**wrong)


def test_poses_arrive_as_sent(page):
    page.engaged()
    assert np.allclose(page.send(xr, x=0.31, trigger=1.0).wrist[:3, 3], [0.31, 0.4, 1.2])
