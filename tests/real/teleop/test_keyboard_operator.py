"""The keyboard of a terminal, through a terminal of our own."""

from __future__ import annotations

import os
import pty
import termios

import numpy as np
import pytest

from real.robot import SetupError
from real.teleop.keyboard import HELD, KeyboardOperator, help_text
from real.teleop.operator import Scene

SCENE = Scene(time=0.0, wrist=np.zeros(6))


@pytest.fixture
def typed():
    """Return an operator at a terminal, and what types into it and moves its clock."""
    main, terminal = pty.openpty()
    now = [10.0]
    operator = KeyboardOperator(terminal, clock=lambda: now[0])
    before = termios.tcgetattr(terminal)
    operator.start()

    def press(keys: bytes, after: float = 0.0, scene: Scene = SCENE):
        now[0] += after
        os.write(main, keys)
        return operator.orders(scene)

    yield press
    operator.close()
    operator.close()
    assert termios.tcgetattr(terminal) == before
    os.close(main)
    os.close(terminal)


def test_no_key_holds_everything(typed):
    orders = typed(b"")
    assert not orders.skill and not orders.clutch and not orders.nudge.any() and orders.hand == "hold"


def test_a_key_that_moves_counts_for_a_moment(typed):
    assert typed(b"d").nudge[0] > 0
    assert typed(b"", HELD / 2).nudge[0] > 0
    assert not typed(b"", HELD).nudge.any()


def test_capitals_are_faster_and_arrows_turn(typed):
    slow = typed(b"q").nudge[2]
    assert typed(b"Q", 1.0).nudge[2] < slow < 0
    turn = typed(b"\x1b[D", 1.0).nudge[5]
    assert typed(b"\x1b[1;2D", 1.0).nudge[5] > turn > 0


@pytest.mark.parametrize("key", [b"\x1b[F", b"\x1bOQ", b"\x1bn", b"\x1b[3~"])
def test_keys_that_mean_nothing_neither_mark_nor_move(typed, key):
    orders = typed(key)
    assert orders.mark == "" and orders.hand == "hold" and not orders.skill and not orders.nudge.any()


def test_the_space_bar_switches_the_skill(typed):
    assert typed(b" ").skill
    assert typed(b"", 5.0).skill
    assert not typed(b" ").skill


def test_poses_count_while_held_and_not_with_the_skill(typed):
    assert typed(b"g").hand == "grasp"
    assert typed(b"", 1.0).hand == "hold"
    assert typed(b" r").hand == "hold"


@pytest.mark.parametrize(("key", "mark"), [(b"\r", "success"), (b"f", "failure"), (b"\x7f", "discard"), (b"n", "next")])
def test_a_mark_counts_once_and_ends_the_skill(typed, key, mark):
    typed(b" ")
    orders = typed(key)
    assert (orders.mark, orders.skill) == (mark, False)
    assert typed(b"").mark == ""


def test_a_trip_switches_the_skill_off_for_good(typed):
    typed(b" ")
    assert not typed(b"", scene=Scene(time=1.0, wrist=np.zeros(6), trip="too much force")).skill
    assert not typed(b"").skill


def test_without_a_terminal_a_sentence_says_so():
    reading, writing = os.pipe()
    with pytest.raises(SetupError, match="needs a terminal"):
        KeyboardOperator(reading).start()
    os.close(reading)
    os.close(writing)


def test_help_names_every_key():
    assert {"W A S D", "Space", "G", "Backspace"} <= {line[:10].strip() for line in help_text().splitlines()}
