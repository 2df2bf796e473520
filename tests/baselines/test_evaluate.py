from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
import torch
from fakes import FakeEnv
from torch import Tensor

from baselines import evaluate, policies
from baselines.evaluate import Score, table
from dexscrew_envs.tasks import make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv

KEYS = ("proprio", "privileged")
ROOT = Path(__file__).parents[2]


class Constant:
    """Always acts the same, and notes which episodes it was told to begin."""

    task, observe = "nut", KEYS

    def __init__(self, action: float = 0.25, **task_fields) -> None:
        self.action = action
        self.task_fields = task_fields
        self.resets: list[list[bool] | None] = []

    def reset(self, mask: Tensor | None = None) -> None:
        self.resets.append(None if mask is None else mask.tolist())

    def act(self, observation: dict[str, Tensor]) -> Tensor:
        return torch.full((len(observation["proprio"]), 12), self.action)


def test_the_first_episode_of_each_environment_counts_and_no_other():
    env, policy = FakeEnv([2, 5, 3, 7], terminates=[True, False, True, True]), Constant()
    score = evaluate.evaluate(policy, env, seed=3)
    assert score.length.tolist() == [2, 5, 3, 7]
    np.testing.assert_allclose(score.reward, [-0.0625 * n for n in (2, 5, 3, 7)], rtol=1e-6)
    np.testing.assert_allclose(score.rotations, [0.2, 0.5, 0.3, 0.7], rtol=1e-6)
    assert score.reasons == {"fingers_away": 3, "time_limit": 1}
    assert env.seeds == [3]


def test_a_policy_is_told_when_episodes_begin():
    policy = Constant()
    evaluate.evaluate(policy, FakeEnv([1, 2]), seed=0)
    assert policy.resets == [None, [True, False], [True, True]]


def test_frames_are_those_of_the_first_episode_of_environment_0():
    env = FakeEnv([3, 9])
    env.frame = lambda index: np.full((2, 2, 3), env.steps[index])
    frames: list[np.ndarray] = []
    evaluate.evaluate(Constant(), env, seed=0, on_step=lambda: frames.append(env.frame(0)))
    assert len(frames) == 3


def test_the_summary_is_mean_and_standard_deviation_over_episodes():
    score = Score(np.array([1.0, 3.0]), np.array([10.0, 30.0]), np.array([5.0, 6.0]), {"stagnation": 2})
    assert score.summary() == {
        "rotations_mean": 2.0,
        "rotations_std": 1.0,
        "episode_length_mean": 20.0,
        "reward_mean": 5.5,
        "episodes": 2,
        "reasons": {"stagnation": 2},
    }
    shown = table(score.summary())
    assert "2.00 ± 1.00" in shown and "20.0" in shown and "stagnation 2" in shown


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory, short_nut) -> Path:
    env = DexScrewVectorEnv("nut", 1, observe=KEYS, num_threads=1)
    torch.manual_seed(0)
    actor = policies.build_actor({key: env.single_observation_space[key].shape for key in KEYS})
    path = tmp_path_factory.mktemp("policy") / "policy.pt"
    policies.save(policies.ActorPolicy(actor, "nut", {}), path)
    return path


def run(policy: object, *arguments: str) -> int:
    return evaluate.main(["--policy", str(policy), "--episodes", "4", "--threads", "1", *arguments])


@pytest.mark.slow
def test_json_is_the_last_line_and_one_object(policy_file, capsys):
    assert run(policy_file, "--json") == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert set(found) >= {"rotations_mean", "rotations_std", "episode_length_mean", "reward_mean", "episodes"}
    assert found["episodes"] == 4 and 0 < found["episode_length_mean"] <= 16
    assert found["policy"] == str(policy_file) and found["task"] == "nut" and found["seed"] == 10_000
    assert sum(found["reasons"].values()) == 4
    assert "turns per episode" in "".join(lines[:-1])


def test_without_json_there_is_only_the_table(policy_file, capsys):
    assert run(policy_file) == 0
    assert "{" not in capsys.readouterr().out


