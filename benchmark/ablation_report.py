"""What the simulation ablation found: a table, a JSON file and two pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmark.statistics import confidence_interval, interquartile_mean
from dexscrew_envs.files import replacing, write_json, write_text

COLORS = {"oracle": "#2a6f97", "student": "#c8641e", "asymmetric": "#5b8c3a", "unprivileged": "#7d7d7d"}
"""Of the methods, in all pictures."""


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
    _draw_curves(task, runs, out / "curves.png")
    _draw_conditions(task, summary, out / "conditions.png")
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


def _draw_curves(task: str, runs: dict[str, Any], path: Path) -> None:
    """Draw reward and length of episodes over control steps: mean and standard deviation over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, (key, label) in zip(
        axes, (("episode_reward", "episode reward"), ("episode_length", "episode length (steps)")), strict=True
    ):
        for method, found in runs.items():
            if not all(found["curves"]):  # a training too short for one whole episode
                continue
            first = max(curve[0]["steps"] for curve in found["curves"])  # before, some seed has no whole episode yet
            last = min(curve[-1]["steps"] for curve in found["curves"])
            steps = np.linspace(first, last, 200)
            values = np.array([
                np.interp(steps, [row["steps"] for row in curve], [row[key] for row in curve])
                for curve in found["curves"]
            ])  # fmt: skip
            mean, deviation = values.mean(axis=0), values.std(axis=0)
            axis.plot(steps / 1e6, mean, label=method, color=COLORS[method])
            axis.fill_between(
                steps / 1e6, mean - deviation, mean + deviation, color=COLORS[method], alpha=0.2, lw=0
            )  # fmt: skip
        axis.set(xlabel="control steps (million)", ylabel=label)
        axis.grid(alpha=0.3)
    if axes[0].lines:
        axes[0].legend(loc="upper left", fontsize=8)
    seeds = len(next(iter(runs.values()))["curves"])
    figure.suptitle(f"{task}, mean and standard deviation of {seeds} seeds, as trained", fontsize=10)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=130)
    pyplot.close(figure)


def _draw_conditions(task: str, summary: dict[str, Any], path: Path) -> None:
    """Draw turns per episode by condition and method, with 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    width = 0.8 / len(summary)
    for k, (method, found) in enumerate(summary.items()):
        at = np.arange(len(found)) + (k - (len(summary) - 1) / 2) * width
        turns = np.array([entry["turns"] for entry in found.values()])
        error = np.array([[e["turns"] - e["low"], e["high"] - e["turns"]] for e in found.values()]).T
        axis.bar(at, turns, width, yerr=error.clip(min=0), label=method, color=COLORS[method], capsize=2)
    axis.set_xticks(range(len(next(iter(summary.values())))), list(next(iter(summary.values()))))
    axis.set(ylabel="turns per episode")
    axis.grid(axis="y", alpha=0.3)
    axis.legend(fontsize=8)
    figure.suptitle(f"{task}: interquartile mean and 95 % interval", fontsize=10)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=130)
    pyplot.close(figure)
