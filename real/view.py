"""The live view of a running robot in the terminal: rate, turns, forces, and a map of every fingertip's taxels."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dexscrew_envs.tasks import FINGERS
from real.safety import NEWTON_PER_COUNT

_ROWS = 12
_SHADES = " ░▒▓█"
_FULL_SCALE = 20


def tactile_map(counts: np.ndarray) -> Text:
    """Draw the normal forces (120,) of a fingertip, in raw counts, as twelve rows of ten shades.

    Where a taxel sits on the real hand is not published; the order of the rows is the sensor's own.
    """
    level = np.clip(np.ceil(counts / _FULL_SCALE * (len(_SHADES) - 1)), 0, len(_SHADES) - 1).astype(int)
    return Text("\n".join("".join(_SHADES[k] * 2 for k in row) for row in level.reshape(_ROWS, -1)))


def screen(title: str, observation: dict[str, np.ndarray], info: dict[str, Any], seconds: float) -> Group:
    """Return what the terminal shows after a control step.

    Args:
        title: policy and robot.
        observation: of `DexScrewRealEnv`, with `tcp_force`, `age` and `tactile`.
        info: of the same step.
        seconds: time since the episode began.
    """
    lines = Table.grid(padding=(0, 2))
    turns, needed = info["rotations"], info.get("turns_needed")
    shown = "not measured" if np.isnan(turns) else f"{turns:.2f}" + (f" of {needed:g}" if needed else "")
    rate = 1.0 / info["period"] if info["period"] > 0 else float("inf")
    lines.add_row("time", f"{seconds:.1f} s")
    lines.add_row("turns", shown)
    lines.add_row("rate", f"{rate:.1f} Hz, jitter {1000 * info['jitter']:+.1f} ms")
    lines.add_row("wrist force", f"{np.linalg.norm(observation['tcp_force'][:3]):.1f} N")
    arm, hand, tactile = 1000 * observation["age"]
    lines.add_row("age of readings", f"arm {arm:.0f} ms, hand {hand:.0f} ms, taxels {tactile:.0f} ms")
    panels = []
    for finger, counts in zip(FINGERS, observation["tactile"], strict=True):
        normal = NEWTON_PER_COUNT * float(counts[:, 2].sum())
        panels.append(Panel(tactile_map(counts[:, 2]), title=f"{finger} {normal:.1f} N", width=24))
    return Group(Panel(lines, title=title), Columns(panels))
