from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
from dataclasses import fields
from pathlib import Path

import mujoco
import pytest
import torch
from fakes import TINY
from runs import UPDATE, checkpoint_of, copy_of, equal, read_json, state_of

from baselines import evaluate, policies, ppo_oracle
from baselines.rl.ppo import TensorPPO
from baselines.rl.ppo_agents import PPOConfig
from dexscrew_envs.vector_env import DexScrewVectorEnv

# -- a whole run -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_leaves_its_configuration_checkpoint_policy_results_and_curve(run):
    names = {path.name for path in run.iterdir()}
    assert names == {".lock", "config.json", "checkpoint.pt", "policy.pt", "metrics.json", "curve.png", "tensorboard"}
    assert any(path.name.startswith("events.out.tfevents") for path in (run / "tensorboard").iterdir())
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_configuration_tells_what_was_asked_for_and_the_versions(run):
    found = read_json(run / "config.json")
    assert found["config"]["agent"] == "oracle"
    assert (found["config"]["steps"], found["config"]["batch_size"], found["config"]["seed"]) == (5 * UPDATE, 16, 0)
    assert set(found["config"]) == {"agent", "hand_file", "ranks", *(field.name for field in fields(PPOConfig))}
    assert found["command"][:3] == ["python", "-m", "baselines.ppo_oracle"] and "--num-envs" in found["command"]
    assert found["versions"]["torch"] == torch.__version__ and found["versions"]["mujoco"] == mujoco.__version__


def test_the_results_hold_the_curve_and_the_evaluation(run):
    results = read_json(run / "metrics.json")
    assert (results["steps"], results["seed"], results["invalid_physics"]) == (5 * UPDATE, 0, 0)
    assert results["evaluation"]["seed"] == 10_000 and results["evaluation"]["episodes"] == 4
    assert 0 < results["evaluation"]["episode_length_mean"] <= 16
    rows = results["curve"]
    assert rows[-1]["steps"] == 5 * UPDATE
    for row in rows:
        assert set(row) >= {"steps", "seconds", "learning_rate", "rotations", "episode_length", "episode_reward"}
        assert 0 < row["episode_length"] <= 16


