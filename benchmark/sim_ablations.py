"""The paper's simulation ablation (Fig. 7): oracle, student, asymmetric critic, no privileged information.

`python -m benchmark.sim_ablations --task screwdriver --seeds 5`
"""

from __future__ import annotations

import _thread
import json
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from baselines import policies, ppo_asymmetric, ppo_oracle, ppo_unprivileged, student
from baselines.evaluate import evaluate
from baselines.progress import Progress
from baselines.rl.ppo_agents import PPOConfig
from baselines.rl.training import TrainConfig, train
from baselines.run_folder import RunFolderError, versions
from baselines.stored import read_json
from baselines.student import StudentConfig
from baselines.task_options import TaskOptions, changes
from benchmark.ablation_report import write_report
from benchmark.randomization_levels import level_fields
from dexscrew_envs import extras, program
from dexscrew_envs.files import claimed, holds_nothing, plain, write_json
from dexscrew_envs.program import Status
from dexscrew_envs.sim import ENGINES
from dexscrew_envs.tasks import make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv

METHODS = ("oracle", "student", "asymmetric", "unprivileged")
_PPO = {"oracle": ppo_oracle.AGENT, "asymmetric": ppo_asymmetric.AGENT, "unprivileged": ppo_unprivileged.AGENT}
EVALUATION_SEED = 20_000
_END_TIMEOUT = 30.0  # for trainings to write their checkpoints (s)
_STOP = "stop"  # a file in the folder of an ablation while its trainings have to end
_FREE = ("out", "cpus", "per_gpu", "ray_address", "seeds", "env")
_LAPTOP = {"engine": "mujoco", "device": None, "n_steps": 16, "random_ages": False}
"""What an ablation had before it could be told."""


@dataclass(kw_only=True)
class Args:
    """Train and score the four methods with equal budgets; a call that was interrupted goes on."""

    task: str = "screwdriver"
    """Name of the task, such as nut or screwdriver."""
    seeds: int = 5
    """Training seeds of each method."""
    steps: int = 1_000_000
    """Control steps of each training."""
    num_envs: int = 256
    """Environments of each training."""
    n_steps: int = 16
    """Steps of each environment between updates; a minibatch has four steps of all environments."""
    random_ages: bool = False
    """Whether the first episodes begin at random ages, for thousands of environments; see baselines.ppo_oracle."""
    engine: str = "mujoco"
    """Simulator of the trainings: mujoco on CPUs, or warp on NVIDIA GPUs. All are scored on mujoco."""
    device: str | None = None
    """Torch device of the trainings; by default the engine's own, cpu or cuda."""
    episodes: int = 64
    """Episodes in each condition of the evaluation."""
    randomization: str = "task"
    """How far training and evaluation are randomised: none, task (as the task says) or wider."""
    env: TaskOptions = field(default_factory=TaskOptions)
    """Fields of the task, in training and evaluation."""
    out: Path | None = None
    """Folder of runs and results; by default runs/ablation-<task>, with -<randomization> and -quick where they
    apply."""
    cpus: int = 1
    """CPUs, and threads, of each training; as many trainings run side by side as there is room for."""
    per_gpu: int = 4
    """Trainings on the warp engine that share a GPU."""
    ray_address: str = ""
    """Address of a Ray cluster; by default this machine. On a cluster, `out` must be a folder that all nodes share. One
    that asks for a token, as Ray's do by default, wants RAY_AUTH_MODE=token, and the token in RAY_AUTH_TOKEN or
    ~/.ray/auth_token."""
    quick: bool = False
    """A small run that shows that everything works, in less than five minutes; its scores mean nothing."""


def task_fields(args: Args) -> dict[str, Any]:
    """Return the fields of the task that differ from it in all trainings and evaluations."""
    return level_fields(args.task, args.randomization) | changes(args.env)


