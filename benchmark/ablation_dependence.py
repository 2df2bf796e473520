"""How the methods of the ablation compare as randomisation grows: one picture of several ablations.

`python -m benchmark.ablation_dependence runs/ablation-nut-none runs/ablation-nut runs/ablation-nut-wider`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tabulate import tabulate

from baselines.plots import COLORS, legend, picture
from baselines.stored import read_json
from benchmark.randomization_levels import LEVELS
from dexscrew_envs import program
from dexscrew_envs.files import claimed, holds_nothing, write_json, write_text
from dexscrew_envs.program import Status

FILES = ("dependence.md", "dependence.json", "dependence.png")
"""What it leaves."""


@dataclass(kw_only=True)
class Args:
    """Compare ablations of one task whose trainings, and evaluations, were randomised differently far."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished ablations, or their results.json."""
    out: Path = Path("runs/ablation-dependence")
    """Folder for dependence.md, dependence.json and dependence.png."""


def read(folders: Sequence[Path]) -> tuple[str, dict[str, Any]]:
    """Return the task, and by level of randomisation, in growing order, the results of its ablation.

    Raises:
        ValueError: a file is not that of a finished ablation, or the ablations do not compare.
    """
    found: dict[str, Any] = {}
    budgets = {}
    for folder in folders:
        path = folder / "results.json" if folder.is_dir() else folder
        remedy = "give the results.json of a finished ablation, of this version"
        try:
            results = read_json(path, ("arguments", "summary", "runs"), "the results.json of an ablation", remedy)
            arguments = results["arguments"]
            level = arguments.get("randomization", "task")
            budgets[path] = {name: arguments[name] for name in ("task", "steps", "num_envs", "episodes")}
            scores = {method: entry["as trained"] for method, entry in results["summary"].items()}
            seeds = len(next(iter(results["runs"].values()))["scores"])
        except (OSError, KeyError, TypeError, AttributeError, StopIteration) as error:
            raise ValueError(f"{path} is not the results.json of a finished ablation ({error!r}); {remedy}") from error
        if level in found:
            raise ValueError(f"two of the ablations have randomization {level!r}; give one of each")
        found[level] = {"seeds": seeds, "scores": scores}
    first = next(iter(budgets.values()), None)
    if first is None or len(found) < 2:
        raise ValueError("give at least two folders of ablations")
    for path, budget in budgets.items():
        if differing := [name for name in budget if budget[name] != first[name]]:
            raise ValueError(f"{path} does not compare with {next(iter(budgets))}: it has other {', '.join(differing)}")
    return first["task"], {level: found[level] for level in LEVELS if level in found}


def table(levels: dict[str, Any]) -> str:
    """Return turns per episode, with 95 % intervals, by method and level."""
    methods = next(iter(levels.values()))["scores"]
    rows = [
        [
            method,
            *("{turns:.1f} [{low:.1f}, {high:.1f}]".format(**found["scores"][method]) for found in levels.values()),
        ]
        for method in methods
    ]
    return tabulate(
        rows, headers=["turns per episode", *(f"{level} ({levels[level]['seeds']} seeds)" for level in levels)],
        tablefmt="github",
    )  # fmt: skip


def draw(task: str, levels: dict[str, Any], path: Path) -> None:
    """Draw turns per episode over randomisation, a line for each method."""
    with picture(path, (6.2, 3.6), f"{task}: interquartile mean and 95 % interval") as (figure, (axis,)):
        for k, method in enumerate(next(iter(levels.values()))["scores"]):
            scores = [found["scores"][method] for found in levels.values()]
            at = [x + 0.04 * (k - 1.5) for x in range(len(levels))]  # side by side, or the intervals hide each other
            turns = [score["turns"] for score in scores]
            error = [
                [max(0.0, score["turns"] - score["low"]) for score in scores],
                [max(0.0, score["high"] - score["turns"]) for score in scores],
            ]
            axis.errorbar(at, turns, error, marker="o", capsize=2, label=method, color=COLORS[method])
        axis.set_xticks(range(len(levels)), [f"{level}\n({found['seeds']} seeds)" for level, found in levels.items()])
        axis.set(xlabel="randomisation", ylabel="turns per episode")
        if min(score["low"] for found in levels.values() for score in found["scores"].values()) >= 0:
            axis.set_ylim(bottom=0)
        axis.grid(axis="y", alpha=0.3)
        legend(figure, axis)


def _compare(args: Args) -> int:
    task, levels = read(args.folders)
    text = table(levels)
    if not holds_nothing(args.out, besides=FILES):
        raise ValueError(f"{args.out} is not empty and holds no such comparison; give another --out")
    with claimed(args.out):
        write_json({"task": task, "levels": levels}, args.out / "dependence.json")
        write_text(text + "\n", args.out / "dependence.md")
        draw(task, levels, args.out / "dependence.png")
    print(text)
    return Status.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("benchmark.ablation_dependence", Args, _compare, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