def test_the_policy_scores_what_the_run_reported(run, capsys):
    assert evaluate.main(["--policy", str(run / "policy.pt"), "--episodes", "4", "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = read_json(run / "metrics.json")["evaluation"]
    assert {key: found[key] for key in expected} == expected
    assert policies.load(run / "policy.pt").card["evaluation"] == expected


@pytest.mark.slow
def test_a_second_call_with_more_steps_goes_on(run, tmp_path, train, capsys):
    folder = copy_of(run, tmp_path)
    before, old = read_json(run / "metrics.json")["curve"], state_of(run)
    assert train(folder, "--steps", str(12 * UPDATE)) == 0
    assert f"going on from {5 * UPDATE} steps" in capsys.readouterr().err
    results = read_json(folder / "metrics.json")
    assert results["steps"] == 12 * UPDATE == checkpoint_of(folder)["steps"]
    assert results["curve"][: len(before)] == before
    steps, seconds = ([row[key] for row in results["curve"]] for key in ("steps", "seconds"))
    assert steps == sorted(set(steps)) and steps[-1] == 12 * UPDATE
    assert seconds == sorted(seconds)
    assert not equal(state_of(folder), old)
    assert read_json(folder / "config.json")["config"]["steps"] == 12 * UPDATE


@pytest.mark.slow
def test_a_second_call_with_the_same_steps_learns_nothing_more(run, tmp_path, train):
    folder = copy_of(run, tmp_path)
    (folder / "metrics.json").unlink()
    assert train(folder, "--steps", str(5 * UPDATE)) == 0
    assert equal(state_of(folder), state_of(run))
    assert read_json(folder / "metrics.json")["curve"] == read_json(run / "metrics.json")["curve"]


def test_going_on_restores_policy_optimizer_learning_rate_and_random_numbers(run, tmp_path, train, monkeypatch):
    found = {}

    def stop(self: TensorPPO) -> None:
        found.update(
            policy={key: value.clone() for key, value in self.policy.state_dict().items()},
            optimizer=self.policy.optimizer.state_dict(),
            learning_rate=self.current_learning_rate,
            group=self.policy.optimizer.param_groups[0]["lr"],
            total_steps=self.env.env.total_steps,
        )
        raise KeyboardInterrupt

    seeds: list[int | None] = []
    reset = DexScrewVectorEnv.reset

    def record(self: DexScrewVectorEnv, *, seed: int | None = None, options: dict | None = None) -> tuple:
        seeds.append(seed)
        return reset(self, seed=seed, options=options)

    monkeypatch.setattr(TensorPPO, "train", stop)
    monkeypatch.setattr(DexScrewVectorEnv, "reset", record)
    content = checkpoint_of(run)
    assert train(copy_of(run, tmp_path), "--steps", str(20 * UPDATE)) == 130
    norms = [key for key in content["policy"] if ".norms" in key]  # these move with the rollout
    assert norms
    for key, value in content["policy"].items():
        if key in norms:
            assert not torch.equal(found["policy"][key], value)
        else:
            assert torch.equal(found["policy"][key], value)
    for index, state in content["optimizer"]["state"].items():
        assert torch.equal(found["optimizer"]["state"][index]["exp_avg"], state["exp_avg"])
    assert found["learning_rate"] == found["group"] == content["learning_rate"] != 1e-3
    assert found["total_steps"] == 6 * UPDATE
    assert seeds == [None]  # with the seed, episodes would begin as in the first call


@pytest.mark.slow
def test_going_on_is_repeatable(run, tmp_path, train):
    folders = [copy_of(run, tmp_path, name) for name in ("first", "second")]
    for folder in folders:
        assert train(folder, "--steps", str(8 * UPDATE)) == 0
    assert equal(*(state_of(folder) for folder in folders))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_policy_and_another_seed_another(run, tmp_path, train):
    steps = ("--steps", str(5 * UPDATE))
    assert train(tmp_path / "same", *steps) == 0
    assert train(tmp_path / "other", *steps, "--seed", "1") == 0
    assert equal(state_of(tmp_path / "same"), state_of(run))
    assert not equal(state_of(tmp_path / "other"), state_of(run))


def test_the_default_folder_tells_agent_task_and_seed(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ppo_oracle.main([*tiny, "--steps", "32", "--evaluation-episodes", "0", "--seed", "3"]) == 0
    assert (tmp_path / "runs" / "oracle-nut-3" / "policy.pt").is_file()


def test_a_run_without_evaluation_leaves_a_policy_and_no_score(tmp_path, train):
    assert train(tmp_path / "run", "--steps", "32", "--evaluation-episodes", "0") == 0
    assert "evaluation" not in read_json(tmp_path / "run" / "metrics.json")
    assert policies.load(tmp_path / "run" / "policy.pt").task == "nut"


@pytest.mark.slow
def test_a_second_call_keeps_the_evaluation_that_is_there(run, tmp_path, train):
    folder = copy_of(run, tmp_path)
    evaluation = read_json(folder / "metrics.json")["evaluation"]
    assert train(folder, "--steps", str(5 * UPDATE), "--evaluation-episodes", "0") == 0
    assert read_json(folder / "metrics.json")["evaluation"] == evaluation
    assert policies.load(folder / "policy.pt").card["evaluation"] == evaluation
    assert train(folder, "--steps", str(6 * UPDATE), "--evaluation-episodes", "0") == 0
    assert "evaluation" not in read_json(folder / "metrics.json")


def test_a_policy_of_other_widths_can_be_loaded(tmp_path, train):
    folder = tmp_path / "run"
    assert train(folder, "--steps", "32", "--encoder", "16", "4", "--trunk", "32", "16") == 0
    policy = policies.load(folder / "policy.pt")
    assert policy.actor.head.in_features == 16


@pytest.mark.slow
def test_checkpoints_are_written_as_often_as_asked(tmp_path, train, monkeypatch):
    steps: list[int] = []
    write = policies.write_atomically

    def record(content: dict, path: Path) -> None:
        if path.name == "checkpoint.pt":
            steps.append(content["steps"])
        write(content, path)

    monkeypatch.setattr(policies, "write_atomically", record)
    arguments = ("--steps", str(7 * UPDATE), "--checkpoint-every", str(3 * UPDATE), "--evaluation-episodes", "0")
    assert train(tmp_path / "run", *arguments) == 0
    assert steps == [3 * UPDATE, 6 * UPDATE, 7 * UPDATE]


@pytest.mark.slow
def test_a_run_without_a_video_leaves_none_of_an_earlier_policy(run, tmp_path, train):
    folder = copy_of(run, tmp_path)
    (folder / "video.mp4").write_bytes(b"old")
    assert train(folder, "--steps", str(6 * UPDATE)) == 0
    assert not (folder / "video.mp4").exists()


@pytest.mark.slow
def test_a_video_stays_as_long_as_its_policy(run, tmp_path, train):
    folder = copy_of(run, tmp_path)
    (folder / "video.mp4").write_bytes(b"old")
    assert train(folder, "--steps", str(5 * UPDATE), "--evaluation-episodes", "0") == 0
    assert (folder / "video.mp4").exists(), "nothing was learned"
    assert train(folder, "--steps", str(6 * UPDATE), "--evaluation-episodes", "0") == 0
    assert not (folder / "video.mp4").exists()


# -- values that are not possible --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size:UserWarning")
@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("--task", "bolt"), "unknown task 'bolt'; choose from nut, screwdriver"),
        (("--steps", "0"), "steps must be at least 1"),
        (("--num-envs", "0"), "num_envs"),
        (("--batch-size", "12"), "batch_size must divide"),
        (("--batch-size", "0"), "batch_size"),
        (("--n-steps", "0"), "n_steps"),
        (("--threads", "-1"), "threads"),
        (("--evaluation-episodes", "-1"), "evaluation_episodes"),
        (("--seed", "-1"), "eed"),
        (("--learning-rate", "0"), "learning_rate must be positive and finite"),
        (("--learning-rate", "1e39"), "learning_rate must be at most 1e+30, got 1e+39"),
        (("--max-grad-norm", "-1"), "max_grad_norm must be positive and finite"),
        (("--gamma", "5"), "gamma must be between 0 and 1, got 5.0"),
        (("--gae-lambda", "nan"), "gae_lambda must be between 0 and 1"),
        (("--clip-range", "-1"), "clip_range must be positive and finite"),
        (("--clip-range", "1e39"), "clip_range must be at most 1e+30, got 1e+39"),
        (("--reward-scale", "nan"), "reward_scale must be positive and finite"),
        (("--value-coef", "-3"), "value_coef must be finite and not negative"),
        (("--final-kl", "0.5"), "final_kl must be at most target_kl = 0.02"),
        (("--target-kl", "0"), "target_kl must be positive"),
        (("--final-kl", "-1"), "final_kl must be positive"),
        (("--kl-steps", "0"), "kl_steps must be positive"),
        (("--trunk", "0"), "trunk must be one or more widths of at least 1"),
    ],
)
def test_impossible_values_are_errors_before_anything_is_learned(tmp_path, train, capsys, arguments, expected):
    assert train(tmp_path / "run", "--steps", "32", *arguments) == 2
    message = capsys.readouterr().err
    assert message.splitlines()[-1].startswith("error: ") and expected in message
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size:UserWarning")
def test_a_refused_value_leaves_the_folder_free_for_the_corrected_call(tmp_path, train):
    assert train(tmp_path / "run", "--steps", "32", "--batch-size", "12") == 2
    assert train(tmp_path / "run", "--steps", "32", "--evaluation-episodes", "0") == 0