def summary_of(capsys, policy: Path, *arguments: str) -> dict:
    assert run(policy, "--json", *arguments) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_score_is_repeatable_and_depends_on_the_seed(policy_file, capsys):
    first, again, other = (summary_of(capsys, policy_file, "--seed", seed) for seed in ("1", "1", "2"))
    assert first == again
    assert first["reward_mean"] != other["reward_mean"]


@pytest.mark.slow
def test_without_randomization_all_episodes_are_the_same(policy_file, capsys):
    found = summary_of(capsys, policy_file, "--no-randomize")
    assert found["rotations_std"] == pytest.approx(0, abs=1e-9)
    assert len(found["reasons"]) == 1


@pytest.mark.slow
def test_the_shape_reaches_the_task(policy_file, monkeypatch):
    seen = {}

    def record(policy, env, **kwargs) -> Score:
        seen["shape"] = env.task.sampled_shapes
        return Score(np.zeros(4), np.ones(4), np.zeros(4), {})

    monkeypatch.setattr(evaluate, "evaluate", record)
    assert run(policy_file, "--shape", "square", "cross") == 0
    assert seen["shape"] == ("square", "cross")


def test_noise_and_push_are_factors_of_what_the_policy_was_trained_with():
    policy = Constant(observation_noise=(0.02, 0.01), reset_distance=0.12)
    assert evaluate.conditions(policy, randomize=True) == {
        "observation_noise": (0.02, 0.01), "action_noise": (0.01, 0.005), "push_force": 2.0, "reset_distance": 0.12
    }  # fmt: skip
    changed = evaluate.conditions(policy, randomize=True, noise=2.0, push=5.0)
    assert changed == {
        "observation_noise": (0.04, 0.02), "action_noise": (0.02, 0.01), "push_force": 10.0, "reset_distance": 0.12
    }  # fmt: skip
    still = make_task("nut", randomize=False, **evaluate.conditions(policy, randomize=False, noise=2.0))
    assert still == make_task("nut", randomize=False, reset_distance=0.12)


def test_without_randomization_ranges_of_the_training_collapse_and_those_that_are_given_stay():
    policy = Constant(
        friction=(0.3, 1.0), scales=(0.8, 1.2), object_position_noise=(0.02, 0.0, 0.0), restitution=(1, 1)
    )
    task = make_task("nut", randomize=False, **evaluate.conditions(policy, randomize=False))
    assert task.friction == (0.65, 0.65) and task.scales == (1.0,) and task.restitution == (0.0, 0.0)
    assert task.object_position == pytest.approx((0.0275, 0.06, 0.0)), "the middle of where it stood in training"
    assert task == task.without_randomization()
    fields = {"friction": (0.5, 2.0), "observation_noise": (0.01, 0.0)}
    given = make_task("nut", randomize=False, **evaluate.conditions(policy, randomize=False, fields=fields))
    assert (given.friction, given.observation_noise, given.scales) == ((0.5, 2.0), (0.01, 0.0), (1.0,))


@pytest.mark.slow
def test_noise_and_push_reach_the_task(policy_file, monkeypatch):
    seen = {}

    def record(policy, env, **kwargs) -> Score:
        seen.update(noise=env.task.action_noise, push=env.task.push_force)
        return Score(np.zeros(4), np.ones(4), np.zeros(4), {})

    monkeypatch.setattr(evaluate, "evaluate", record)
    assert run(policy_file, "--noise", "3", "--push", "0") == 0
    assert seen == {"noise": pytest.approx((0.03, 0.015)), "push": 0.0}


@pytest.mark.slow
def test_a_video_is_written(policy_file, tmp_path, capsys):
    probe = DexScrewVectorEnv("nut", 1, observe=("proprio",), num_threads=1)
    probe.reset(seed=0)
    try:
        probe.frame(0)
    except gymnasium.error.DependencyNotInstalled as error:
        pytest.skip(str(error))
    finally:
        probe.close()
    path = tmp_path / "sub" / "video.mp4"
    assert run(policy_file, "--video", str(path)) == 0
    assert path.read_bytes()[4:8] == b"ftyp" and path.stat().st_size > 5_000
    assert str(path) in capsys.readouterr().out


