from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fakes import TINY
from runs import UPDATE, checkpoint_of, equal, read_json

from baselines.rl import training
from baselines.rl.ppo import TensorPPO
from dexscrew_envs.program import Status

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
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
    assert train(tmp_path / "run", "--steps", str(8 * UPDATE), "--checkpoint-every", "1") == Status.CUT_SHORT
    assert "not finite after 96 steps; the checkpoint is that of 64 steps" in capsys.readouterr().err
    assert checkpoint_of(tmp_path / "run")["steps"] == 2 * UPDATE
    assert not (tmp_path / "run" / "policy.pt").exists()


@pytest.mark.slow
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


def command(folder: Path, *arguments: str) -> list[str]:
    """Return the command of a tiny training in a process of its own, where tasks are as they are."""
    return [sys.executable, "-m", "baselines.ppo_oracle", *TINY, "--folder", str(folder), *arguments]


@pytest.fixture
def start() -> Iterator[Callable[[Path], subprocess.Popen]]:
    """Start a long training in a process of its own, and return once it has written a checkpoint."""
    processes: list[subprocess.Popen] = []

    def start(folder: Path) -> subprocess.Popen:
        process = subprocess.Popen(
            command(folder, "--steps", "1000000000", "--checkpoint-every", "1"), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=ROOT,
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


def goes_on(folder: Path) -> bool:
    steps = checkpoint_of(folder)["steps"] + 2 * UPDATE
    found = subprocess.run(
        command(folder, "--steps", str(steps), "--evaluation-episodes", "0"), cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return read_json(folder / "metrics.json")["steps"] == steps


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_a_training_with_a_checkpoint_and_it_goes_on(tmp_path, start, number):
    process = start(tmp_path / "run")
    before = checkpoint_of(tmp_path / "run")["steps"]
    process.send_signal(number)
    _, message = process.communicate(timeout=300)
    assert process.returncode == 128 + number, message
    assert "the same command goes on from" in message and "Traceback" not in message
    assert f"at {checkpoint_of(tmp_path / 'run')['steps']:,} steps" in message
    assert checkpoint_of(tmp_path / "run")["steps"] >= before
    assert goes_on(tmp_path / "run")


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path, start):
    process = start(tmp_path / "run")
    process.kill()
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert goes_on(tmp_path / "run")


@pytest.mark.slow
def test_a_second_training_in_the_folder_is_refused_and_names_the_first(tmp_path, start):
    process = start(tmp_path / "run")
    second = subprocess.run(
        command(tmp_path / "run", "--steps", "1000000000", "--checkpoint-every", "1"), cwd=ROOT, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert second.returncode == Status.REFUSED
    assert f"{tmp_path / 'run'} is in use by process {process.pid}" in second.stderr
    assert second.stderr.count("\n") == 1


def small_files() -> None:
    """Let no file of this process grow beyond 16 KiB, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))


@pytest.mark.slow
def test_a_full_disk_is_a_sentence_keeps_the_old_checkpoint_and_the_run_goes_on(tmp_path):
    folder = tmp_path / "run"
    for steps, full in ((2 * UPDATE, False), (6 * UPDATE, True)):
        found = subprocess.run(
            command(folder, "--steps", str(steps), "--checkpoint-every", "1", "--evaluation-episodes", "0"), cwd=ROOT,
            capture_output=True, text=True, preexec_fn=small_files if full else None, timeout=300, check=False,
        )  # fmt: skip
        if not full:
            assert found.returncode == 0, found.stderr
            before = (folder / "checkpoint.pt").read_bytes()
    assert found.returncode == Status.CUT_SHORT, found.stderr
    assert f"cannot write {folder / 'checkpoint.pt'}" in found.stderr and "MB free" in found.stderr
    assert "Traceback" not in found.stderr
    assert (folder / "checkpoint.pt").read_bytes() == before
    assert not [path for path in folder.iterdir() if "partial" in path.name]
    assert goes_on(folder)