def conditions(task_name: str, randomization: str = "task", **fields: Any) -> dict[str, dict[str, Any]]:
    """Return the conditions in which every method is scored: name to changed fields of the task.

    Args:
        task_name: name of the task.
        randomization: level of it.
        fields: further fields of the task, in all conditions.

    Raises:
        ValueError: the task is not possible in one of them.
    """
    base = level_fields(task_name, randomization) | fields
    task = make_task(task_name, **base)
    unseen = tuple(shape for shape in task.shapes if shape not in task.sampled_shapes)
    changes: dict[str, dict[str, Any]] = {
        "as trained": {},
        "noise x2": {name: tuple(2 * x for x in getattr(task, name)) for name in ("observation_noise", "action_noise")},
        "pushes x20": {"push_force": 20 * task.push_force},
    }
    if unseen:
        changes["unseen shapes"] = {"shape": unseen}
    if randomization == "none":  # nothing to double, and no pushes
        del changes["noise x2"], changes["pushes x20"]
    found = {name: base | change for name, change in changes.items()}
    for condition in found.values():  # refused now, rather than after a training
        make_task(task_name, **condition)
    return found


def settings(args: Args, method: str, seed: int, out: Path) -> TrainConfig:
    """Return the configuration of one training; all methods get the same budget."""
    shared: dict[str, Any] = {
        "task": args.task, "steps": args.steps, "seed": seed, "folder": out / f"{method}-{seed}",
        "num_envs": args.num_envs, "batch_size": args.num_envs * 4, "threads": args.cpus, "video": False,
        "n_steps": args.n_steps, "random_ages": args.random_ages, "engine": args.engine, "device": args.device,
        "evaluation_episodes": 0, "env": TaskOptions(**task_fields(args)),
    }  # fmt: skip
    if method == "student":
        return StudentConfig(**shared, oracle=str(out / f"oracle-{seed}" / "policy.pt"))
    return PPOConfig(**shared, kl_steps=max(PPOConfig.kl_steps, args.steps))


def train_and_score(args: Args, method: str, seed: int, out: Path) -> str:
    """Train one agent and score it in all conditions, unless that is done; return its name.

    Args:
        args: of the whole ablation.
        method: one of `METHODS`.
        seed: of the training.
        out: folder of the ablation.
    """
    torch.set_num_threads(args.cpus)
    config = settings(args, method, seed, out)
    assert config.folder is not None
    scores = config.folder / "scores.json"
    name = f"{method}-{seed}"
    if scores.exists():
        return name
    agent = student.agent(config) if isinstance(config, StudentConfig) else _PPO[method]
    status = train(agent, config, [*_command(args), "#", name])
    if status:
        raise program.CutShort(f"{name} ended with status {status}; the same call goes on")
    policy = policies.load(config.folder / "policy.pt")
    found: dict[str, Any] = {}
    for condition, fields in conditions(args.task, args.randomization, **changes(args.env)).items():
        env = DexScrewVectorEnv(args.task, args.episodes, observe=policy.observe, num_threads=args.cpus, **fields)
        score = evaluate(policy, env, seed=EVALUATION_SEED)
        found[condition] = {
            "turns": score.rotations.tolist(), "length": score.length.tolist(), "reward": score.reward.tolist()
        }  # fmt: skip
        env.close()
    write_json(found, scores)
    return name


def _run(args: Args, method: str, seed: int, out: Path, after: object = None) -> str:
    """Train and score on a worker, once `after` is done: a student needs its oracle. End if `run_all` is ended."""
    with _ended_by(out / _STOP):
        return train_and_score(args, method, seed, out)


@contextmanager
def _ended_by(stop: Path) -> Iterator[None]:
    """Interrupt the main thread as Ctrl-C would once there is such a file.

    Ray's own way, ray.cancel, can end the caller when a training ends in the same moment (ray-project/ray#54798).
    """
    left = threading.Event()

    def watch() -> None:
        while not stop.exists():
            if left.wait(0.2):
                return
        _thread.interrupt_main()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        watcher.join()


