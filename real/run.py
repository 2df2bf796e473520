"""Run a policy on the robot, on a twin's server, or on a twin in this process, with a live view.

`python -m real.run --policy nut-student --task nut`
`python -m real.run --policy nut-student --arm 192.168.1.10 --hand tcp://127.0.0.1:5557`
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
import torch
from rich.console import Console
from rich.live import Live
from tabulate import tabulate

from baselines import policies
from dexscrew_envs import program
from dexscrew_envs.files import check_place, write_json
from dexscrew_envs.program import Status
from dexscrew_envs.tasks import make_task
from real.addresses import NO_ADDRESSES, AddressOptions
from real.env import DexScrewRealEnv
from real.skill import load_skill
from real.view import LiveView

_LONGEST = 86_400
_COLUMNS = 80  # of the narrowest terminal
_LABELS = {
    "ended_by": "ended by",
    "turns": "turns",
    "turns_needed": "turns needed",
    "released_s": "let go after (s)",
    "robot_time_s": "robot time (s)",
    "wall_time_s": "wall time (s)",
    "jitter_ms": "jitter median, 99 %, largest (ms)",
}
"""Names of the table's rows."""


@dataclass(kw_only=True)
class Args:
    """Let a policy act until its task is done, the time is over, the safety layer trips, or Ctrl-C."""

    policy: str = "nut-student"
    """Name of a shipped policy, or the path of a policy file."""
    task: str = ""
    """Task, such as nut or screwdriver; by default the policy's own, which it must be."""
    shape: str | None = None
    """Of a nut: triangle, square, hexagon, cross; of a handle: octagon, dodecagon, spheres; by default the first."""
    addresses: AddressOptions = NO_ADDRESSES
    """Of the robot, or of a twin's server; without them, a twin in this process."""
    stratum: str = "nominal"
    """Group that a twin in this process draws its parameters from: easy, nominal, hard or extreme; see docs/twin.md."""
    seconds: float = 60.0
    """Longest time that the policy acts (s)."""
    seed: int = 0
    """Seed of the trial of a twin in this process, its parameters and noise."""
    view: bool = True
    """Show turns, rate, forces and taxels while it runs, in a terminal of at least 80 columns and 24 lines."""
    json: Path | None = None
    """File to write the result to, as JSON; by default none."""


def make_env(args: Args, task: str) -> DexScrewRealEnv:
    """Return the environment that the arguments ask for.

    Raises:
        ValueError: an address is missing, or the time is not positive, or more than a day.
    """
    if not 0 < args.seconds <= _LONGEST:
        raise ValueError(f"--seconds must be positive and at most {_LONGEST} (a day), got {args.seconds}")
    robot: Any
    if args.addresses.options():
        args.addresses.check_both()
        from real.hardware.robot import RobotConfig

        robot = RobotConfig(**vars(args.addresses))
    else:
        from real.twin.robot import TwinConfig

        robot = TwinConfig(stratum=args.stratum)
    steps = math.ceil(args.seconds / make_task(task).control_dt - 1e-9)
    return DexScrewRealEnv(task, robot=robot, shape=args.shape, episode_steps=max(1, steps))


def run(
    policy: policies.Policy, env: DexScrewRealEnv, *, seed: int, view: bool, title: str
) -> tuple[dict[str, Any], int]:
    """Let a policy act for one episode; return turns, time, jitter and why it ended, and the exit status.

    An episode that a signal ended is one, too; the robot is stopped before anything else. What is not known is None.
    """
    observation, info = env.reset(seed=seed)
    policy.reset()
    jitter: list[float] = []
    ended, status, began = "", int(Status.DONE), time.monotonic()
    console = Console(file=cast("TextIO", program.Unfailing(sys.stdout)))
    live = Live(console=console, refresh_per_second=10, transient=True) if view else nullcontext()
    picture = LiveView(title, env.limits)
    steps = 0
    with live as shown:
        try:
            while True:
                batch = {key: torch.from_numpy(observation[key])[None] for key in policy.observe}
                action = policy.act(batch)[0].numpy()
                observation, _, terminated, truncated, info = env.step(action)
                steps += 1
                jitter.append(info["jitter"])
                if shown is not None and steps % 2 == 0:
                    shown.update(picture.draw(observation, info, steps * env.task.control_dt))
                if terminated or truncated:
                    ended = info["trip"] or info.get("lost") or ("finished" if terminated else "time is over")
                    status = int(Status.STOPPED if info["trip"] else Status.DONE)
                    break
        except KeyboardInterrupt as interruption:
            env.close()
            told = program.interruption_of(interruption)
            assert told is not None
            ended, status = str(told), told.status
    late = np.percentile(1000 * np.abs(jitter or [0.0]), [50, 99, 100]).round(3).tolist()
    result = {
        "ended_by": ended,
        "turns": None if math.isnan(info["rotations"]) else round(info["rotations"], 4),
        "turns_needed": info.get("turns_needed"),
        **({"released_s": info["released"]} if info.get("released") is not None else {}),
        "robot_time_s": round(steps * env.task.control_dt, 3),
        "wall_time_s": round(time.monotonic() - began, 3),
        "jitter_ms": dict(zip(("median", "p99", "max"), late, strict=True)),
    }
    return result, status


def table(result: dict[str, Any]) -> str:
    """Return what `run` found as a table of at most 80 columns."""

    def text(value: Any) -> str:
        if value is None:
            return "not measured"
        if isinstance(value, dict):
            return ", ".join(f"{v:.1f}" for v in value.values())
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    rows = [(_LABELS[name], text(value)) for name, value in result.items()]
    width = _COLUMNS - 2 - max(len(label) for label, _ in rows)
    return tabulate(rows, maxcolwidths=[None, width], disable_numparse=True)


def _run(args: Args) -> int:
    policy = load_skill(args.policy)
    task = args.task or policy.task
    if task != policy.task:
        raise ValueError(f"{args.policy} was trained for the task {policy.task!r}, not {task!r}")
    if args.json is not None:
        check_place(args.json)
    where = args.addresses.arm or f"twin, {args.stratum}"
    with closing(make_env(args, task)) as env:
        result, status = run(policy, env, seed=args.seed, view=args.view, title=f"{args.policy} on {where}")
    print(table(result))
    if args.json is not None:
        content = {"policy": policies.without_paths(args.policy), "task": task, "seed": args.seed, **result}
        try:
            write_json(content, args.json)
        except OSError as error:
            if status == Status.DONE:
                raise
            program.say(f"error: {error}")  # how the run ended matters more
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    It is 0 if the episode ran to its end, be the task finished or lost, 3 if the robot was stopped before, and 128 + n
    after signal n.
    """
    return program.main("real.run", Args, _run, argv, __doc__, follow_parent=True)


if __name__ == "__main__":
    sys.exit(main())
