from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from ur_fakes import new_host

from real.twin.__main__ import Options, main


@pytest.mark.parametrize(
    ("text", "version"), [("5.13", (5, 13, 0)), ("10.10", (10, 10, 0)), ("5.4.2", (5, 4, 2)), ("3.14", (3, 14, 0))]
)
def test_versions_are_read(text, version):
    assert Options(version=text).controller_version() == version


@pytest.mark.parametrize("text", ["", "5", "5.x", "5.13.0.1", "05.1", "-5.1"])
def test_what_is_no_version_is_refused(text, capsys):
    with pytest.raises(SystemExit, match="a version is two or three numbers"):
        main([f"--version={text}"])


def test_an_unknown_shape_is_refused():
    with pytest.raises(SystemExit, match="unknown shape 'oval' of the nut; choose from"):
        main(["--shape", "oval"])


def test_a_missing_display_is_an_error(monkeypatch):
    monkeypatch.setattr("glfw.init", lambda: False)
    with pytest.raises(SystemExit, match="no display for the window; omit --view"):
        main(["--view"])


def test_it_serves_until_told_to_end():
    command = [sys.executable, "-m", "real.twin", "--task", "nut", "--shape", "hexagon", "--host", new_host()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = iter(process.stdout.readline, "")
        try:
            assert any(line.startswith("a twin with a hexagon nut is served") for line in lines)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
