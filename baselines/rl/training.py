"""One trainer for all reinforcement learning agents: run folder, progress, checkpoints, resume, and results.

A run folder holds `config.json` (what was asked for, with versions), `checkpoint.pt` (to go on from),
`tensorboard/`, and at the end `policy.pt`, `metrics.json`, `curve.png` and `video.mp4`.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import gymnasium
import torch

from baselines import distributed, policies
from baselines.evaluate import Score, evaluate, evaluate_on_video, table
from baselines.plots import draw_curve
from baselines.rl import added_rewards
from baselines.rl.event_log import event_log
from baselines.rl.on_policy import TensorOnPolicy
from baselines.rl.recorder import Recorder
from baselines.rl.sb3_env import TensorVecEnv
from baselines.run_folder import open_run_folder, versions
from baselines.task_options import TaskOptions, changes
from dexscrew_envs import hands, program
from dexscrew_envs.files import WriteError, write_json
from dexscrew_envs.hands import XHAND_LEFT, load_hand
from dexscrew_envs.program import Status
from dexscrew_envs.tasks import make_task
from dexscrew_envs.tasks.declare import LARGEST
from dexscrew_envs.vector_env import DexScrewVectorEnv

EVALUATION_SEED_OFFSET = 10_000
_VIDEO_SECONDS = 20.0
_MOST_THREADS = 256


@dataclass(kw_only=True)
class TrainConfig:
    """What all agents share. Defaults are for a laptop; the paper trains 8,192 environments for 1.5e9 steps."""

    task: str = "nut"
    """Name of the task, such as nut or screwdriver."""
    hand: str = XHAND_LEFT.name
    """Name of the hand, or a Python file that makes one; see docs/extend.md."""
    steps: int = 2_000_000
    """Control steps of all environments together."""
    seed: int = 0
    """Seed of networks, exploration and episodes."""
    folder: Path | None = None
    """Run folder; by default runs/<agent>-<task>-<seed>. A run that was interrupted there goes on."""
    num_envs: int = 256
    """Environments side by side."""
    n_steps: int = 16
    """Steps of each environment between updates (horizon)."""
    batch_size: int = 1024
    """Minibatch size; it divides num_envs x n_steps."""
    epochs: int = 4
    """Passes over the data of an update."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    max_grad_norm: float = 1.0
    """The gradient is clipped to this norm."""
    randomize: bool = True
    """Whether to randomise the physics, the start and the noise."""
    random_ages: bool = False
    """Whether the first episodes begin at random ages. Else, of thousands of environments that soon reach the time
    limit, all reach it together, and each update sees one part of an episode only."""
    env: TaskOptions = field(default_factory=TaskOptions)
    """Fields of the task."""
    reward: tuple[str, ...] = ()
    """Reward terms to add, each a function in a file or a module, such as my_terms.py:gentle; see docs/extend.md."""
    engine: str = "mujoco"
    """Simulator: mujoco on CPUs, or warp on an NVIDIA GPU."""
    device: str | None = None
    """Torch device of simulation and learning; by default the engine's own, cpu or cuda."""
    threads: int = 0
    """Threads of simulation and learning on CPUs; 0 takes all."""
    checkpoint_every: int = 100_000
    """Control steps between checkpoints."""
    evaluation_episodes: int = 64
    """Episodes of the final evaluation, with a fresh seed and without exploration noise; 0 skips it."""
    video: bool = True
    """Whether to end with a video of the first 20 s of one episode, where there is OpenGL."""


@dataclass(frozen=True)
class Agent:
    """What tells one agent from another."""

    name: str
    """Name in run folders."""
    observe: tuple[str, ...]
    """Keys of the observation that it learns from."""
    build: Callable[[TensorVecEnv, Any], TensorOnPolicy]
    """Makes the algorithm that learns, given the environment and the configuration of this process's share."""
    task_fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the task that differ from it, in training and evaluation; those of `TrainConfig.env` come first."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """What it learns from besides, such as an oracle: name and fingerprint."""


Config = TypeVar("Config", bound=TrainConfig)


def run_command(
    module: str, config_type: type[Config], make_agent: Callable[[Config], Agent], argv: Sequence[str] | None, doc: str
) -> int:
    """Run the command line of an agent's module; return the exit status."""
    command = ["python", "-m", module, *(sys.argv[1:] if argv is None else argv)]

    def body(config: Config) -> int:
        with distributed.process_group():
            _check(config)
            return train(make_agent(config), config, command)

    return program.main(module, config_type, body, argv, doc, follow_parent=distributed.is_launched())


