"""The live view of a running robot in the terminal: turns, rate, forces, and a map of every fingertip's taxels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.align import Align
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dexscrew_envs.hands.xhand import FINGERS
from real.robot import Vector
from real.safety import SafetyLimits

ROWS, COLUMNS = 12, 10
"""Taxels in a map: twelve rows of ten, in the sensor's own order; where one sits on the real hand is not published."""
LEVELS = (4, 8, 16, 32)
"""Counts above rest from which a taxel gets each shade; noise and drift nearly always stay below the first."""
_SHADES, _ASCII_SHADES = " ░▒▓█", " .:*#"
_TITLE = 70  # characters
_DRIFT = 0.2
"""How fast a taxel's rest may rise (counts per second); a lasting contact fades no faster."""


def _measured(value: float | None, text: str) -> str:
    """Return a number in the words of a format, or that it is not known."""
    return "not measured" if value is None or not math.isfinite(value) else text.format(value)


@dataclass(frozen=True)
class _Maps:
    """The fingertips' maps side by side; a taxel is two characters wide where there is room, else one.

    Attributes:
        above: (5, 120) counts above rest.
        forces: (5,) forces on the fingertips (N).
        limits: at which the robot stops.
    """

    above: Vector
    forces: Vector
    limits: SafetyLimits

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give what Rich draws."""
        shades = _ASCII_SHADES if options.ascii_only else _SHADES
        wide = 2 if options.max_width >= len(FINGERS) * (2 * COLUMNS + 2) else 1
        row = Table.grid(expand=True)
        panels = []
        for finger, counts, force in zip(FINGERS, self.above, self.forces, strict=True):
            level = np.searchsorted(LEVELS, counts, side="right").reshape(ROWS, COLUMNS)
            taxels = Text("\n".join("".join(shades[k] * wide for k in line) for line in level))
            panel = Panel(taxels, title=finger, subtitle=f"{force:.1f} N", width=wide * COLUMNS + 2, padding=0)
            panels.append(Align.center(panel))
        row.add_row(*panels)
        yield row
        steps = ", ".join(f"{shade} {count}" for shade, count in zip(shades[1:], LEVELS, strict=True))
        lasting, moment = self.limits.fingertip_force, self.limits.fingertip_peak_time
        stops = f"{lasting:g} N for {moment:g} s, or {self.limits.fingertip_peak:g} N"
        yield Text(f"Below a map: the fingertip's force; the robot stops at {stops}")
        yield Text(f"Shades: counts of a taxel above its rest, at least {steps}")


class TaxelRest:
    """What taxels read at rest: some counts, which differ and drift.

    A taxel's rest is the least that it read so far, which may rise again by 0.2 counts per second; so a contact that is
    there from the beginning appears once it was let go.
    """

    def __init__(self) -> None:
        self._rest: Vector | None = None
        self._seconds = 0.0

    def above(self, tactile: np.ndarray, seconds: float) -> Vector:
        """Return how far the normal counts of (5, 120, 3) are above rest (5, 120), and follow the rest.

        Args:
            tactile: counts of the taxels.
            seconds: time since the episode began.
        """
        counts = tactile[..., 2].astype(float)
        risen = counts if self._rest is None else self._rest + _DRIFT * max(0.0, seconds - self._seconds)
        self._rest, self._seconds = np.minimum(counts, risen), seconds
        return counts - self._rest


class LiveView:
    """Draws what the terminal shows after a control step; 80 columns and 24 lines are enough.

    Args:
        title: policy and robot.
        limits: of the safety layer, to show beside the forces.
    """

    def __init__(self, title: str, limits: SafetyLimits) -> None:
        self._title = title if len(title) <= _TITLE else "..." + title[3 - _TITLE :]
        self._limits = limits
        self._rest = TaxelRest()

    def draw(self, observation: dict[str, np.ndarray], info: dict[str, Any], seconds: float) -> Group:
        """Return what the terminal shows after a step.

        Args:
            observation: of `DexScrewRealEnv`, with `tcp_force`, `age` and `tactile`.
            info: of the same step.
            seconds: time since the episode began.
        """
        status = Table.grid(padding=(0, 2))
        needed = info.get("turns_needed")
        turns = _measured(info["rotations"], "{:.2f}") + (f" of {needed:g}" if needed else "")
        rate = 1.0 / info["period"] if info["period"] > 0 else None
        jitter = round(1000 * info["jitter"], 1) + 0.0  # no minus before a zero
        force, torque = (float(np.linalg.norm(part)) for part in np.split(observation["tcp_force"], 2))
        limits = self._limits
        ages = (
            f"{part} {_measured(1000 * age, '{:.0f} ms')}"
            for part, age in zip(("arm", "hand", "taxels"), observation["age"], strict=True)
        )
        status.add_row("time", f"{seconds:.1f} s")
        status.add_row("turns", turns)
        status.add_row("rate", f"{_measured(rate, '{:.1f} Hz')}, jitter {jitter:+.1f} ms")
        status.add_row(
            "wrist",
            f"{_measured(force, '{:.1f} N')} and {_measured(torque, '{:.2f} N m')}; the robot stops at "
            f"{limits.wrist_force:g} N or {limits.wrist_torque:g} N m",
        )
        status.add_row("age of readings", ", ".join(ages))
        maps = _Maps(self._rest.above(observation["tactile"], seconds), info["fingertip_force"], limits)
        return Group(Panel(status, title=Text(self._title)), maps)
