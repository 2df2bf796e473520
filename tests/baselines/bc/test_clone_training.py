from __future__ import annotations

import json
import os
import re
import signal

import numpy as np
import pytest
import torch
from clone_data import record_waves

from baselines.bc import __main__ as command
from baselines.bc import dagger, training
from baselines.bc.learner import Learner
from baselines.bc.policy import load
from baselines.data import editing
from baselines.data.reader import Episode
from dexscrew_envs.files import claimed

SMALL = ("--history", "4", "--batch-size", "32", "--threads", "1", "--average", "0.9")


@pytest.fixture
def demos(tmp_path):
    record_waves(tmp_path / "demos", 5)
    return tmp_path / "demos"


def clone(demos, folder, *options):
    return command.main(["--data", str(demos), "--folder", str(folder), *SMALL, *options])


@pytest.mark.slow
def test_a_clone_learns_and_leaves_its_results(demos, tmp_path, capsys):
    folder = tmp_path / "run"
    assert clone(demos, folder, "--steps", "60") == 0
    results = json.loads((folder / "metrics.json").read_text())
    curve = results["curve"]
    assert curve[-1]["training"] < 0.3 * curve[0]["training"]
    assert curve[-1]["validation"] < curve[0]["validation"]
    assert results["data"]["episodes"] == 4 and results["data"]["held out"] == 1
    assert results["data"]["seeds"] == [0, 4] and results["data"]["shapes"] == ["square"]
    assert (folder / "curve.png").stat().st_size > 5000
    policy = load(folder / "policy.pt")
    assert policy.name == "run" and policy.design.history == 4 and policy.card["steps"] == 60
    assert "held-out loss" in capsys.readouterr().out


@pytest.mark.slow
def test_the_policy_holds_the_average_and_the_training_goes_on_with_its_own_weights(demos, tmp_path):
    assert clone(demos, tmp_path / "run", "--steps", "20") == 0
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    state = load(tmp_path / "run" / "policy.pt").network.state_dict()
    name = "decoder.1.weight"
    assert torch.equal(checkpoint["average"][f"module.{name}"], state[name])
    assert not torch.equal(checkpoint["network"][name], state[name])


@pytest.mark.slow
def test_an_interrupted_training_ends_as_one_that_was_not(demos, tmp_path, monkeypatch, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert clone(demos, whole, "--steps", "30") == 0
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    step = Learner.step

    def interrupted(self):
        if self.steps == 13:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self)

    monkeypatch.setattr(Learner, "step", interrupted)
    assert clone(demos, parts, "--steps", "30") == 128 + signal.SIGTERM
    assert re.search(r"at 13 steps; the same command goes on from \d+ steps in", capsys.readouterr().err)
    assert not (parts / "policy.pt").exists()
    monkeypatch.setattr(Learner, "step", step)
    assert clone(demos, parts, "--steps", "30") == 0
    assert "going on from" in capsys.readouterr().err
    ours, theirs = (load(folder / "policy.pt").network.state_dict() for folder in (whole, parts))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    curves = [json.loads((folder / "metrics.json").read_text())["curve"] for folder in (whole, parts)]
    assert curves[0] == curves[1]


@pytest.mark.slow
def test_a_row_of_the_curve_that_was_interrupted_is_whole(demos, tmp_path, monkeypatch):
    """A row stands for several steps in longer trainings; the interruption falls within one."""
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    step, curves = Learner.step, []

    def interrupted(self):
        if self.steps == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self)

    for folder in (tmp_path / "whole", tmp_path / "parts"):
        if folder.name == "parts":
            monkeypatch.setattr(Learner, "step", interrupted)
            assert clone(demos, folder, "--steps", "400") == 128 + signal.SIGTERM
            monkeypatch.setattr(Learner, "step", step)
        assert clone(demos, folder, "--steps", "400") == 0
        curves.append(json.loads((folder / "metrics.json").read_text())["curve"])
    assert curves[0][1]["steps"] == 8 and curves[0] == curves[1]


@pytest.mark.slow
def test_a_folder_belongs_to_one_configuration_and_its_data(demos, tmp_path, capsys):
    folder = tmp_path / "run"
    assert clone(demos, folder, "--steps", "3") == 0
    assert clone(demos, folder, "--steps", "3", "--no-tactile") == 2
    assert "design.tactile (there True, now False)" in capsys.readouterr().err
    record_waves(demos, 1, seed=9)
    assert clone(demos, folder, "--steps", "3") == 2
    assert "another configuration: episodes" in capsys.readouterr().err


