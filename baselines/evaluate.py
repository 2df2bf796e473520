"""Score a policy: turns, length and reward of whole episodes, as a table, as JSON, and as a video.

`python -m baselines.evaluate --policy nut-oracle`
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from baselines import policies
from baselines.progress import Progress
from baselines.task_options import TaskOptions, changes
from dexscrew_envs import ambient, program
from dexscrew_envs.files import check_place, replacing, to_json
from dexscrew_envs.mdp.terminations import TerminationReason
from dexscrew_envs.program import Status
from dexscrew_envs.rendering import video_writer
from dexscrew_envs.tasks import make_task
from dexscrew_envs.tasks.declare import fixed_fields
from dexscrew_envs.vector_env import DexScrewVectorEnv


@dataclass(frozen=True)
class Score:
    """What the episodes of an evaluation came to; arrays have one number per episode."""

    rotations: np.ndarray
    """Signed turns of the nut."""
    length: np.ndarray
    """Control steps."""
    reward: np.ndarray
    """Sum of the unscaled reward."""
    reasons: dict[str, int]
    """How often episodes ended for which reason."""

    def summary(self) -> dict[str, Any]:
        """Return means and standard deviations over episodes."""
        return {
            "rotations_mean": float(self.rotations.mean()),
            "rotations_std": float(self.rotations.std()),
            "episode_length_mean": float(self.length.mean()),
            "reward_mean": float(self.reward.mean()),
            "episodes": len(self.rotations),
            "reasons": self.reasons,
        }


@ambient.plain(deterministic=None)
def evaluate(
    policy: policies.Policy,
    env: DexScrewVectorEnv,
    *,
    seed: int,
    on_step: Callable[[], None] | None = None,
) -> Score:
    """Run one episode in each environment and return the scores.

    Args:
        policy: acts on the observations.
        env: gives one episode per environment; its keys must hold those that the policy needs.
        seed: of the episodes.
        on_step: called after each step of environment 0's episode.
    """
    observation, _ = env.reset(seed=seed)
    policy.reset(None)
    running = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
    reward_sum = torch.zeros(env.num_envs, device=env.device)
    length = torch.zeros(env.num_envs, dtype=torch.int64, device=env.device)
    rotations, reason = torch.zeros_like(reward_sum), torch.zeros_like(length)
    with Progress(total=env.task.episode_steps, desc="evaluating", unit="step", leave=False) as bar:
        while running.any():
            observation, reward, terminated, truncated, infos = env.step(policy.act(observation))
            done = terminated | truncated
            reward_sum += torch.where(running, reward, 0.0)
            length += running
            ended = running & done
            rotations = torch.where(ended, infos["rotations"], rotations)
            reason = torch.where(ended, infos["reason"], reason)
            if on_step is not None and running[0]:
                on_step()
            policy.reset(done)
            running &= ~done
            bar.update()
    counts = {r.name.lower(): int((reason == r).sum()) for r in TerminationReason if (reason == r).any()}
    return Score(_array(rotations), _array(length), _array(reward_sum), counts)


def evaluate_on_video(
    policy: policies.Policy, env: DexScrewVectorEnv, path: Path, *, seed: int, seconds: float = math.inf
) -> tuple[Score, OSError | None]:
    """Like `evaluate`, with a video of environment 0; also return why that could not be written, if so.

    Args:
        policy: acts on the observations.
        env: as of `evaluate`.
        path: the video; it ends in .mp4.
        seed: of the episodes.
        seconds: longest video (s); drawing in software takes about 0.1 s a frame.

    Raises:
        gymnasium.error.DependencyNotInstalled: there is no OpenGL or no video writer; nothing was run or written.
    """
    env.reset(seed=seed)
    env.frame(0)
    score: Score | None = None
    try:
        with replacing(path) as beside, video_writer(beside, env.metadata["render_fps"]) as show:
            steps = 0

            def draw() -> None:
                nonlocal steps
                steps += 1
                if steps <= seconds * env.metadata["render_fps"]:
                    show(env.frame(0))

            score = evaluate(policy, env, seed=seed, on_step=draw)
    except OSError as error:  # the same seed gives the same score, which is not lost with the video
        return score or evaluate(policy, env, seed=seed), error
    return score, None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy().astype(float)


def table(summary: dict[str, Any]) -> str:
    """Return a summary as a table."""
    rows = [
        ("turns per episode", f"{summary['rotations_mean']:.2f} ± {summary['rotations_std']:.2f}"),
        ("episode length (steps)", f"{summary['episode_length_mean']:.1f}"),
        ("reward per episode", f"{summary['reward_mean']:.0f}"),
        ("episodes", summary["episodes"]),
        ("ended by", ", ".join(f"{name} {count}" for name, count in summary["reasons"].items())),
    ]
    return tabulate(rows, tablefmt="simple")


def conditions(
    policy: policies.Policy,
    *,
    randomize: bool,
    noise: float = 1.0,
    push: float = 1.0,
    fields: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the fields of the task in which a policy is scored: those of its training, with factors on two of them.

    Args:
        policy: the policy.
        randomize: False leaves out noise and pushes altogether, and collapses every range of its training.
        noise: factor of the noise on observed joint positions and on targets.
        push: factor of the force of the random pushes.
        fields: fields of the task that differ from those of the policy's training; they stay as they are.

    Raises:
        ValueError: a value is not possible.
    """
    given = dict(fields or {})
    if not randomize:  # `make_task` would collapse the task's own ranges, and then put those of the training back
        still = fixed_fields(make_task(policy.task, **policy.task_fields))
        return {**policy.task_fields, **still, **given}
    trained = {**policy.task_fields, **given}
    task = make_task(policy.task, **trained)
    scaled: dict[str, Any] = {
        "observation_noise": tuple(noise * deviation for deviation in task.observation_noise),
        "action_noise": tuple(noise * deviation for deviation in task.action_noise),
        "push_force": push * task.push_force,
    }
    return trained | scaled