def test_a_video_without_opengl_is_an_error_that_names_the_cause(policy_file, tmp_path, capsys, monkeypatch):
    def fail(*args, **kwargs) -> None:
        raise RuntimeError("no EGL device")

    monkeypatch.setattr(mujoco, "Renderer", fail)
    assert run(policy_file, "--video", str(tmp_path / "video.mp4")) == 2
    assert "no OpenGL" in (error := capsys.readouterr().err) and "no EGL device" in error
    assert not (tmp_path / "video.mp4").exists()


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("--policy", "no-such-policy"), "unknown policy 'no-such-policy'"),
        (("--policy", "no/such/file.pt"), "there is no file no/such/file.pt"),
        (("--episodes", "0"), "--episodes must be at least 1, got 0"),
        (("--shape", "heptagon"), "unknown shape 'heptagon'"),
        (("--seed", "-1"), "seed"),
        (("--video", "nut.gif"), "--video must end in .mp4, got nut.gif"),
        (("--noise", "-1"), "--noise must be a factor of at least 0"),
        (("--push", "nan"), "--push must be a factor of at least 0"),
        (("--threads", "-1"), "num_threads"),
    ],
)
def test_impossible_arguments_are_errors_with_status_2(policy_file, capsys, arguments, expected):
    assert run(policy_file, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and expected in captured.err
    assert captured.out == ""


def test_a_truncated_policy_is_an_error_that_names_the_file(policy_file, tmp_path, capsys):
    path = tmp_path / "cut.pt"
    path.write_bytes(policy_file.read_bytes()[:50_000])
    assert run(path) == 2
    assert str(path) in capsys.readouterr().err


def test_ctrl_c_is_status_130(policy_file, monkeypatch, capsys):
    def interrupted(*args, **kwargs) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "evaluate", interrupted)
    assert run(policy_file) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_policy_for_another_version_of_the_task_is_an_error(tmp_path, capsys):
    torch.manual_seed(0)
    actor = policies.build_actor({"proprio": (3, 24), "privileged": (5,)})
    policies.save(policies.ActorPolicy(actor, "nut", {}), tmp_path / "old.pt")
    assert run(tmp_path / "old.pt") == 2
    assert "trained with privileged of shape (5,)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_terminal_of_ascii_loses_no_result_and_a_log_stays_short(policy_file):
    command = [sys.executable, "-m", "baselines.evaluate", "--policy", str(policy_file), "--episodes", "2", "--json"]
    command += ["--threads", "1", "--env.episode-steps", "5"]
    found = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=True
    )
    assert "+-" in found.stdout and json.loads(found.stdout.splitlines()[-1])["episodes"] == 2
    lines = [line for line in found.stderr.splitlines() if "evaluating" in line]
    assert len(lines) == len(found.stderr.splitlines()) <= 3, "a log gets a line now and then"


def test_a_video_that_cannot_be_written_does_not_lose_the_score(policy_file, tmp_path, capsys, monkeypatch):
    @contextlib.contextmanager
    def broken(path, fps):
        def show(frame):
            raise BrokenPipeError(32, "Broken pipe")

        yield show

    monkeypatch.setattr(evaluate, "video_writer", broken)
    monkeypatch.setattr(DexScrewVectorEnv, "frame", lambda self, env=0: np.zeros((8, 8, 3), np.uint8))
    assert run(policy_file, "--json") == 0
    plain = json.loads(capsys.readouterr().out.splitlines()[-1])
    path = tmp_path / "v.mp4"
    assert run(policy_file, "--json", "--video", str(path)) == 4
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1]) == plain
    assert f"cannot write {path}: Broken pipe" in captured.err and not path.exists()
    (tmp_path / "d.mp4").mkdir()
    assert run(policy_file, "--video", str(tmp_path / "d.mp4")) == 2
    assert "is a folder; give the name of a file" in capsys.readouterr().err