@pytest.mark.slow
def test_a_refusal_tells_of_many_episodes_only_how_many(demos, tmp_path, capsys):
    folder = tmp_path / "run"
    assert clone(demos, folder, "--steps", "3") == 0
    editing.drop(demos, [0, 2])
    record_waves(demos, 1, seed=9)
    assert clone(demos, folder, "--steps", "3") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "another configuration: episodes (of the 5 there 2 are gone, and 1 are new); give" in error


@pytest.mark.slow
def test_a_clone_does_not_go_on_with_another_number_of_steps(demos, tmp_path, capsys):
    folder = tmp_path / "run"
    assert clone(demos, folder, "--steps", "5") == 0
    assert clone(demos, folder, "--steps", "10") == 2
    assert "another configuration: steps (there 5, now 10)" in capsys.readouterr().err
    assert clone(demos, folder, "--steps", "5", "--threads", "2") == 0


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--dagger", "1", "--skill", "nut-student")])
def test_data_that_are_refused_do_not_claim_the_folder(tmp_path, capsys, monkeypatch, options):
    monkeypatch.setattr(dagger, "_find", lambda robot: lambda clone, out, **asked: record_waves(out, 2, seed=9))
    demos, folder = tmp_path / "demos", tmp_path / "run"
    record_waves(demos, 4)
    path = demos / "episode_000002.h5"
    finite = Episode.__getitem__

    def broken(self, name):
        return np.full_like(finite(self, name), np.nan) if (self.path, name) == (path, "hand_q") else finite(self, name)

    monkeypatch.setattr(Episode, "__getitem__", broken)
    assert clone(demos, folder, "--steps", "3", *options) == 2
    assert "has a value of hand_q in step 0 that is not finite; drop it" in capsys.readouterr().err
    editing.drop(demos, [2])
    assert clone(demos, folder, "--steps", "3", *options) == 0


@pytest.mark.slow
def test_a_folder_in_use_or_of_another_run_is_refused_before_the_data_are_read(demos, tmp_path, capsys, monkeypatch):
    assert clone(demos, tmp_path / "run", "--steps", "3") == 0
    monkeypatch.setattr(training, "make_samples", None)
    with claimed(tmp_path / "used"):
        assert clone(demos, tmp_path / "used", "--steps", "3") == 2
    assert "is in use by process" in capsys.readouterr().err
    assert clone(demos, tmp_path / "run", "--steps", "3", "--seed", "1") == 2
    assert "another configuration: seed (there 0, now 1)" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--steps", "0"), "steps must be at least 1"),
        (("--history", "0"), "history must be an integer from 1"),
        (("--learning-rate", "nan"), "learning_rate must be positive"),
        (("--average", "1"), "average must be at least 0 and below 1"),
        (("--validation", "1"), "validation must lie between 0 and 1"),
        (("--progress", "2"), "progress must lie between 0 and 1"),
        (("--history", "70"), "history and horizon together need 86"),
        (
            ("--no-tactile", "--touch", "taxels", "--touch-memory", "3"),
            "has no --touch-memory, --touch: give these, or",
        ),
        (("--threads", "100000"), "threads must be at most"),
        (("--seed", str(2**63)), "seed must be below 2^63"),
    ],
)
def test_impossible_arguments_are_refused_before_the_folder_is_made(demos, tmp_path, capsys, options, words):
    assert clone(demos, tmp_path / "run", *options) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_without_data_is_refused(tmp_path, capsys):
    assert clone(tmp_path / "nothing", tmp_path / "run") == 2
    assert "nothing" in capsys.readouterr().err


@pytest.mark.slow
def test_the_average_of_a_short_training_is_not_that_of_its_first_weights(demos, tmp_path):
    assert clone(demos, tmp_path / "run", "--steps", "60", "--average", "0.999") == 0
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    name = "decoder.1.weight"
    last, average = checkpoint["network"][name], checkpoint["average"][f"module.{name}"]
    assert clone(demos, tmp_path / "one", "--steps", "1") == 0
    first = torch.load(tmp_path / "one" / "checkpoint.pt", weights_only=True)["network"][name]
    assert (average - last).norm() < 0.5 * (first - last).norm()
