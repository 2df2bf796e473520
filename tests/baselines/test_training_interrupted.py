from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from runs import UPDATE, checkpoint_of, equal, read_json

from baselines import training
from baselines.ppo import TensorPPO

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("updates", [0, 3])
def test_ctrl_c_keeps_what_was_learned_and_the_same_call_goes_on(tmp_path, train, capsys, monkeypatch, updates):
    folder, steps = tmp_path / "run", ("--steps", str(8 * UPDATE))
    done = 0
    learn = TensorPPO.train

    def interrupted(self: TensorPPO) -> None:
        nonlocal done
        if done == updates:
            raise KeyboardInterrupt
        done += 1
        learn(self)

    with monkeypatch.context() as patch:
        patch.setattr(TensorPPO, "train", interrupted)
        assert train(folder, *steps) == 130
    message = capsys.readouterr().err
    assert f"interrupted at {updates * UPDATE} steps; the same command goes on from {folder}" in message
    assert not (folder / "policy.pt").exists()
    assert checkpoint_of(folder)["steps"] == updates * UPDATE
    assert train(folder, *steps) == 0
    assert (updates == 0) or f"going on from {updates * UPDATE} steps" in capsys.readouterr().err
    assert read_json(folder / "metrics.json")["steps"] == 8 * UPDATE


def test_ctrl_c_before_anything_is_learned_is_no_traceback(tmp_path, train, monkeypatch, capsys):
    def interrupted(*args, **kwargs) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "DexScrewVectorEnv", interrupted)
    assert train(tmp_path / "run", "--steps", "64") == 130
    assert "interrupted" in capsys.readouterr().err


def test_networks_that_are_not_finite_leave_the_last_good_checkpoint(tmp_path, train, monkeypatch, capsys):
    learn = TensorPPO.train

    def diverging(model: TensorPPO) -> None:
        learn(model)
        if model.num_timesteps == 3 * UPDATE:
            next(model.policy.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(TensorPPO, "train", diverging)
    assert train(tmp_path / "run", "--steps", str(8 * UPDATE), "--checkpoint-every", "1") == 2
    assert "not finite after 96 steps; the checkpoint is that of 64 steps" in capsys.readouterr().err
    assert checkpoint_of(tmp_path / "run")["steps"] == 2 * UPDATE
    assert not (tmp_path / "run" / "policy.pt").exists()


def test_ctrl_c_in_the_final_evaluation_is_no_traceback_and_the_same_call_finishes(tmp_path, train, monkeypatch):
    def interrupted(*args, **kwargs) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate", interrupted)
        assert train(tmp_path / "run", "--steps", "64") == 130
    assert checkpoint_of(tmp_path / "run")["steps"] == 64
    assert (tmp_path / "run" / "policy.pt").is_file()
    assert train(tmp_path / "run", "--steps", "64") == 0
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_ctrl_c_in_a_rollout_keeps_the_update_before_it(tmp_path, train, monkeypatch):
    learned: dict[str, torch.Tensor] = {}
    learn, collect = TensorPPO.train, TensorPPO.collect_rollouts

    def remembering(self: TensorPPO) -> None:
        learn(self)
        learned.update({key: value.clone() for key, value in self.policy.state_dict().items()})

    def interrupted(self: TensorPPO, env, callback, *args, **kwargs) -> bool:
        if not learned:
            return collect(self, env, callback, *args, **kwargs)
        callback.on_rollout_start()
        raise KeyboardInterrupt

    monkeypatch.setattr(TensorPPO, "train", remembering)
    monkeypatch.setattr(TensorPPO, "collect_rollouts", interrupted)
    assert train(tmp_path / "run", "--steps", str(8 * UPDATE)) == 130
    assert equal(checkpoint_of(tmp_path / "run")["policy"], learned)


@pytest.fixture
def start(tiny) -> Iterator[Callable[[Path], subprocess.Popen]]:
    """Start a long training in a process of its own, and return once it has written a checkpoint."""
    processes: list[subprocess.Popen] = []
    # A shell that starts tests in the background has them ignore SIGINT, and the processes that they start too.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from baselines.ppo_oracle import main; sys.exit(main())"
    )

    def start(folder: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", code, *tiny, "--steps", "1000000000", "--checkpoint-every", "1"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        process = subprocess.Popen(
            [*command, "--folder", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env=environment,
        )  # fmt: skip
        processes.append(process)
        deadline = time.monotonic() + 300
        while not (folder / "checkpoint.pt").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "no checkpoint"
            time.sleep(0.05)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def goes_on(folder: Path, train: Callable[..., int]) -> bool:
    steps = checkpoint_of(folder)["steps"] + 2 * UPDATE
    status = train(folder, "--steps", str(steps), "--evaluation-episodes", "0")
    return status == 0 and read_json(folder / "metrics.json")["steps"] == steps


def test_sigint_ends_a_training_with_status_130_and_it_goes_on(tmp_path, start, train):
    process = start(tmp_path / "run")
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=300)
    assert process.returncode == 130, message
    assert "the same command goes on from" in message and "Traceback" not in message
    assert goes_on(tmp_path / "run", train)


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path, start, train):
    process = start(tmp_path / "run")
    process.kill()
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert goes_on(tmp_path / "run", train)