def _command(args: Args) -> list[str]:
    """Return the command that makes these trainings, without the folder."""
    command = ["python", "-m", "benchmark.sim_ablations"]
    for key in ("task", "seeds", "steps", "num_envs", "episodes", "randomization"):
        command += [f"--{key.replace('_', '-')}", str(getattr(args, key))]
    for key, usual in _LAPTOP.items():
        value = getattr(args, key)
        if value != usual:
            command += [f"--{key.replace('_', '-')}", *([] if value is True else [str(value)])]
    for key, value in changes(args.env).items():
        values = value if isinstance(value, tuple) else (value,)
        command += [f"--env.{key.replace('_', '-')}", *map(str, values)]
    return command


def collect(args: Args, out: Path) -> dict[str, Any]:
    """Return what all runs found, by method: its settings, and curves and scores, one entry per seed."""
    runs: dict[str, Any] = {}
    scored = tuple(conditions(args.task, args.randomization, **changes(args.env)))
    for method in METHODS:
        folders = [out / f"{method}-{seed}" for seed in range(args.seeds)]
        config = _read(folders[0] / "config.json", ("config",))["config"]
        runs[method] = {
            "config": {name: value for name, value in config.items() if name not in ("seed", "folder", "oracle")},
            "curves": [_read(folder / "metrics.json", ("curve",))["curve"] for folder in folders],
            "scores": [_read(folder / "scores.json", scored) for folder in folders],
        }
    return runs


def _read(path: Path, parts: tuple[str, ...]) -> dict[str, Any]:
    return read_json(path, parts, "a file of an ablation", f"remove {path.parent}, so that it is made anew")


def _check_address(address: str) -> None:
    """Raise ConnectionError if nothing listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise ConnectionError(f"no Ray cluster answers at {address!r}: {error}") from error


def run_all(args: Args, out: Path) -> None:
    """Run every training that is not done, side by side through Ray.

    Raises:
        ConnectionError: there is no Ray cluster at the address.
        ValueError: no machine has that many CPUs, or a GPU.
        RuntimeError: a training failed.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError(extras.missing("ray", "the ablation")) from error
    _check_address(args.ray_address)
    try:
        ray.init(
            address=args.ray_address or "local", include_dashboard=False, log_to_driver=False,
            logging_level=logging.ERROR,
        )  # fmt: skip
        program.take_signals_back()
    except SystemExit as error:  # Ray's own answer to a SIGTERM while it starts
        ray.shutdown()
        raise program.Ended("ended by SIGTERM", 128 + signal.SIGTERM) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        if not args.ray_address:
            raise ConnectionError(f"Ray does not start on this machine: {error}") from error
        message = f"no Ray cluster answers at {args.ray_address!r}: {error}"
        if isinstance(error, ConnectionError):  # the cluster refused, rather than the address being malformed
            message += "; if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        raise ConnectionError(message) from error
    waiting: list[Any] = []
    stop = out / _STOP
    stop.unlink(missing_ok=True)
    try:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        largest = max(machine.get("CPU", 0) for machine in machines)
        if args.cpus > largest:  # Ray would wait for such a machine for ever
            raise ValueError(f"--cpus must be at most {largest:.0f}, the CPUs of the largest machine, got {args.cpus}")
        on_gpus = args.engine == "warp" and args.device != "cpu"
        if on_gpus and not any(machine.get("GPU", 0) for machine in machines):
            raise ValueError("--engine warp needs an NVIDIA GPU, and no machine has one; --engine mujoco runs on CPUs")
        quiet = {"env_vars": {"TQDM_DISABLE": "1"}}  # one bar for all trainings is enough
        share = 1 / args.per_gpu if on_gpus else 0
        remote: Any = ray.remote(num_cpus=args.cpus, num_gpus=share, max_retries=0, runtime_env=quiet)(_run)
        for seed in range(args.seeds):
            oracle = remote.remote(args, "oracle", seed, out)
            waiting += [oracle, remote.remote(args, "student", seed, out, oracle)]
            waiting += [remote.remote(args, method, seed, out) for method in ("asymmetric", "unprivileged")]
        with Progress(total=len(waiting), unit="run", desc=f"{args.task} ablation", smoothing=0) as bar:
            while waiting:
                done, waiting = ray.wait(waiting)
                bar.set_postfix_str(f"last: {ray.get(done[0])}")
                bar.update()
    except KeyboardInterrupt:  # which each training then gets too, and writes its checkpoint
        stop.touch()
        ray.wait(waiting, num_returns=len(waiting), timeout=_END_TIMEOUT)
        stop.unlink(missing_ok=True)
        raise
    except ray.exceptions.RayError as error:  # the training's own error, or a worker or a machine that died
        cause = getattr(error, "cause", None) or error
        if isinstance(cause, ValueError):  # refused, as it would have been here
            raise ValueError(str(cause)) from error
        raise program.CutShort(f"{cause}; the same call goes on") from error
    finally:
        ray.shutdown()