@dataclass(kw_only=True)
class Args:
    """Score a policy over whole episodes, without exploration noise."""

    policy: str
    """Name of a shipped policy, such as nut-oracle, or the path of a policy file."""
    hand: str = ""
    """File that makes the policy's hand, if that is one of your own; see docs/extend.md."""
    episodes: int = 64
    """Episodes; they run side by side."""
    seed: int = 10_000
    """Seed of the episodes."""
    shape: tuple[str, ...] = ()
    """Shape of the nut, or several that episodes sample from; by default those of training. Short for --env.shape."""
    env: TaskOptions = field(default_factory=TaskOptions)
    """Fields of the task; by default those in which the policy was trained."""
    randomize: bool = True
    """Whether to randomise the physics, the start and the noise."""
    noise: float = 1.0
    """Factor of the noise on observed joint positions and on targets."""
    push: float = 1.0
    """Factor of the force of the random pushes on the nut."""
    video: Path | None = None
    """Where to write a video of one whole episode (mp4)."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""
    engine: str = "mujoco"
    """Simulator: mujoco on CPUs, or warp on an NVIDIA GPU."""
    device: str | None = None
    """Torch device; by default the engine's own, cpu or cuda."""
    threads: int = 0
    """Threads that step the simulation on CPUs; 0 takes all."""


def _evaluate(args: Args) -> int:
    if args.episodes < 1:
        raise ValueError(f"--episodes must be at least 1, got {args.episodes}")
    if args.video is not None and args.video.suffix != ".mp4":
        raise ValueError(f"--video must end in .mp4, got {args.video}")
    if args.video is not None:
        check_place(args.video)
    for name in ("noise", "push"):
        if not 0 <= getattr(args, name) < math.inf:
            raise ValueError(f"--{name} must be a factor of at least 0, got {getattr(args, name)}")
    fields = changes(args.env)
    if args.shape and fields.setdefault("shape", args.shape) != args.shape:
        raise ValueError("--shape and --env.shape name different shapes; give one of them")
    policy = policies.load(args.policy, args.hand)
    env = DexScrewVectorEnv(
        policy.task, args.episodes, randomize=args.randomize, observe=policy.observe, engine=args.engine,
        device=args.device, num_threads=args.threads,
        **conditions(policy, randomize=args.randomize, noise=args.noise, push=args.push, fields=fields),
    )  # fmt: skip
    with closing(env):
        policy.check_task(env.task)
        failure = None
        if args.video is None:
            score = evaluate(policy, env, seed=args.seed)
        else:
            score, failure = evaluate_on_video(policy, env, args.video, seed=args.seed)
    summary = score.summary()
    print(table(summary))
    if args.video is not None and failure is None:
        print(f"video: {args.video}")
    if args.json:
        print(to_json({"policy": args.policy, "task": policy.task, "seed": args.seed, **summary}))
    if failure is not None:
        raise failure
    return Status.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("baselines.evaluate", Args, _evaluate, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
