from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from baselines import progress

ROOT = Path(__file__).parents[2]

WORK = """
import sys, time
from baselines import progress
progress.LINE_PERIOD = 0.4
for _ in progress.Progress(range(100), desc="nut", unit="step"):
    time.sleep(0.01)
"""


@pytest.mark.slow
def test_a_log_gets_a_line_now_and_then():
    found = subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, capture_output=True, text=True, timeout=60)
    lines = found.stderr.splitlines()
    assert 2 <= len(lines) <= 6 and "\r" not in found.stderr
    assert all(line.startswith("nut: ") and "step/s" in line for line in lines)
    assert "100/100" in lines[-1]


@pytest.mark.slow
def test_a_terminal_gets_a_bar():
    main, side = pty.openpty()
    subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, stderr=side, timeout=60, check=True)
    os.close(side)
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert shown.count("\r") > 6 and "100%|" in shown


@pytest.mark.slow
def test_a_terminal_that_is_gone_does_not_end_the_work(tmp_path):
    work = WORK + "open(sys.argv[1], 'w').write('done')"
    main, side = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", work, str(tmp_path / "end")], cwd=ROOT, stderr=side)
    os.close(side)
    os.close(main)
    assert process.wait(timeout=60) == 0 and (tmp_path / "end").read_text() == "done"


@pytest.mark.slow
def test_a_full_disk_under_the_log_does_not_end_the_work():
    with open("/dev/full", "w") as full:
        assert subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, stderr=full, timeout=60).returncode in (0, 120)


@pytest.mark.parametrize("count", [1, 3])
def test_no_thread_outlives_a_bar(count):
    before = threading.active_count()
    for _ in range(count):
        for _ in progress.Progress(range(3)):
            pass
    assert threading.active_count() == before
