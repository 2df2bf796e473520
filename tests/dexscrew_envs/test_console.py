"""The command `dexscrew`, which becomes the programs that it names."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from test_program import COMMANDS as PROGRAMS

from dexscrew_envs import console, opengl
from dexscrew_envs.program import Status

ROOT = Path(__file__).parents[2]


@pytest.fixture
def became(monkeypatch):
    """What the process would have become."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, command: commands.append(command))
    return commands


@pytest.mark.parametrize("name", console.COMMANDS)
def test_a_command_becomes_its_module_with_the_same_arguments(became, name):
    arguments = ["--policy", "a b", "--help", "", "-h"]
    console.main([name, *arguments])
    assert became == [[sys.executable, "-m", console.COMMANDS[name][0], *arguments]]


def test_every_command_stands_for_a_program_that_is_there():
    for module, what in console.COMMANDS.values():
        assert module in PROGRAMS and importlib.util.find_spec(module) is not None
        assert what and not what.endswith(".")


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("-h", "train")])
def test_without_a_command_there_is_a_line_for_each(became, capsys, arguments):
    assert console.main(arguments) == Status.DONE
    lines = capsys.readouterr().out.splitlines()
    for name, (module, what) in console.COMMANDS.items():
        assert sum(line.split()[:2] == [name, module] and line.endswith(what) for line in lines) == 1
    assert max(map(len, lines)) <= 100
    assert not became


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [("trian", "train"), ("eval", "evaluate"), ("doktor", "doctor"), ("ablations", "ablation"), ("Play", "play")],
)
def test_an_unknown_name_is_refused_with_the_nearest(became, capsys, typed, nearest):
    assert console.main([typed, "--steps", "3"]) == Status.REFUSED
    said = capsys.readouterr().err
    assert said.startswith(f"error: unknown command {typed!r}; did you mean {nearest!r}?") and said.count("\n") == 1
    assert not became


def test_a_name_like_no_other_is_refused_with_all(became, capsys):
    assert console.main(["--policy", "nut-oracle"]) == Status.REFUSED
    said = capsys.readouterr().err
    assert "did you mean" not in said and all(name in said for name in console.COMMANDS)
    assert not became


def test_the_entry_point_is_declared():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"dexscrew": "dexscrew_envs.console:main"}


def start(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Start the command as its installed script does."""
    code = "import sys; from dexscrew_envs.console import main; sys.exit(main())"
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=os.environ | {"PYTHONPATH": paths},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_what_goes_wrong_is_told_as_by_the_module(tmp_path):
    done = start("evaluate", "--policy", "nut-oracl", folder=tmp_path)
    assert done.returncode == Status.REFUSED
    assert "did you mean 'nut-oracle'" in done.stderr and done.stderr.count("\n") == 1
    done = start("doctor", "--help", folder=tmp_path)
    assert done.returncode == 0 and "usage: python -m real.doctor" in done.stdout


@pytest.mark.parametrize(("file", "named"), [("baselines/__init__.py", "baselines"), ("baselines.py", "baselines.py")])
def test_a_package_of_our_name_in_the_working_directory_is_named(became, tmp_path, monkeypatch, capsys, file, named):
    (tmp_path / "baselines").mkdir()
    (tmp_path / file).write_text("")
    monkeypatch.chdir(tmp_path)
    assert console.main(["evaluate"]) == Status.REFUSED
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / named} hides DexScrew's own package") and said.count("\n") == 1
    assert not became


def test_what_hides_nothing_is_no_reason_to_refuse(became, tmp_path, monkeypatch):
    (tmp_path / "baselines").mkdir()  # a mere folder
    (tmp_path / "real.py").write_text("")  # of another command
    for folder in (tmp_path, ROOT):
        monkeypatch.chdir(folder)
        console.main(["evaluate"])
    (tmp_path / "baselines.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    console.main(["evaluate"])
    assert len(became) == 3


@pytest.mark.parametrize(("set_by_us", "left"), [(True, None), (False, "osmesa")])
def test_a_choice_of_ours_is_not_passed_on_as_the_users_wish(monkeypatch, became, set_by_us, left):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setattr(opengl, "_chosen", "osmesa" if set_by_us else "")
    console.main(["train"])
    assert os.environ.get("MUJOCO_GL") == left
