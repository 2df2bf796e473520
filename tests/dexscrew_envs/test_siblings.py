"""Other packages of our names, in processes that start in a folder that holds them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FINDER = f"""
import sys
from importlib.machinery import PathFinder
from importlib.util import spec_from_file_location

class Finder:  # as setuptools installs it for `pip install -e`: after all others
    @staticmethod
    def find_spec(fullname, path=None, target=None):
        parent = fullname.rpartition(".")[0]
        if fullname in ("baselines", "benchmark", "dexscrew_envs", "real"):
            folder = {str(ROOT)!r} + "/" + fullname
            return spec_from_file_location(fullname, folder + "/__init__.py", submodule_search_locations=[folder])
        if parent in ("baselines", "benchmark", "dexscrew_envs", "real"):
            return PathFinder.find_spec(fullname, path=[{str(ROOT)!r} + "/" + parent])

sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
if {{editable}}:
    sys.meta_path.append(Finder)
"""


@pytest.fixture
def start(tmp_path):
    """Run Python in a folder that holds others' packages, with ours installed in either way."""

    def run(*arguments, package="", folder="", module="", editable=True):
        here, site = tmp_path / "here", tmp_path / "site"
        here.mkdir()
        site.mkdir()
        for name in filter(None, (package, folder)):
            (here / name).mkdir()
        if package:
            (here / package / "__init__.py").write_text("")
        if module:
            (here / module).write_text("")
        (site / "sitecustomize.py").write_text(FINDER.format(editable=editable))
        paths = [str(site)] + ([] if editable else [str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run([sys.executable, *arguments], cwd=here, env=environment, capture_output=True, text=True)
        return done, here

    return run


LOAD = "from baselines import policies; print(policies.load('nut-oracle').task, 'student' in str(policies.shipped()))"


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "import dexscrew_envs, real.env; ", "import torch, baselines; "])
def test_a_folder_of_our_name_is_told_and_does_no_harm(start, first):
    done, here = start("-c", first + LOAD, folder="baselines")
    assert done.stdout.strip() == "nut True", done.stderr
    assert f"{here / 'baselines'} hides DexScrew's own package 'baselines'" in done.stderr
    assert done.stderr.count("hides") == 1


@pytest.mark.slow
def test_a_folder_of_our_name_lets_a_program_run(start):
    done, here = start("-m", "baselines.evaluate", "--policy", "nut-oracl", folder="baselines")
    assert done.returncode == 2
    assert "did you mean 'nut-oracle'" in done.stderr
    assert f"{here / 'baselines'} hides" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dexscrew_envs", "real", "benchmark"])
def test_the_physics_finds_its_files_beside_a_folder_of_our_name(start, name):
    code = (
        "import real.env, dexscrew_envs.vector_env as v; v.DexScrewVectorEnv('nut', 1); real.env.DexScrewRealEnv('nut')"
    )
    done, _ = start("-c", code + "; print('there')", folder=name)
    assert done.stdout.strip() == "there", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "package", "editable", "status"),
    [
        (("-m", "baselines.evaluate", "--policy", "nut-oracle"), "baselines", True, 2),
        (("-m", "real.run", "nut-oracle"), "real", True, 2),
        (("-m", "real.run", "--policy", "nut-oracle"), "baselines", False, 2),
        (("-m", "baselines.evaluate", "--policy", "nut-oracle"), "dexscrew_envs", True, 1),
        (("-c", LOAD), "baselines", True, 1),
        (("-c", "import dexscrew_envs, torch; " + LOAD), "baselines", True, 1),
        (("-c", "import gymnasium, dexscrew_envs; gymnasium.make('DexScrew-NutReal-v0')"), "real", False, 1),
        (("-c", "import baselines.policies"), "dexscrew_envs", True, 1),
    ],
    ids=str,
)
def test_another_package_of_our_name_is_named(start, arguments, package, editable, status):
    done, here = start(*arguments, package=package, editable=editable)
    said = done.stderr.strip().splitlines()
    assert done.returncode == status, done.stderr
    assert (
        f"{here / package} hides DexScrew's own package {package!r}, which is {ROOT / package}; start from" in said[-1]
    )
    if status == 2:
        assert len(said) == 1 and said[0].startswith("error: ")


@pytest.mark.slow
def test_a_module_of_our_name_is_named(start):
    done, here = start("-m", "real.run", "--policy", "nut-oracle", module="baselines.py", editable=False)
    assert done.returncode == 2
    assert f"{here / 'baselines.py'} hides DexScrew's own package 'baselines'" in done.stderr


@pytest.mark.slow
def test_our_own_packages_hide_nothing():
    code = (
        "import baselines.policies, real.env, benchmark; from dexscrew_envs import siblings; "
        "print(*map(siblings.hidden_by, siblings.NAMES))"
    )
    flags = ("-W", "error::UserWarning", "-c", code)
    done = subprocess.run([sys.executable, *flags], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["None"] * 4, done.stderr
