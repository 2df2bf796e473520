"""The keyboard of a terminal as an operator, for where there is no browser.

A terminal does not tell when a key is let go. So a key that moves something counts for a moment, and the keyboard's own
repetition keeps it going. The keys are those of the page.
"""

from __future__ import annotations

import os
import sys
import termios
import time
import tty
from collections.abc import Callable
from typing import Any

from real.robot import SetupError
from real.teleop.operator import HandPose, Mark, Orders, Scene
from real.teleop.readiness import readable
from real.teleop.terminal_keys import TerminalKeys
from real.teleop.web import keyboard
from real.teleop.web.wish import Action

HELD = 0.15
"""How long a key counts (s)."""
_MARKS: dict[Action, Mark] = {"success": "success", "failure": "failure", "discard": "discard", "next": "next"}
_POSES: dict[Action, HandPose] = {"grasp": "grasp", "release": "release"}


class KeyboardOperator:
    """A person at the terminal.

    Args:
        file: descriptor of the terminal.
        clock: tells the time (s).
    """

    name = "keyboard"

    def __init__(self, file: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = sys.stdin.fileno() if file is None else file
        self._clock = clock
        self._before: list[Any] | None = None
        self._keys = TerminalKeys()
        self._down: dict[str, float] = {}
        self._skill = False

    def start(self) -> None:
        """Let keys arrive as they are pressed.

        Raises:
            SetupError: standard input is no terminal.
        """
        if not os.isatty(self._file):
            raise SetupError(
                "--operator keyboard needs a terminal to type in; use --operator web or scripted without one"
            )
        self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)

    def orders(self, scene: Scene) -> Orders:
        """See `Operator.orders`."""
        now = self._clock()
        pressed = self._read()
        for key in pressed:
            self._down[key] = now + HELD
        self._down = {key: until for key, until in self._down.items() if until > now}
        actions = keyboard.buttons(pressed)
        if "skill" in actions:
            self._skill = not self._skill
        if scene.over:
            self._skill = False
        mark: Mark = next((_MARKS[action] for action in sorted(actions) if action in _MARKS), "")
        held = keyboard.buttons(self._down.keys())
        pose: HandPose = next((_POSES[action] for action in sorted(held) if action in _POSES), "hold")
        if mark:
            self._skill = False
        wish = keyboard.decode(self._down.keys())
        return Orders(nudge=wish.nudge, skill=self._skill, hand="hold" if self._skill else pose, mark=mark)

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._before is not None:
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)
            self._before = None

    def _read(self) -> list[str]:
        """Return the codes of the keys that were pressed since the last call."""
        return self._keys.codes(os.read(self._file, 4096) if readable(self._file) else b"")


def help_text() -> str:
    """Return the keys and what they do."""
    from real.teleop.web.wish import ACTIONS

    buttons = ((key.removeprefix("Key"), ACTIONS[action]) for key, action in keyboard.BUTTONS.items())
    return "\n".join(f"{keys:>10}  {meaning}" for keys, meaning in (*keyboard.HELP[:-1], *buttons))
