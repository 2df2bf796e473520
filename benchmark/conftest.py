"""A table of what the benchmarks found."""

from __future__ import annotations

import pytest
from tabulate import tabulate

COLUMNS = {
    "task": "task",
    "num_envs": "environments",
    "threads": "threads",
    "torch_threads": "torch's",
    "control_steps_per_second": "control steps/s",
    "raw_control_steps_per_second": "bare MuJoCo",
    "ratio": "ratio",
    "contacts": "contacts",
    "episodes_ended_per_step": "resets/step",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one row per benchmark that told its rates."""
    session = getattr(terminalreporter.config, "_benchmarksession", None)
    found = [benchmark.extra_info for benchmark in session.benchmarks] if session else []
    rows = [[info.get(key) for key in COLUMNS] for info in found if "ratio" in info]
    if rows:
        terminalreporter.section("throughput")
        terminalreporter.write_line(tabulate(rows, headers=list(COLUMNS.values()), tablefmt="simple", floatfmt=",.2f"))
