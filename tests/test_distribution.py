"""What users install: a wheel, built from the source archive and tried in an environment of its own, far from here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", minversion="77")
pytest.importorskip("pip")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = f"{PROJECT['name']}-{PROJECT['version']}"
PACKAGES = ("dexscrew_envs", "baselines", "real", "benchmark")
DATA = (
    "dexscrew_envs/hands/assets/*.xml", "real/twin/assets/*.xml", "real/twin/about.md", "real/teleop/web/static/*",
    "real/teleop/samples/*/*.h5", "baselines/checkpoints/*", "baselines/checkpoints/clones/*", "*/py.typed",
)  # fmt: skip
"""What the packages need besides their modules."""

TRIAL = """
import sys
from pathlib import Path

import gymnasium

import baselines
import dexscrew_envs
import real
from baselines import policies
from real.twin import reference

for package in (baselines, dexscrew_envs, real):
    assert Path(package.__file__).is_relative_to(sys.prefix), package.__file__

policy = policies.load("nut-oracle")
env = gymnasium.make_vec("DexScrew-Nut-v0", num_envs=2, observe=policy.observe)
observation, _ = env.reset(seed=0)
for _ in range(3):
    observation, *_ = env.step(policy.act(observation))
env.close()

for task in ("Nut", "Screwdriver"):
    env = gymnasium.make(f"DexScrew-{task}Real-v0")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()

assert reference.reference()
"""


def run(*command: str | Path, folder: Path) -> None:
    """Run a program in a folder, without the caller's `PYTHONPATH` and the like."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def build(what: str, source: Path, out: Path) -> Path:
    """Build the "sdist" or "wheel" of a folder, as a front end does, with the setuptools that is installed."""
    hook = f"import sys; from setuptools.build_meta import build_{what} as build; build(sys.argv[1])"
    run(sys.executable, "-c", hook, out, folder=source)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The source archive of a copy of the checkout, without what earlier builds left in it."""
    folder = tmp_path_factory.mktemp("sdist")
    ignored = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "checkout", ignore=ignored)
    return build("sdist", folder / "checkout", folder / "out")


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    """The wheel of that archive."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return build("wheel", folder / NAME, folder / "out")


def test_the_wheel_holds_the_packages_and_what_they_need(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.startswith(f"{NAME}.dist-info/")}
    wanted = {path for package in PACKAGES for path in ROOT.joinpath(package).rglob("*.py")}
    for pattern in DATA:
        matching = {path for path in ROOT.glob(pattern) if path.is_file()}
        assert matching, pattern
        wanted |= matching
    assert held == {path.relative_to(ROOT).as_posix() for path in wanted}


def test_an_installed_wheel_acts_and_steps_in_an_empty_folder(wheel, tmp_path):
    environment, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", environment, folder=empty)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel, folder=empty)
    # What the package depends on is that of this environment. A path file inside is not read, so an editable
    # installation in it stays out of sight.
    outer = sysconfig.get_paths()
    inner = sysconfig.get_path("purelib", "venv", {"base": str(environment)})
    Path(inner, "outer.pth").write_text(f"{outer['purelib']}\n{outer['platlib']}\n")
    run(python, "-c", TRIAL, folder=empty)