def test_an_unknown_option_is_an_error(tmp_path, train, capsys):
    with pytest.raises(SystemExit) as caught:
        train(tmp_path / "run", "--epoch", "3")
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert "--epoch" in captured.out + captured.err


# -- without OpenGL ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_opengl_a_run_ends_well_names_the_cause_and_skips_only_the_video(tmp_path, train, capsys, monkeypatch):
    def fail(*args, **kwargs) -> None:
        raise RuntimeError("no EGL device")

    monkeypatch.setattr(mujoco, "Renderer", fail)
    folder = tmp_path / "run"
    assert train(folder, "--steps", "64", "--video") == 0
    output = capsys.readouterr().out
    assert "no video" in output and "no OpenGL" in output and "no EGL device" in output
    names = {path.name for path in folder.iterdir()}
    assert "video.mp4" not in names
    assert names >= {"policy.pt", "metrics.json"}
    assert read_json(folder / "metrics.json")["evaluation"]["episodes"] == 4


# -- help --------------------------------------------------------------------------------------------------------------


def docstrings(config: type) -> dict[str, str]:
    """Return the docstring of every field of a dataclass, from its source."""
    found: dict[str, str] = {}
    for cls in reversed(config.__mro__[:-1]):
        body = ast.parse(inspect.getsource(cls)).body[0].body  # type: ignore[attr-defined]
        for node, following in itertools.pairwise(body):
            if isinstance(node, ast.AnnAssign) and isinstance(following, ast.Expr):
                found[node.target.id] = following.value.value  # type: ignore[attr-defined, union-attr]
    return found


def test_help_mentions_every_option_with_its_meaning(capsys):
    with pytest.raises(SystemExit) as caught:
        ppo_oracle.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m|[│─╭╮╰╯]", " ", shown).split())
    documented = docstrings(PPOConfig)
    names = [field.name for field in fields(PPOConfig)]
    assert set(documented) == set(names) and "encoder" in names and "gamma" in names
    for name in names:
        assert f"--{name.replace('_', '-')}" in text
        assert " ".join(documented[name].split()).rstrip(".") in text


@pytest.mark.parametrize("ages", [False, True])
def test_a_training_begins_at_random_ages_if_asked_to(ages, tmp_path, monkeypatch):
    asked, reset = [], DexScrewVectorEnv.reset

    def noted(env, **kwargs):
        asked.append(kwargs.get("options"))
        return reset(env, **kwargs)

    monkeypatch.setattr(DexScrewVectorEnv, "reset", noted)
    arguments = [*TINY, "--evaluation-episodes", "0", "--steps", str(UPDATE), "--folder", str(tmp_path / "run")]
    assert ppo_oracle.main([*arguments, "--random-ages"] if ages else arguments) == 0
    assert asked == [{"random_ages": True} if ages else None]
