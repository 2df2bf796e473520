"""The whole command with a person at a terminal: what is typed there moves a twin, and is recorded."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

import real
from baselines.data.reader import Demonstrations
from dexscrew_envs.program import Status

pytestmark = pytest.mark.slow
ROOT = Path(real.__file__).parents[1]
SHORT = ["--task", "nut", "--shape", "cross", "--operator", "keyboard", "--no-noise", "--seconds", "1"]


def session(arguments, answers):
    """Run the command at a terminal; type each answer once its words are shown. Return status and what was shown."""
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "real.teleop", *SHORT, *arguments], cwd=ROOT, stdin=terminal, stderr=terminal,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(terminal)
    shown, seen, waiting, end = "", 0, list(answers), time.monotonic() + 90
    try:
        while time.monotonic() < end:
            if select.select([main], [], [], 0.2)[0]:
                try:
                    shown += os.read(main, 4096).decode()
                except OSError:  # the terminal was closed by its last user
                    break
            if waiting and waiting[0][0] in shown[seen:]:
                seen = len(shown)
                os.write(main, waiting.pop(0)[1])
        return process.wait(30), shown
    finally:
        process.kill()
        process.wait()
        os.close(main)


def test_the_terminal_shows_the_episode_takes_the_mark_and_another_session_goes_on(tmp_path):
    arguments, answers = ["--out", str(tmp_path / "demos")], [("ready, skill off", b" "), ("mark the episode", b"\r")]
    status, shown = session([*arguments, "--episodes", "1"], answers)
    assert status == Status.DONE
    assert "recording, skill on" in shown and "ended, skill off; time is over: mark the episode" in shown
    assert "\repisode 0: success, time is over" in shown
    [episode] = Demonstrations(tmp_path / "demos")
    assert episode.outcome.mark == "success" and episode.header.operator == "keyboard"
    status, shown = session([*arguments, "--episodes", "1"], [])
    assert status == Status.DONE and "has 1 of 1 episodes already" in shown and "skill off" not in shown
    status, shown = session([*arguments, "--episodes", "2"], answers)
    assert status == Status.DONE and "1 kept" in shown
    assert [episode.header.seed for episode in Demonstrations(tmp_path / "demos")] == [1000, 1001]
