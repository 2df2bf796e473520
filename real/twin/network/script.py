"""The program that `ur_rtde` uploads, emulated natively.

The script reads a command from input registers each period, carries it out, and answers in output registers. This
module recognises it and does the same; it interprets no URScript. Source of commands and registers: ur_rtde 1.6.5.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from real.kinematics import forward, inverse
from real.robot import RobotError, Vector
from real.twin.controller import TIMESTEP

if TYPE_CHECKING:
    from real.twin.network.control_box import ControlBox

MAX_SCRIPT = 1 << 20
"""Largest program that is taken (bytes); ur_rtde's has 42 kB."""

_READY, _DONE = 1, 2
_STOP_SCRIPT = 255
_NAME, _UPPER_RANGE = "def rtde_control():\n", "# int register offset\n24"
_log = logging.getLogger(__name__)


def parse_script(text: str, box: ControlBox) -> ControlScript | None:
    """Return the program in `text` if it is ur_rtde's control script, or None."""
    if not text.startswith(_NAME):
        return None
    return ControlScript(box, 24 if _UPPER_RANGE in text else 0)


class ControlScript:
    """The control script, running.

    Args:
        box: whose registers it reads and writes, and whose arm it moves.
        offset: of the registers' numbers: 0, or 24 for the upper range.

    Attributes:
        command_register: name of the input that holds the command.
    """

    def __init__(self, box: ControlBox, offset: int) -> None:
        self._box = box
        self._offset = offset
        self.command_register = f"input_int_register_{offset}"
        self._done = False
        self._waiting = False
        self._period = float("inf")
        self._moves = self._reports = 0
        self._moving = False
        self._streamed: dict[int, Callable[[], None]] = {9: self._speed, 11: self._servo}
        self._commands: dict[int, Callable[[], bool | None]] = {
            1: lambda: self._move(self._doubles(0, 6)),
            2: lambda: self._move(inverse(self._doubles(0, 6), box.plant.arm.q)),
            8: lambda: None,  # zeroFtSensor: the twin's sensor has no zero to set
            15: self._stop,
            16: self._stop,
            17: lambda: None,  # setPayload: the twin compensates its payload exactly
            26: lambda: self._answer(TIMESTEP),
            30: lambda: self._answer(*inverse(self._doubles(0, 6), self._doubles(6, 6))),
            31: lambda: box.plant.trigger_protective_stop(),
            33: lambda: self._stop(asynchronous=bool(self._int(1))),
            34: lambda: self._stop(asynchronous=bool(self._int(1))),
            35: self._watchdog,
            40: lambda: self._answer(*[0.0] * 6),
            43: lambda: self._answer(*forward(box.plant.arm_q)),
            46: lambda: self._answer(*inverse(self._doubles(0, 6), box.plant.arm_q)),
            47: lambda: self._flag(not box.plant.arm.moving),
            58: lambda: self._answer(*forward(box.plant.arm_q)),
        }  # fmt: skip

    def start(self) -> None:
        """Begin: ready for a command."""
        self._report_move()
        self._set_int(0, _READY)

    def step(self) -> bool:
        """Run one period; return False when the program ends."""
        box = self._box
        if box.input_age > self._period:
            _log.warning("the watchdog ended the program: no command for %.0f ms", 1000 * box.input_age)
            return False
        if self._moving and not box.plant.arm.moving:
            self._moving = False
            self._report_move()
        if self._waiting:
            if not box.plant.arm.moving:
                self._waiting = False
                self._set_int(0, _DONE)
            return True
        command = self._int(0)
        if command == _STOP_SCRIPT:
            return False
        try:
            self._run(command)
        except (ValueError, RobotError) as error:
            _log.warning("command %d ended the program: %s", command, error)
            return False
        return True

    def _run(self, command: int) -> None:
        if command == 0:
            self._done = False
            self._set_int(0, _READY)
        elif command in self._streamed:
            self._streamed[command]()
            self._set_int(0, _READY)
        elif not self._done:
            if command not in self._commands:
                raise ValueError("the twin does not emulate it")
            self._done = True
            self._waiting = bool(self._commands[command]())
            if not self._waiting:
                self._set_int(0, _DONE)

    def _servo(self) -> None:
        q, lookahead, gain = self._doubles(0, 6), self._double(9), self._double(10)
        self._box.plant.arm.servo(q, lookahead=lookahead, gain=gain)

    def _speed(self) -> None:
        self._box.plant.arm.speed(self._doubles(0, 6), self._double(6))

    def _move(self, q: Vector) -> bool:
        """Start a move; return whether the script waits for its end."""
        self._box.plant.arm.move(q, self._double(6), self._double(7))
        if not self._int(1):
            return True
        self._moves = (self._moves + 1) % 128
        self._moving = True
        self._report_move()
        return False

    def _stop(self, *, asynchronous: bool = False) -> bool:
        """Stop, with a deceleration that the script gives for the tool (m/s^2) and the twin takes for the joints."""
        self._box.plant.arm.stop(self._double(0))
        return not asynchronous

    def _watchdog(self) -> None:
        frequency = self._double(0)
        self._period = 1 / frequency if frequency > 0 else float("inf")

    def _report_move(self) -> None:
        """Write the state of asynchronous moves: running in bit 15, a count of writes from 16, their number from 24."""
        self._reports = (self._reports + 1) % 256
        self._set_int(2, self._moves << 24 | self._reports << 16 | self._moving << 15)

    def _answer(self, *values: float) -> None:
        for i, value in enumerate(values):
            self._box.outputs[f"output_double_register_{i + self._offset}"] = float(value)

    def _flag(self, value: bool) -> None:
        self._set_int(1, int(value))

    def _set_int(self, index: int, value: int) -> None:
        self._box.outputs[f"output_int_register_{index + self._offset}"] = value

    def _int(self, index: int) -> int:
        return int(self._box.inputs.get(f"input_int_register_{index + self._offset}", 0))  # type: ignore[arg-type]

    def _double(self, index: int) -> float:
        return float(self._box.inputs.get(f"input_double_register_{index + self._offset}", 0.0))  # type: ignore[arg-type]

    def _doubles(self, first: int, count: int) -> Vector:
        return np.array([self._double(i) for i in range(first, first + count)])
