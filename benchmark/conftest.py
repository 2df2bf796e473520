"""Tables of what the benchmarks found."""

from __future__ import annotations

import itertools

import pytest
from tabulate import tabulate


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a table for each group of benchmarks, with one row of notes per benchmark."""
    session = getattr(terminalreporter.config, "_benchmarksession", None)
    found = [bench for bench in session.benchmarks if bench.extra_info] if session else []
    for group, members in itertools.groupby(found, key=lambda bench: bench.group):
        rows = [{name.replace("_", " "): value for name, value in bench.extra_info.items()} for bench in members]
        terminalreporter.section(group or "benchmarks")
        terminalreporter.write_line(tabulate(rows, headers="keys", tablefmt="simple", floatfmt=",.2f"))
