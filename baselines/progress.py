"""Progress of long work: a bar on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from dexscrew_envs.program import Unfailing

LINE_PERIOD = 10.0
"""Time between lines where standard error is no terminal (s)."""
_LINE = "{desc}: {percentage:3.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class _Lines(Unfailing):
    """A stream on which each state of the bar is a line."""

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        if text:
            super().write(text + "\n")


class Progress(tqdm):
    """tqdm's bar, with its arguments; where standard error is no terminal, a line at most every ten seconds."""

    monitor_interval = 0  # its thread would outlive the bar

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        lines = sys.stderr is None or not sys.stderr.isatty()
        if lines:
            kwargs |= {"mininterval": LINE_PERIOD, "bar_format": _LINE, "dynamic_ncols": False}
        super().__init__(*args, **{"miniters": 1, "file": (_Lines if lines else Unfailing)(sys.stderr), **kwargs})
