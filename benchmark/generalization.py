"""How far a policy carries: every shape of its task, seen and unseen, as trained, under pushes, and with doubled noise.

`python -m benchmark.generalization --policy nut-student`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from baselines import policies
from baselines.evaluate import conditions, evaluate
from baselines.plots import CONDITION_COLORS, draw_bars
from baselines.progress import Progress
from baselines.run_folder import versions
from baselines.stored import read_json
from benchmark.training_statistics import confidence_interval, interquartile_mean
from dexscrew_envs import program
from dexscrew_envs.files import claimed, holds_nothing, write_json, write_text
from dexscrew_envs.program import Status
from dexscrew_envs.tasks import Task, make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv

CONDITIONS: dict[str, dict[str, Any]] = {"as trained": {}, "pushes x20": {"push": 20.0}, "noise x2": {"noise": 2.0}}
"""Name of each condition, and the factors of noise and pushes in it. A push is 0.1 N as trained, 2 N here."""
FILES = ("table.md", "results.json", "turns.png")
"""What it leaves."""


@dataclass(kw_only=True)
class Args:
    """Score a policy on every shape of its task in three conditions."""

    policy: str
    """Name of a shipped policy, such as nut-student, or the path of a policy file."""
    episodes: int = 64
    """Episodes of each shape in each condition."""
    seed: int = 30_000
    """Seed of the episodes."""
    out: Path | None = None
    """Folder for the table, the JSON file and the picture; by default runs/generalization-<policy>."""
    threads: int = 0
    """Threads that step the simulation; 0 takes all CPUs."""
    hand: str = ""
    """File that makes the policy's hand, if that is one of your own; see docs/extend.md."""


def check(policy: policies.StoredPolicy, args: Args) -> Task:
    """Return the task of a policy's training.

    Raises:
        ValueError: an argument is not possible, or the policy's actions mean something else in the task.
    """
    for name, least in (("episodes", 1), ("seed", 0), ("threads", 0)):
        if getattr(args, name) < least:
            raise ValueError(f"--{name} must be at least {least}, got {getattr(args, name)}")
    task = make_task(policy.task, **policy.task_fields)
    policy.check_task(task)
    return task


def score_all(policy: policies.StoredPolicy, args: Args) -> dict[str, Any]:
    """Return, by shape and condition, the turns (E,) of all episodes, and by shape whether training saw it.

    Raises:
        ValueError: see `check`.
    """
    task = check(policy, args)
    found: dict[str, Any] = {}
    pairs = [(shape, name) for shape in task.shapes for name in CONDITIONS]
    for shape, name in Progress(pairs, unit="condition", desc=args.policy):
        # The policy may have been trained with a shape of its own, which is among its fields.
        fields = conditions(policy, randomize=True, **CONDITIONS[name]) | {"shape": shape}
        env = DexScrewVectorEnv(policy.task, args.episodes, observe=policy.observe, num_threads=args.threads, **fields)
        score = evaluate(policy, env, seed=args.seed)
        env.close()
        entry = found.setdefault(shape, {"seen": shape in task.sampled_shapes, "turns": {}})
        entry["turns"][name] = score.rotations.tolist()
    return found


def summarize(found: dict[str, Any]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return, by shape and condition, the interquartile mean of turns and its 95 % interval."""
    summary = {}
    for shape, entry in found.items():
        turns = {name: np.array([values]) for name, values in entry["turns"].items()}
        summary[shape] = {
            name: (interquartile_mean(values), *confidence_interval(values)) for name, values in turns.items()
        }
    return summary


def write_report(found: dict[str, Any], args: Args, out: Path) -> str:
    """Write `table.md`, `results.json` and `turns.png` into a folder; return the table."""
    summary = summarize(found)
    rows = []
    for shape, scores in summary.items():
        cells = [f"{mean:.1f} [{low:.1f}, {high:.1f}]" for mean, low, high in scores.values()]
        rows.append([shape, "yes" if found[shape]["seen"] else "no", *cells])
    table = tabulate(rows, headers=["shape", "seen", *CONDITIONS], tablefmt="github")
    results = {
        "policy": policies.without_paths(args.policy),
        "seed": args.seed,
        "versions": versions(),
        "shapes": found,
    }
    write_text(table + "\n", out / "table.md")
    write_json(results, out / "results.json")
    draw(summary, args.policy, out / "turns.png")
    return table


def draw(summary: dict[str, dict[str, tuple[float, float, float]]], policy: str, path: Path) -> None:
    """Draw the interquartile mean of turns by shape and condition, with 95 % intervals."""
    groups = {name: [scores[name] for scores in summary.values()] for name in CONDITIONS}
    title = f"{policy}: interquartile mean and 95 % interval"
    draw_bars(path, title, list(summary), groups, CONDITION_COLORS)


def check_out(out: Path, policy: str) -> None:
    """Refuse a folder with anything but earlier results of the same policy.

    Raises:
        ValueError: it holds something else.
    """
    if not holds_nothing(out, besides=FILES):
        raise ValueError(f"{out} is not empty and holds no such results; give another --out")
    if (out / "results.json").exists():
        remedy = "give another --out"
        there = read_json(out / "results.json", ("policy", "shapes"), "results of this program", remedy)["policy"]
        if there != policies.without_paths(policy):
            raise ValueError(f"{out} holds results of {there}; {remedy}")


def _score(args: Args) -> int:
    policy = policies.load(args.policy, args.hand)
    check(policy, args)  # before there is a folder
    out = args.out or Path("runs") / f"generalization-{Path(args.policy).stem}"
    check_out(out, args.policy)
    with claimed(out):
        print(write_report(score_all(policy, args), args, out))
    print(f"results: {out}")
    return Status.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("benchmark.generalization", Args, _score, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
