from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from fakes import TINY

from baselines import distributed, policies
from baselines.run_folder import CHECKPOINT_FORMAT

pytestmark = [pytest.mark.slow, pytest.mark.network]  # ranks talk to each other by TCP

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


def ranks_of(process: subprocess.Popen) -> list[int]:
    """Return the processes that torchrun started, rank 0 first."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return sorted(int(pid) for pid in found if b"ppo_unprivileged" in Path(f"/proc/{pid}/cmdline").read_bytes())


def is_gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")
@pytest.mark.parametrize(
    ("whom", "number"), [("torchrun", signal.SIGTERM), ("torchrun", signal.SIGKILL), ("rank 1", signal.SIGKILL)]
)
def test_whatever_ends_a_training_on_two_ranks_leaves_a_checkpoint_and_no_process(tmp_path, training, whom, number):
    folder, output = tmp_path / "run", tmp_path / "output.txt"
    endless = [*training, "--steps", "1000000000", "--checkpoint-every", "1000000000"]
    with open(output, "w") as log:
        process = subprocess.Popen(endless, cwd=SCRIPT.parents[2], stderr=log, stdout=log)
    ranks: list[int] = []
    try:
        end = time.monotonic() + 120
        while "step/s" not in output.read_text():
            assert process.poll() is None and time.monotonic() < end, output.read_text()
            time.sleep(0.1)
        time.sleep(2.0)  # the first bar stands before the first step
        ranks = ranks_of(process)
        assert len(ranks) == 2 and not (folder / "checkpoint.pt").exists()
        os.kill(process.pid if whom == "torchrun" else ranks[1], number)
        process.wait(timeout=120)
        while not all(map(is_gone, ranks)):
            assert time.monotonic() < end, "a rank lives on"
            time.sleep(0.05)
    finally:
        for pid in (*ranks, *(ranks_of(process) if process.poll() is None else [])):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
    if "at 0 steps" in output.read_text():
        return  # on a very busy machine: there was nothing to keep
    assert (folder / "checkpoint.pt").exists(), output.read_text()
    if whom == "torchrun" and number == signal.SIGKILL:
        return  # nothing else than in the other cases
    steps = policies.read(folder / "checkpoint.pt", CHECKPOINT_FORMAT)["steps"] + 64
    message = call([*training, "--steps", str(steps)])
    assert "going on from" in message


def test_alone_nothing_is_averaged():
    values = torch.randn(5, 3)
    assert distributed.size() == 1 and distributed.rank() == 0
    assert distributed.average_(values) is values
    mean, var, count = distributed.moments(values)
    torch.testing.assert_close(mean, values.mean(dim=0))
    torch.testing.assert_close(var, values.var(dim=0, correction=0))
    assert count == 5