def _default_folder(args: Args) -> Path:
    parts = [args.task, *([] if args.randomization == "task" else [args.randomization]), *(["quick"] * args.quick)]
    return Path("runs") / "-".join(["ablation", *parts])


def _check_folder(args: Args, out: Path) -> dict[str, Any]:
    """Refuse a folder of another ablation; return the arguments that decide its results."""
    wanted = plain({key: value for key, value in asdict(args).items() if key not in _FREE})
    wanted["env"] = plain(changes(args.env))
    path = out / "ablation.json"
    if path.exists():
        try:
            content = read_json(path, ("arguments",), "that of an ablation", "give another folder with --out")
            found = {"env": {}, **_LAPTOP, **content["arguments"]}
        except (ValueError, TypeError) as error:
            raise RunFolderError(str(error)) from error
        if found != wanted:
            differing = ", ".join(key for key in wanted if found.get(key) != wanted[key])
            raise RunFolderError(f"{out} holds an ablation with other {differing}; give another folder with --out")
    elif not holds_nothing(out):
        raise RunFolderError(f"{out} is not empty and holds no ablation; give another folder with --out")
    return wanted


def _claim(args: Args, out: Path) -> None:
    """Make the folder that of this ablation."""
    wanted, path = _check_folder(args, out), out / "ablation.json"
    write_json({"arguments": wanted, "task_fields": task_fields(args), "versions": versions()}, path)


def _compare(args: Args) -> int:
    if args.quick:
        args.seeds, args.steps, args.num_envs, args.episodes = 2, 16_384, 64, 8
    for name in ("seeds", "steps", "num_envs", "n_steps", "episodes", "cpus", "per_gpu"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")
    if args.n_steps % 4:
        raise ValueError(f"--n-steps must be a multiple of 4, the steps in a minibatch, got {args.n_steps}")
    if args.engine not in ENGINES:
        raise ValueError(f"unknown engine {args.engine!r}; choose from {', '.join(ENGINES)}")
    conditions(args.task, args.randomization, **changes(args.env))  # refuses impossible values before any training
    out = (args.out or _default_folder(args)).resolve()
    _check_folder(args, out)  # before the lock, which would leave a file in a folder that is not ours
    with claimed(out):
        _claim(args, out)
        try:
            run_all(args, out)
        except (KeyboardInterrupt, Exception) as error:
            interruption = program.interruption_of(error)
            if interruption is None:
                raise
            program.say(f"{interruption}; the same call goes on from {out}")
            return interruption.status
        config = json.loads((out / "ablation.json").read_text(encoding="utf-8"))
        print(write_report(args.task, collect(args, out), config, out))
    print(f"results: {out}")
    return Status.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("benchmark.sim_ablations", Args, _compare, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
