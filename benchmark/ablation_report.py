"""What the simulation ablation found: a table, a JSON file and two pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from baselines.plots import COLORS, draw_bars, legend, mark, picture, step_unit
from benchmark.training_statistics import confidence_interval, interquartile_mean
from dexscrew_envs.files import write_json, write_text
from dexscrew_envs.tasks import make_task


def write_report(task: str, runs: dict[str, Any], config: dict[str, Any], out: Path) -> str:
    """Write `results.json`, `table.md`, `curves.png` and `conditions.png`; return the table.

    Args:
        task: name of the task.
        runs: by method, `config`, and `curves` and `scores`, one entry per seed, as `sim_ablations.collect` returns
            them.
        config: arguments and versions.
        out: folder to write into.
    """
    summary = {method: _summarize(found["scores"]) for method, found in runs.items()}
    names = list(next(iter(summary.values())))
    rows = [
        [method, *(f"{s[name]['turns']:.1f} [{s[name]['low']:.1f}, {s[name]['high']:.1f}]" for name in names)]
        for method, s in summary.items()
    ]
    table = tabulate(rows, headers=["turns per episode", *names], tablefmt="github")
    results = {**config, "summary": summary, "runs": runs}
    write_json(results, out / "results.json")
    write_text(table + "\n", out / "table.md")
    draw_curves(task, runs, out / "curves.png")
    draw_conditions(task, summary, out / "conditions.png")
    return table


def _summarize(scores: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return, by condition, the interquartile mean of turns with its 95 % interval, and the mean length."""
    found = {}
    for name in scores[0]:
        turns = np.array([seed[name]["turns"] for seed in scores])
        low, high = confidence_interval(turns)
        length = float(np.mean([seed[name]["length"] for seed in scores]))
        found[name] = {"turns": interquartile_mean(turns), "low": low, "high": high, "length": length}
    return found


def draw_curves(task: str, runs: dict[str, Any], path: Path) -> None:
    """Draw reward and length of episodes over control steps: mean and standard deviation over seeds.

    Until the first episodes of full length can end, all at once, only episodes that failed early are counted. The line
    of a student, which seldom fails, is therefore broken there.
    """
    drawn = {method: found for method, found in runs.items() if all(found["curves"])}  # else too short for an episode
    seeds = len(next(iter(runs.values()))["curves"])
    last = max((curve[-1]["steps"] for found in drawn.values() for curve in found["curves"]), default=1)
    first_full = (
        max((found["config"]["num_envs"] for found in drawn.values()), default=1) * make_task(task).episode_steps
    )
    unit, label = step_unit(last)
    title = f"{task}: mean and standard deviation of {seeds} seeds, in training"
    with picture(path, (11, 3.8), title, columns=2) as (figure, axes):
        for axis, (key, name) in zip(
            axes, (("episode_reward", "episode reward"), ("episode_length", "episode length (steps)")), strict=True
        ):
            for method, found in drawn.items():
                parts = [found["curves"]]
                if method == "student":
                    parts = [
                        [[row for row in curve if (row["steps"] >= first_full) == full] for curve in found["curves"]]
                        for full in (True, False)
                    ]
                for k, curves in enumerate(parts):
                    if all(curves):
                        _draw_band(axis, curves, key, unit, color=COLORS[method], label="_" * k + method)
            if first_full < last:
                mark(axis, first_full / unit, "first full episodes end; only failed ones counted before")
            axis.set(xlabel=label, ylabel=name)
            axis.grid(alpha=0.3)
        legend(figure, axes[0])


def _draw_band(axis: Any, curves: list[list[dict[str, float]]], key: str, unit: float, color: str, label: str) -> None:
    """Draw the mean and the standard deviation over seeds where all of them have values."""
    first = max(curve[0]["steps"] for curve in curves)
    last = min(curve[-1]["steps"] for curve in curves)
    steps = np.linspace(first, last, 200)
    values = np.array([
        np.interp(steps, [row["steps"] for row in curve], [row[key] for row in curve]) for curve in curves
    ])  # fmt: skip
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    axis.plot(steps / unit, mean, label=label, color=color)
    axis.fill_between(steps / unit, mean - deviation, mean + deviation, color=color, alpha=0.2, lw=0)


def draw_conditions(task: str, summary: dict[str, Any], path: Path) -> None:
    """Draw turns per episode by condition and method, with 95 % intervals."""
    groups = {
        method: [(entry["turns"], entry["low"], entry["high"]) for entry in found.values()]
        for method, found in summary.items()
    }
    names = list(next(iter(summary.values())))
    draw_bars(path, f"{task}: interquartile mean and 95 % interval", names, groups, [COLORS[m] for m in groups])
