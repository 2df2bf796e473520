"""The line that a terminal shows of an episode."""

from __future__ import annotations

import os
import pty
import select
import termios

import numpy as np
import pytest

from real.teleop.episode import Step
from real.teleop.operator import Orders, Scene
from real.teleop.status_line import PERIOD, StatusLine, described


def step(time=12.0, message="", recording=True, skill=True, **scene):
    given = {"turns": 0.4213, "needed": 8.0, "episode": 3, "kept": 2} | scene
    return Step(
        scene=Scene(time=time, wrist=np.zeros(6), **given), orders=Orders(skill=skill), observation={}, info={},
        limited=False, recording=recording, message=message,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (step(), "recording, skill on; 0.42 of 8 turns, 12 s, episode 3, 2 kept"),
        (
            step(0.0, "ready", recording=False, skill=False, turns=None),
            "ready, skill off; turns unknown, 0 s, episode 3, 2 kept",
        ),
        (
            step(message="time is over: mark the episode", recording=False, needed=None),
            "ended, skill on; time is over: mark the episode; 0.42 turns, 12 s, episode 3, 2 kept",
        ),
    ],
)
def test_it_says_what_there_is_to_know(shown, expected):
    assert described(shown) == expected


@pytest.fixture
def terminal():
    """Return a line on a terminal of 40 columns, what reads that, and the line's clock."""
    main, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 40))
    now = [0.0]
    stream = os.fdopen(end, "w")

    def read():
        shown = b""
        while select.select([main], [], [], 0.1)[0]:
            shown += os.read(main, 4096)
        return shown.decode()

    yield StatusLine(stream, lambda: now[0]), read, now, end
    termios.tcflow(end, termios.TCOON)
    stream.close()
    os.close(main)


def test_on_a_terminal_it_is_one_line_a_few_times_a_second(terminal):
    line, read, now, _ = terminal
    for _ in range(20):
        line.show(step())
        now[0] += 0.05
    shown = read()
    assert "\n" not in shown and 4 <= shown.count("\r") <= 1 / PERIOD + 1
    assert max(map(len, shown.split("\r"))) == 39


def test_a_new_message_is_shown_at_once_and_nothing_is_left_of_a_longer_line(terminal):
    line, read, _, _ = terminal
    line.show(step(message="wait"))
    line.show(step(turns=None, needed=None, message="the wrist is at the end of its workspace"))
    assert read().count("\r") == 2
    line.clear()
    assert read() == "\r" + 39 * " " + "\r"
    line.clear()
    assert read() == ""


def test_a_terminal_that_takes_nothing_does_not_hold_up_the_robot(terminal):
    line, read, now, end = terminal
    termios.tcflow(end, termios.TCOOFF)
    for _ in range(2000):
        line.show(step())
        now[0] += 1.0
    assert read() == ""
    termios.tcflow(end, termios.TCOON)
    line.show(step())
    assert read().count("\r") == 1


def test_elsewhere_a_line_comes_when_its_words_change(tmp_path):
    with open(tmp_path / "log", "w") as stream:
        line = StatusLine(stream)
        for time in range(5):
            line.show(step(float(time)))
        line.show(step(message="stopped"))
        line.clear()
    assert (tmp_path / "log").read_text().splitlines() == [described(step(0.0)), described(step(message="stopped"))]


def test_what_is_said_takes_its_place(tmp_path, capsys, monkeypatch):
    line = StatusLine()
    line.show(step())
    line.say("episode 3: success")
    assert capsys.readouterr().err.splitlines() == [described(step()), "episode 3: success"]
