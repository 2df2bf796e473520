"""A person at the terminal, who answers questions and can end a trial while it runs."""

from __future__ import annotations

import queue
import sys
import threading
from typing import Protocol

from dexscrew_envs import program
from dexscrew_envs.program import CutShort


class Person(Protocol):
    """Someone who answers."""

    def ask(self, question: str) -> str:
        """Return the answer to a question, without spaces around it, in lower case."""

    def pressed(self) -> bool:
        """Return whether a line was entered since this was asked last, or since the last question."""


class Terminal:
    """Standard input, read in a thread of its own, so that a trial need not wait for it."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="terminal", daemon=True).start()

    def ask(self, question: str) -> str:
        """See `Person.ask`.

        Raises:
            CutShort: nobody can answer, since standard input has ended.
        """
        self.pressed()  # what was typed before the question answers something else
        program.say(question)
        line: str | None = ""
        while not line:
            line = self._next(wait=True)
            if line is None:
                raise CutShort("standard input has ended, and a person has to answer; what was done is kept")
        return line

    def pressed(self) -> bool:
        """See `Person.pressed`."""
        found = False
        while self._next(wait=False) is not None:
            found = True
        return found

    def _next(self, *, wait: bool) -> str | None:
        """Return the next line, or None where there is none."""
        while True:
            try:
                line = (
                    self._lines.get(timeout=0.2) if wait else self._lines.get_nowait()
                )  # short, so that signals count
            except queue.Empty:
                if wait:
                    continue
                return None
            if line is None:
                self._lines.put(None)  # for whoever asks next
                return None
            return line.strip().lower()

    def _read(self) -> None:
        try:
            for line in sys.stdin or ():
                self._lines.put(line)
        except (OSError, ValueError):
            pass
        self._lines.put(None)