def train(agent: Agent, config: TrainConfig, command: Sequence[str]) -> int:
    """Train until `config.steps`, going on from a checkpoint if there is one; return the exit status.

    Raises:
        RunFolderError: the run folder holds another configuration, or another program trains in it.
        ValueError: a value of the configuration is not possible.
        CutShort: the training diverged, or another process of it ended.
        WriteError: the disk is full.
    """
    _check(config)
    folder = config.folder or Path("runs") / f"{agent.name}-{config.task}-{config.seed}"
    agent = replace(agent, task_fields={**agent.task_fields, **_hand_field(config), **changes(config.env)})
    terms = added_rewards.load(config.reward)
    added_rewards.check(terms, config.task, randomize=config.randomize, **agent.task_fields)
    ranks = distributed.size()
    if distributed.size() > 1 and not config.threads:  # else each rank would take all CPUs
        config = replace(config, threads=max(1, (os.cpu_count() or 1) // distributed.size()))
    if config.threads:
        torch.set_num_threads(config.threads)
    share = replace(
        config, num_envs=config.num_envs // distributed.size(), batch_size=config.batch_size // distributed.size()
    )
    env = DexScrewVectorEnv(
        config.task, share.num_envs, randomize=config.randomize, observe=agent.observe, engine=config.engine,
        device=config.device, num_threads=config.threads, reward_terms=terms, **agent.task_fields,
    )  # fmt: skip
    wanted = {
        "agent": agent.name, **asdict(config), "env": env.task.values(), "reward": added_rewards.fingerprints(terms),
        "hand_file": hands.fingerprint(config.hand), "ranks": ranks, **agent.inputs,
    }  # fmt: skip
    with closing(env):
        model = agent.build(TensorVecEnv(env), share)
        # The folder is claimed last, after everything that can be refused was checked.
        with open_run_folder(folder, wanted, command) as checkpoint:
            recorder = Recorder(folder, config)
            if checkpoint is not None:
                recorder.restore(model, env, checkpoint)
                program.say(f"going on from {model.num_timesteps:,} steps in {folder}")
            _set_ranks_apart(model, env, config.seed)
            if config.random_ages:
                model.env.set_options({"random_ages": True})  # type: ignore[union-attr]  # of the first reset
            with event_log(folder / "tensorboard", model.num_timesteps) as logger:
                model.set_logger(logger)
                return _learn(agent, config, model, env, recorder, command)


def _learn(
    agent: Agent,
    config: TrainConfig,
    model: TensorOnPolicy,
    env: DexScrewVectorEnv,
    recorder: Recorder,
    command: Sequence[str],
) -> int:
    """Train for the remaining steps and write the results; however it ends, a checkpoint remains to resume from."""
    remaining = config.steps - model.num_timesteps
    try:
        try:
            if remaining > 0:
                model.learn(remaining, callback=recorder, reset_num_timesteps=False)
                recorder.remember()
                recorder.save()
                recorder.close()
            if distributed.rank() == 0:
                _finish(agent, config, model, env, recorder, command)
        except (program.CutShort, WriteError):
            raise
        except Exception as error:
            steps = recorder.save()
            if distributed.size() > 1 and isinstance(error, RuntimeError):  # a collective call without its partner
                words = f"; the same command goes on from {steps:,} steps" if distributed.rank() == 0 else ""
                raise program.CutShort(f"another process of this training ended{words}") from error
            raise
    except (KeyboardInterrupt, Exception) as error:  # around the above, which a signal may interrupt in its turn
        interruption = program.interruption_of(error)
        if interruption is None:
            raise
        recorder.close()
        steps = recorder.save()
        if distributed.rank() == 0:
            program.say(f"{interruption} at {steps:,} steps; the same command goes on from {recorder.folder}")
        return interruption.status
    finally:
        recorder.close()
    return Status.DONE


def _hand_field(config: TrainConfig) -> dict[str, Any]:
    """Return the field of the task that names another hand than ours, loaded from its file if that was given."""
    name = load_hand(config.hand).name
    return {} if name == XHAND_LEFT.name else {"hand": name}


def _set_ranks_apart(model: TensorOnPolicy, env: DexScrewVectorEnv, seed: int) -> None:
    """Give all ranks the same network, and each its own episodes and exploration."""
    distributed.share(model.policy.state_dict())
    if distributed.rank() > 0:
        own = seed + 1_000_003 * distributed.rank() + model.num_timesteps
        torch.manual_seed(own)
        env.seed(own)
        model.env._reset_seeds()  # type: ignore[union-attr]  # the generator is seeded already


def _check(config: TrainConfig) -> None:
    """Refuse impossible values before the run folder is claimed.

    Raises:
        ValueError: a value is not possible.
    """
    make_task(config.task, **_hand_field(config), **changes(config.env))
    for name in ("steps", "num_envs", "n_steps", "batch_size", "epochs", "checkpoint_every"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")
    for name in ("learning_rate", "max_grad_norm"):
        if not 0 < getattr(config, name) < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {getattr(config, name)}")
        if getattr(config, name) > LARGEST:
            raise ValueError(f"{name} must be at most {LARGEST:g}, got {getattr(config, name)}")
    if config.threads > (most := max(_MOST_THREADS, os.cpu_count() or 1)):
        raise ValueError(f"threads must be at most {most}, got {config.threads}")
    for name in ("seed", "threads", "evaluation_episodes"):
        if getattr(config, name) < 0:
            raise ValueError(f"{name} must not be negative, got {getattr(config, name)}")
    for name in ("num_envs", "batch_size"):
        if getattr(config, name) % distributed.size():
            raise ValueError(
                f"{name} must be a multiple of the {distributed.size()} processes, got {getattr(config, name)}"
            )
    if config.engine == "warp" and distributed.size() > 1:
        raise ValueError("the warp engine trains on one GPU; start it without torchrun")
    if config.batch_size < 2 or config.num_envs * config.n_steps % config.batch_size:
        raise ValueError(
            f"batch_size must divide num_envs x n_steps = {config.num_envs * config.n_steps} and be at least 2, got "
            f"{config.batch_size}"
        )


def _finish(
    agent: Agent,
    config: TrainConfig,
    model: TensorOnPolicy,
    env: DexScrewVectorEnv,
    recorder: Recorder,
    command: Sequence[str],
) -> None:
    """Evaluate the policy and write all results."""
    folder = recorder.folder
    card: dict[str, Any] = {
        "agent": agent.name, "command": policies.without_paths(" ".join(command)), "seed": config.seed,
        "steps": model.num_timesteps, "seconds": round(recorder.seconds), "versions": versions(),
    }  # fmt: skip
    policy = policies.ActorPolicy(model.policy.actor(), config.task, card, agent.task_fields)
    results: dict[str, Any] = {**card, "invalid_physics": env.invalid_physics_count}
    score, earlier = None, _evaluation_of(folder, model.num_timesteps)
    if earlier is not None:  # of these steps: it stays, unless there is a new one
        policy.card["evaluation"] = results["evaluation"] = earlier
    if earlier is None or config.evaluation_episodes:  # the video is of an earlier policy, or of other episodes
        (folder / "video.mp4").unlink(missing_ok=True)
    policies.save(policy, folder / "policy.pt")  # before the evaluation, which may fail or be interrupted
    if config.evaluation_episodes:
        score, note = _evaluate(policy, config, folder / "video.mp4")
        results["evaluation"] = {"seed": config.seed + EVALUATION_SEED_OFFSET, **score.summary()}
        policy.card["evaluation"] = results["evaluation"]
        policies.save(policy, folder / "policy.pt")
    results["curve"] = recorder.curve
    write_json(results, folder / "metrics.json")
    if recorder.curve:
        title = f"{agent.name}, {config.task}, seed {config.seed}"
        draw_curve(recorder.curve, folder / "curve.png", title, recorder.resumed)
    if score is not None:
        print(table(score.summary()))
        if note:
            print(note)
    print(f"results: {folder}")


def _evaluation_of(folder: Path, steps: int) -> dict[str, Any] | None:
    """Return the evaluation that an earlier call made after these steps, if there is one."""
    try:
        results = json.loads((folder / "metrics.json").read_text())
        return results["evaluation"] if results["steps"] == steps else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _evaluate(policy: policies.ActorPolicy, config: TrainConfig, video: Path) -> tuple[Score, str]:
    """Return the score, and why there is no video, if one was wanted."""
    env = DexScrewVectorEnv(
        config.task, config.evaluation_episodes, observe=policy.observe, randomize=config.randomize,
        engine=config.engine, device=config.device, num_threads=config.threads,
        reward_terms=added_rewards.load(config.reward), **policy.task_fields,
    )  # fmt: skip
    seed = config.seed + EVALUATION_SEED_OFFSET
    note = ""
    with closing(env):
        if config.video:
            try:
                score, failure = evaluate_on_video(policy, env, video, seed=seed, seconds=_VIDEO_SECONDS)
                return score, f"no video: {failure}" if failure else ""
            except gymnasium.error.DependencyNotInstalled as error:
                note = f"no video: {error}"
        return evaluate(policy, env, seed=seed), note
