from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import tyro

from baselines import policies
from baselines.rl import training
from baselines.run_folder import CHECKPOINT_FORMAT
from baselines.task_options import TaskOptions, changes
from benchmark import sim_ablations
from benchmark.randomization_levels import level_fields
from benchmark.sim_ablations import METHODS, Args, conditions, settings, train_and_score
from dexscrew_envs.vector_env import DexScrewVectorEnv

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.network]  # Ray talks to its workers by TCP
ROOT = Path(__file__).parents[2]
TINY = ["--task", "nut", "--seeds", "1", "--steps", "32", "--num-envs", "2", "--episodes", "2"]


@pytest.fixture(scope="module", autouse=True)
def as_urgent_as_the_tests() -> Iterator[None]:
    """Ray lets its workers wait behind all else on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(scope="module")
def ablation(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("ablation") / "nut"
    assert sim_ablations.main([*TINY, "--out", str(out)]) == 0
    return out


def without(ablation: Path, out: Path, *methods: str) -> Path:
    """A copy of the ablation, as if some of its methods were still to come."""
    shutil.copytree(ablation, out)
    (out / "results.json").unlink()
    for method in methods:
        shutil.rmtree(out / f"{method}-0")
    return out


def test_every_method_is_trained_and_scored_for_every_seed(ablation):
    results = json.loads((ablation / "results.json").read_text())
    assert tuple(results["runs"]) == METHODS
    for method, found in results["runs"].items():
        assert len(found["curves"]) == len(found["scores"]) == 1
        assert found["config"]["steps"] == 32 and "learning_rate" in found["config"]
        for seed, scores in enumerate(found["scores"]):
            assert list(scores) == list(conditions("nut"))
            assert all(len(entry["turns"]) == 2 for entry in scores.values())
            config = json.loads((ablation / f"{method}-{seed}" / "config.json").read_text())["config"]
            assert (config["seed"], config["steps"], config["num_envs"]) == (seed, 32, 2)
    assert results["arguments"]["steps"] == 32 and results["task_fields"] == {} and "torch" in results["versions"]


def test_each_student_learns_from_the_oracle_of_its_seed(ablation):
    config = json.loads((ablation / "student-0" / "config.json").read_text())["config"]
    assert config["oracle"] == str(ablation / "oracle-0" / "policy.pt")
    assert set(policies.load(ablation / "student-0" / "policy.pt").observe) == {"proprio", "history"}


def test_results_come_as_table_json_and_pictures(ablation):
    table = (ablation / "table.md").read_text()
    assert all(word in table for word in (*METHODS, *conditions("nut")))
    for name in ("curves.png", "conditions.png"):
        assert (ablation / name).read_bytes().startswith(b"\x89PNG")


def test_a_second_call_trains_nothing_again_and_another_configuration_is_refused(ablation, capsys, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in ablation.glob("*/scores.json")}
    assert sim_ablations.main([*TINY, "--out", str(ablation)]) == 0
    assert {path: path.stat().st_mtime_ns for path in ablation.glob("*/scores.json")} == before
    assert sim_ablations.main([*TINY, "--out", str(ablation), "--steps", "64"]) == 2
    assert "other steps" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["oracle", "student"])
def test_randomization_reaches_training_and_evaluation(ablation, tmp_path, monkeypatch, method):
    made = []

    class Spy(DexScrewVectorEnv):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self.task)

    monkeypatch.setattr(training, "DexScrewVectorEnv", Spy)
    monkeypatch.setattr(sim_ablations, "DexScrewVectorEnv", Spy)
    if method == "student":
        shutil.copytree(ablation / "oracle-0", tmp_path / "oracle-0")
    args = Args(task="nut", randomization="wider", steps=32, num_envs=2, episodes=2)
    train_and_score(args, method, 0, tmp_path)
    wider = level_fields("nut", "wider")
    trained, *scored = made
    assert len(scored) == len(conditions("nut"))
    assert {name: getattr(trained, name) for name in wider} == wider
    assert {name: getattr(scored[0], name) for name in wider} == wider
    assert scored[1].observation_noise == tuple(2 * x for x in wider["observation_noise"])
    assert scored[2].push_force == 20 * wider["push_force"]
    assert "triangle" not in scored[3].sampled_shapes and scored[3].kp == wider["kp"]


def test_all_methods_have_the_same_budget():
    args = Args(task="nut", steps=1000, num_envs=8)
    configs = [settings(args, method, 3, Path("out")) for method in METHODS]
    for name in ("steps", "num_envs", "n_steps", "batch_size", "epochs", "seed", "task"):
        assert len({getattr(config, name) for config in configs}) == 1, name


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--task", "bolt"], "unknown task 'bolt'"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--randomization", "much"], "unknown randomization 'much'; choose from none, task, wider"),
        (["--cpus", "1000"], "--cpus must be at most"),
        (["--n-steps", "6"], "--n-steps must be a multiple of 4, the steps in a minibatch, got 6"),
        (["--engine", "isaac"], "unknown engine 'isaac'; choose from mujoco, warp"),
        (["--per-gpu", "0"], "--per-gpu must be at least 1"),
        (["--ray-address", "127.0.0.1:1"], "no Ray cluster answers at '127.0.0.1:1'"),
        pytest.param(
            ["--engine", "warp"],
            "--engine warp needs an NVIDIA GPU, and no machine has one",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_what_cannot_work_is_an_error_before_any_training(tmp_path, capsys, arguments, expected):
    assert sim_ablations.main([*TINY, "--out", str(tmp_path / "out"), *arguments]) == 2
    assert expected in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*/checkpoint.pt"))


@pytest.fixture
def cluster() -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a Ray cluster that asks for a token, and the environment of somebody who has it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    command = ["ray", "start", "--head", "--block", "--num-cpus", "2", "--include-dashboard", "false"]
    command += ["--disable-usage-stats", "--node-ip-address", "127.0.0.1", "--port", address.split(":")[1]]
    command[0] = str(Path(sys.executable).with_name("ray"))
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                sim_ablations._check_address(address)
                break
            except ConnectionError:
                time.sleep(0.1)
        yield address, environment
    finally:
        head.terminate()
        head.wait()


def test_trainings_run_on_a_cluster_and_a_missing_token_is_named(ablation, tmp_path, cluster):
    address, environment = cluster
    out = without(ablation, tmp_path / "out", METHODS[-1])
    command = [sys.executable, "-m", "benchmark.sim_ablations", *TINY, "--ray-address", address, "--out", str(out)]
    for mode, status, expected in (("disabled", 2, "set RAY_AUTH_MODE=token"), ("token", 0, "")):
        done = subprocess.run(command, capture_output=True, text=True, env=environment | {"RAY_AUTH_MODE": mode})
        assert done.returncode == status and expected in done.stderr, done.stderr[-3000:]
    assert set(json.loads((out / "results.json").read_text())["runs"]) == set(METHODS)
    assert (out / f"{METHODS[-1]}-0" / "policy.pt").exists()


def test_a_folder_that_is_no_ablation_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert sim_ablations.main([*TINY, "--out", str(tmp_path)]) == 2
    assert "holds no ablation" in capsys.readouterr().err


def test_a_damaged_ablation_file_is_an_error_that_names_it(tmp_path, capsys):
    (tmp_path / "ablation.json").write_text("{}")
    assert sim_ablations.main([*TINY, "--out", str(tmp_path)]) == 2
    assert str(tmp_path / "ablation.json") in capsys.readouterr().err


def test_a_signal_ends_it_with_its_workers_and_the_same_call_goes_on(ablation, tmp_path):
    first, second = METHODS[-2:]
    out, log = without(ablation, tmp_path / "nut", first, second), tmp_path / "log.txt"
    command = [sys.executable, "-m", "benchmark.sim_ablations", *TINY, "--out", str(out)]
    with open(log, "w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    end = time.monotonic() + 120
    while not (out / f"{first}-0" / "scores.json").exists():
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM, log.read_text()
    assert "the same call goes on" in log.read_text() and "Traceback" not in log.read_text()
    done = (out / f"{first}-0" / "scores.json").stat().st_mtime_ns
    with open(log, "w") as output:
        assert subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, timeout=300).returncode == 0
    assert (out / f"{first}-0" / "scores.json").stat().st_mtime_ns == done, "what is done is not done again"
    assert (out / "results.json").exists() and str(out) in log.read_text()


def test_settings_of_a_gpu_reach_every_training_and_its_command():
    args = Args(task="nut", steps=20_000_000, num_envs=2048, n_steps=8, random_ages=True, engine="warp")
    for method in METHODS:
        config = settings(args, method, 0, Path("out"))
        assert (config.engine, config.device, config.n_steps, config.random_ages) == ("warp", None, 8, True)
        assert config.num_envs * config.n_steps % config.batch_size == 0
        if method != "student":
            assert config.kl_steps == 20_000_000
    command = sim_ablations._command(args)
    assert " ".join(command).endswith("--engine warp --n-steps 8 --random-ages")
    parsed = tyro.cli(Args, args=command[3:])
    assert parsed == args
    assert settings(Args(), "oracle", 0, Path("out")).kl_steps == 4_000_000


def test_an_ablation_from_before_it_could_be_told_goes_on(ablation, tmp_path, capsys):
    out = without(ablation, tmp_path / "old")
    content = json.loads((out / "ablation.json").read_text())
    for name in ("engine", "device", "n_steps", "random_ages"):
        del content["arguments"][name]
    (out / "ablation.json").write_text(json.dumps(content))
    assert sim_ablations.main([*TINY, "--out", str(out), "--n-steps", "8"]) == 2
    assert "holds an ablation with other n_steps" in capsys.readouterr().err
    assert sim_ablations.main([*TINY, "--out", str(out)]) == 0


def test_task_fields_reach_every_training_and_condition():
    args = Args(task="nut", env=TaskOptions(friction=(1.0, 2.0)), randomization="wider")
    for method in METHODS:
        config = settings(args, method, 0, Path("out"))
        found = changes(config.env)
        assert found["friction"] == (1.0, 2.0), "what is given comes before the level"
        assert found["mass"] == level_fields("nut", "wider")["mass"]
    for fields in conditions("nut", "wider", **changes(args.env)).values():
        assert fields["friction"] == (1.0, 2.0)
    assert "--env.friction 1.0 2.0" in " ".join(sim_ablations._command(args))


def test_trainings_that_a_signal_ends_leave_their_checkpoints(tmp_path):
    out, log = tmp_path / "nut", tmp_path / "log.txt"
    arguments = [*TINY, "--steps", "100000000", "--num-envs", "8", "--env.episode-steps", "20"]
    command = [sys.executable, "-m", "benchmark.sim_ablations", *arguments, "--out", str(out)]
    with open(log, "w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    end = time.monotonic() + 120
    while not list((out / "oracle-0" / "tensorboard").glob("events*")):
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    time.sleep(3)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=90) == 128 + signal.SIGHUP, log.read_text()
    assert "ended by SIGHUP; the same call goes on" in log.read_text()
    checkpoint = policies.read(out / "oracle-0" / "checkpoint.pt", CHECKPOINT_FORMAT)
    assert checkpoint["steps"] > 0
