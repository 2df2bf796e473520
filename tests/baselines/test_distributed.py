from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fakes import TINY

from baselines import distributed, policies

SCRIPT = Path(__file__).with_name("two_ranks.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def call(command: list[str], status: int = 0) -> str:
    path = os.pathsep.join([str(SCRIPT.parents[2]), str(SCRIPT.parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=SCRIPT.parents[2], env=environment
    )  # fmt: skip
    assert done.returncode == status, done.stderr[-3000:]
    return done.stderr


@pytest.fixture(scope="module")
def ends(tmp_path_factory) -> dict[str, dict]:
    """How a training ended on each of two ranks, and alone with the same global batch."""
    folder = tmp_path_factory.mktemp("ranks")
    call([*TORCHRUN, str(SCRIPT), str(folder)])
    call([sys.executable, str(SCRIPT), str(folder)])
    return {path.stem: torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pt"))}


def test_both_ranks_end_with_equal_parameters_normalisation_and_learning_rate(ends):
    first, second = ends["2-0"], ends["2-1"]
    assert first["learning_rate"] == second["learning_rate"]
    assert first["policy"].keys() == second["policy"].keys()
    for key, value in first["policy"].items():
        assert torch.equal(value, second["policy"][key]), key


def test_the_ranks_explore_differently(ends):
    assert not torch.equal(ends["2-0"]["actions"][0], ends["2-1"]["actions"][0])


def test_two_ranks_take_the_same_steps_as_one_and_learn_no_worse(ends):
    assert ends["2-0"]["steps"] == ends["2-1"]["steps"] == ends["1-0"]["steps"]
    assert float(ends["2-0"]["policy"]["value_norm.count"]) == float(ends["1-0"]["policy"]["value_norm.count"])
    # The reward asks for actions of 0.5, so the mean action of a policy that learned nothing is off by 0.5^2.
    alone = ends["1-0"]["error"]
    assert alone < 0.05
    assert ends["2-0"]["error"] == ends["2-1"]["error"] < 1.25 * alone + 0.01


@pytest.fixture
def training(tmp_path) -> list[str]:
    """The command of a tiny training on two ranks."""
    tiny = [*TINY, "--evaluation-episodes", "0", "--folder", str(tmp_path / "run")]
    return [*TORCHRUN, "-m", "baselines.ppo_unprivileged", *tiny]


def test_a_whole_training_runs_under_torchrun_and_goes_on(tmp_path, training):
    folder = tmp_path / "run"
    call([*training, "--steps", "64"])
    assert policies.load(folder / "policy.pt").card["steps"] == 64
    message = call([*training, "--steps", "128"])
    assert "going on from 64 steps" in message
    assert policies.load(folder / "policy.pt").card["steps"] == 128
    refused = call([*training, "--steps", "128", "--gamma", "0.9"], status=1)
    assert "gamma (there 0.98, now 0.9)" in refused and "another rank refused the run folder" in refused
    assert "Connection closed" not in refused


def test_alone_nothing_is_averaged():
    values = torch.randn(5, 3)
    assert distributed.size() == 1 and distributed.rank() == 0
    assert distributed.average_(values) is values
    mean, var, count = distributed.moments(values)
    torch.testing.assert_close(mean, values.mean(dim=0))
    torch.testing.assert_close(var, values.var(dim=0, correction=0))
    assert count == 5
