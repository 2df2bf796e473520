from __future__ import annotations

import ast
import inspect
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import mujoco
import pytest
import torch
from fakes import TINY

from baselines import evaluate, policies, ppo_oracle, training
from baselines.ppo import TensorPPO
from baselines.ppo_agents import PPOConfig
from baselines.run_folder import CHECKPOINT_FORMAT
from dexscrew_envs.vector_env import DexScrewVectorEnv

UPDATE = 32
"""Control steps between updates of a tiny training."""
ROOT = Path(__file__).parents[2]


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def checkpoint_of(folder: Path) -> dict:
    return policies.read(folder / "checkpoint.pt", CHECKPOINT_FORMAT)


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    return policies.read(folder / "policy.pt", policies.FORMAT)["state"]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


# -- a whole run ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory, short_nut, one_thread) -> Path:
    """A finished run of five updates."""
    folder = tmp_path_factory.mktemp("run") / "nut"
    assert ppo_oracle.main([*TINY, "--folder", str(folder), "--steps", str(5 * UPDATE)]) == 0
    return folder


def test_a_run_leaves_its_configuration_checkpoint_policy_results_and_curve(run):
    names = {path.name for path in run.iterdir()}
    assert names == {"config.json", "checkpoint.pt", "policy.pt", "metrics.json", "curve.png", "tensorboard"}
    assert any(path.name.startswith("events.out.tfevents") for path in (run / "tensorboard").iterdir())
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_configuration_tells_what_was_asked_for_and_the_versions(run):
    found = read_json(run / "config.json")
    assert found["config"]["agent"] == "oracle"
    assert (found["config"]["steps"], found["config"]["batch_size"], found["config"]["seed"]) == (5 * UPDATE, 16, 0)
    assert set(found["config"]) == {"agent", *(field.name for field in fields(PPOConfig))}
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


def test_going_on_is_repeatable(run, tmp_path, train):
    folders = [copy_of(run, tmp_path, name) for name in ("first", "second")]
    for folder in folders:
        assert train(folder, "--steps", str(8 * UPDATE)) == 0
    assert equal(*(state_of(folder) for folder in folders))


def copy_of(run: Path, where: Path, name: str = "copy") -> Path:
    """Copy what a run goes on from."""
    folder = where / name
    folder.mkdir()
    for file in ("config.json", "checkpoint.pt", "metrics.json"):
        (folder / file).write_bytes((run / file).read_bytes())
    return folder


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


def test_a_policy_of_other_widths_can_be_loaded(tmp_path, train):
    folder = tmp_path / "run"
    assert train(folder, "--steps", "32", "--encoder", "16", "4", "--trunk", "32", "16") == 0
    policy = policies.load(folder / "policy.pt")
    assert policy.actor.head.in_features == 16


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


# -- folders that cannot be used --------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("--gamma", "0.9"), "gamma (there 0.98, now 0.9)"),
        (("--task", "screwdriver"), "task (there 'nut', now 'screwdriver')"),
        (("--num-envs", "16"), "num_envs (there 8, now 16)"),
        (("--no-randomize",), "randomize (there True, now False)"),
        (("--trunk", "32"), "trunk (there [512, 256, 128], now [32])"),
        (("--seed", "7", "--epochs", "9"), "seed (there 0, now 7), epochs (there 2, now 9)"),
    ],
)
def test_a_folder_of_another_configuration_is_refused_and_the_fields_are_named(
    run, tmp_path, train, capsys, arguments, expected
):
    folder = copy_of(run, tmp_path)
    before = contents(folder)
    assert train(folder, "--steps", str(20 * UPDATE), *arguments) == 2
    message = capsys.readouterr().err
    assert expected in message and "--folder" in message and str(folder) in message
    assert contents(folder) == before


def test_a_folder_that_is_no_run_is_refused(tmp_path, train, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert train(tmp_path, "--steps", "32") == 2
    assert f"{tmp_path} is not empty and holds no run" in capsys.readouterr().err
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_an_empty_folder_is_used(tmp_path, train):
    assert train(tmp_path, "--steps", "32", "--evaluation-episodes", "0") == 0
    assert (tmp_path / "policy.pt").is_file()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null"])
def test_a_damaged_configuration_is_an_error_that_names_the_file(tmp_path, train, capsys, text):
    (tmp_path / "config.json").write_text(text)
    assert train(tmp_path, "--steps", "32") == 2
    assert str(tmp_path / "config.json") in capsys.readouterr().err


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_an_error_that_names_the_file(run, tmp_path, train, capsys, share):
    folder = copy_of(run, tmp_path)
    data = (folder / "checkpoint.pt").read_bytes()
    (folder / "checkpoint.pt").write_bytes(data[: int(share * len(data))])
    assert train(folder, "--steps", str(8 * UPDATE)) == 2
    assert str(folder / "checkpoint.pt") in capsys.readouterr().err


def test_a_policy_in_the_place_of_a_checkpoint_is_an_error(run, tmp_path, train, capsys):
    folder = copy_of(run, tmp_path)
    (folder / "checkpoint.pt").write_bytes((run / "policy.pt").read_bytes())
    assert train(folder, "--steps", str(8 * UPDATE)) == 2
    assert f"{folder / 'checkpoint.pt'} is not a dexscrew-checkpoint file" in capsys.readouterr().err


# -- values that are not possible -------------------------------------------------------------------------------------


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


# -- interruptions ----------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("damage", [lambda c: c.pop("optimizer"), lambda c: c["policy"].popitem()])
def test_a_checkpoint_that_lacks_something_is_an_error_that_names_the_file(run, tmp_path, train, capsys, damage):
    folder = copy_of(run, tmp_path)
    content = checkpoint_of(folder)
    damage(content)
    torch.save(content, folder / "checkpoint.pt")
    assert train(folder, "--steps", str(6 * UPDATE)) == 2
    message = capsys.readouterr().err
    assert str(folder / "checkpoint.pt") in message and "does not fit" in message


def test_a_run_without_a_video_leaves_none_of_an_earlier_policy(run, tmp_path, train):
    folder = copy_of(run, tmp_path)
    (folder / "video.mp4").write_bytes(b"old")
    assert train(folder, "--steps", str(6 * UPDATE)) == 0
    assert not (folder / "video.mp4").exists()


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


# -- without OpenGL ---------------------------------------------------------------------------------------------------


def test_without_opengl_a_run_ends_well_names_the_package_and_skips_only_the_video(
    tmp_path, train, capsys, monkeypatch
):
    def fail(*args, **kwargs) -> None:
        raise RuntimeError("no EGL device")

    monkeypatch.setattr(mujoco, "Renderer", fail)
    folder = tmp_path / "run"
    assert train(folder, "--steps", "64", "--video") == 0
    output = capsys.readouterr().out
    assert "no video" in output and "libegl1" in output and "no EGL device" in output
    names = {path.name for path in folder.iterdir()}
    assert "video.mp4" not in names
    assert names >= {"policy.pt", "metrics.json"}
    assert read_json(folder / "metrics.json")["evaluation"]["episodes"] == 4


# -- help -------------------------------------------------------------------------------------------------------------


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
