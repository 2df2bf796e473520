from __future__ import annotations

import os
import threading
import time

import pytest

from benchmark.real_eval.terminal import Terminal
from dexscrew_envs.program import CutShort


@pytest.fixture
def typing(monkeypatch):
    """Types lines into standard input; None ends it."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "w") as keys:
        monkeypatch.setattr("sys.stdin", stdin)

        def enter(line: str | None) -> None:
            if line is None:
                keys.close()
            else:
                print(line, file=keys, flush=True)

        yield enter
        if not keys.closed:
            keys.close()  # the thread reads no longer
        time.sleep(0.05)


def pressed(terminal: Terminal) -> bool:
    """Whether a line arrives within a second."""
    until = time.monotonic() + 1
    while time.monotonic() < until:
        if terminal.pressed():
            return True
        time.sleep(0.01)
    return False


def test_enter_is_seen_once(typing):
    terminal = Terminal()
    assert not terminal.pressed()
    typing("")
    assert pressed(terminal) and not terminal.pressed()


def test_answers_are_plain_and_early_lines_are_none(typing, capsys):
    terminal = Terminal()
    typing("early")
    time.sleep(0.1)
    threading.Timer(0.2, lambda: [typing(""), typing("  Yes ")]).start()
    assert terminal.ask("keep it?") == "yes"
    assert "keep it?" in capsys.readouterr().err


def test_the_end_of_input_is_told(typing):
    terminal = Terminal()
    typing(None)
    for _ in range(2):
        with pytest.raises(CutShort, match="standard input has ended"):
            terminal.ask("keep it?")
    assert not terminal.pressed()
