"""The state of an episode on one line of the terminal, for an operator who has no page."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from dexscrew_envs import program
from dexscrew_envs.program import Unfailing
from real.teleop.episode import Step
from real.teleop.readiness import writable

PERIOD = 0.2
"""Shortest time between two lines that say the same in words (s)."""


class StatusLine:
    """Writes a line in place on a terminal; elsewhere a line whenever what it says in words changes.

    Args:
        stream: where; by default standard error.
        clock: tells the time (s).
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = Unfailing(sys.stderr if stream is None else stream)
        self._in_place = self._stream.isatty()
        self._clock = clock
        self._said: tuple[str, str] | None = None
        self._next = 0.0
        self._width = 0

    def show(self, step: Step) -> None:
        """See `Watcher.show`."""
        now, words = self._clock(), (_state(step), step.message)
        due = self._in_place and now >= self._next
        if (words == self._said and not due) or not self._takes_text():
            return
        self._said, self._next = words, now + PERIOD
        if not self._in_place:
            self._stream.write(f"{described(step)}\n")
        else:
            line = described(step)[: self._columns() - 1]  # a line that wraps cannot be written over
            self._stream.write(f"\r{line:<{self._width}}")
            self._width = len(line)
        self._stream.flush()

    def say(self, sentence: str) -> None:
        """Tell the user something in place of the line, which appears anew below it."""
        self.clear()
        program.say(sentence)

    def clear(self) -> None:
        """Take the line away."""
        if self._width and self._takes_text():
            self._stream.write(f"\r{'':{self._width}}\r")
            self._stream.flush()
        self._said, self._next, self._width = None, 0.0, 0

    def _takes_text(self) -> bool:
        """Return whether nothing holds up a text, such as Ctrl-S: the robot moves meanwhile."""
        try:
            return writable(self._stream.fileno())
        except (AttributeError, OSError, ValueError):  # it is no file, so nothing holds it up
            return True

    def _columns(self) -> int:
        with suppress(AttributeError, OSError, ValueError):
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        return 80


def described(step: Step) -> str:
    """Return what there is to know of a step; what the operator should do comes first, since a line may be cut."""
    scene, state = step.scene, _state(step)
    turns = "turns unknown" if scene.turns is None else f"{scene.turns:.2f} turns"
    if scene.turns is not None and scene.needed is not None:
        turns = f"{scene.turns:.2f} of {scene.needed:g} turns"
    parts = [
        f"{state}, skill {'on' if step.orders.skill else 'off'}",
        "" if step.message == state else step.message,
        f"{turns}, {scene.time:.0f} s, episode {scene.episode}, {scene.kept} kept",
    ]
    return "; ".join(part for part in parts if part)


def _state(step: Step) -> str:
    if step.recording:
        return "recording"
    return "ended" if step.scene.time else "ready"
