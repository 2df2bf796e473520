"""The report of an evaluation: Markdown tables with the paper's results beside ours, JSON and two pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmark import paper, trial_pictures
from benchmark.statistics import mean_interval
from benchmark.trials import Contrast, Results, contrasts, letters, summarize
from dexscrew_envs.files import check_folder, write_json, write_text


def write_report(
    results: Results,
    task: str,
    limit: float,
    out: Path,
    *,
    robot: str = "twin",
    pairs: Sequence[tuple[str, str]] | None = None,
    paired: bool = True,
) -> str:
    """Write `summary.json`, `contrasts.json`, `report.md`, `progress.png` and `times.png`; return the Markdown.

    Args:
        results: trials by policy and shape. Policies named as the rows of `benchmark.paper` stand beside the paper's.
        task: the paper's are "nut" and "screwdriver".
        limit: time allowed for a trial (s).
        out: folder to write into.
        robot: what the trials ran on, as the tables are to say.
        pairs: of policies to compare, by default all.
        paired: whether trials share their seeds.

    Raises:
        ValueError: results that cannot be compared, or a folder that cannot be written.
    """
    check_folder(out)
    compared = contrasts(results, limit, pairs=pairs, paired=paired)
    summary = summarize(results, limit)
    parts = [results_table(results, summary, compared, task, limit, robot, letter=pairs is None)]
    if note := paper_note(results, task):
        parts.append(note)
    if compared:
        parts.append(contrasts_table(compared, paired=paired))
    text = "\n\n".join(parts) + "\n"
    write_json(summary, out / "summary.json")
    write_json([contrast.as_dict() for contrast in compared], out / "contrasts.json")
    write_text(text, out / "report.md")
    trial_pictures.draw_progress(summary, f"{task} on the {robot}", out / "progress.png")
    trial_pictures.draw_times(results, limit, f"{task} on the {robot}", out / "times.png")
    return text


def results_table(
    results: Results,
    summary: dict[str, dict[str, dict[str, Any]]],
    compared: Sequence[Contrast],
    task: str,
    limit: float,
    robot: str,
    *,
    letter: bool = True,
) -> str:
    """Return a Markdown table with a row for each shape and policy, ours beside the paper's.

    Args:
        results: trials by policy and shape.
        summary: of the results, by `summarize`.
        compared: the results' contrasts.
        task: the paper's are "nut" and "screwdriver".
        limit: time allowed for a trial (s).
        robot: what the trials ran on.
        letter: whether to add compact letters, which need the contrasts of all pairs.
    """
    rows = []
    for shape in next(iter(results.values())):
        shared = letters(results, compared, shape) if letter else {}
        for policy in results:
            cell, ours = paper.published(task, policy, shape), summary[policy][shape]
            low, high = ours["interval"]
            row = {
                "shape": shape,
                "policy": policy,
                "theirs, hardware: progress (%)": spread(cell.progress, cell.progress_std, 2) if cell else "",
                "theirs: time (s)": spread(cell.seconds, cell.seconds_std) if cell else "",
                f"ours, {robot}: progress (%)": spread(
                    100 * ours["progress_mean"], ours["progress_std"] and 100 * ours["progress_std"]
                ),
                "95 % interval": f"{100 * low:.0f} to {100 * high:.0f}",
                "complete": f"{ours['complete']} of {ours['trials']}",
                "time (s)": spread(ours["time_mean"], ours["time_std"], 0),
                f"time, failures as {limit:g} s": f"{ours['restricted_time_mean']:.0f}",
            }
            rows.append(row | ({"group": shared[policy]} if letter else {}))
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    notes = [
        "Mean ± standard deviation over trials. `time`: of complete trials only, as in the paper. The interval is for "
        "the mean progress, with Gaffke's bound."
    ]
    if letter:
        notes.append("Policies that share a letter in `group` could not be told apart on that shape; that is not to "
                     "say that they are equal.")  # fmt: skip
    return table + "\n\n" + " ".join(notes)


def spread(mean: float | None, deviation: float | None, digits: int = 1) -> str:
    """Return a mean with its standard deviation as text; what is None is left out."""
    if mean is None:
        return "none complete"
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation is not None else "")


def paper_note(results: Results, task: str) -> str:
    """Return intervals of the paper's means, from the single trials that its means and deviations allow.

    Empty where no cell of the paper stands beside a result, or none can be reconstructed.
    """
    found = []
    for policy, by_shape in results.items():
        cells = [(shape, paper.published(task, policy, shape)) for shape in by_shape]
        told = []
        for shape, cell in cells:
            solutions = paper.reconstruct(cell) if cell and task == "nut" else np.empty((0, paper.TRIALS))
            if len(solutions):
                bounds = np.array([mean_interval(solution) for solution in solutions]) * 100
                told.append(f"{shape} {bounds[:, 0].min():.0f} to {bounds[:, 1].max():.0f}")
        if told:
            found.append(f"- {policy}: {', '.join(told)}")
    if not found:
        return ""
    lead = (
        "The paper prints no intervals. Its means and deviations allow few outcomes of ten trials; 95 % intervals of "
    )
    return lead + "their mean progress (%), the widest where several outcomes fit:\n\n" + "\n".join(found)


def contrasts_table(compared: Sequence[Contrast], *, paired: bool = True) -> str:
    """Return a Markdown table with a row for each pair and shape.

    Args:
        compared: pairs of policies.
        paired: whether trials shared their seeds.
    """
    rows = [
        {
            "shape": one.shape,
            "policy": one.first,
            "against": one.second,
            "difference (points)": f"{100 * one.progress.difference:+.1f}",
            "p": p_text(one.progress.p),
            "adjusted p": p_text(one.adjusted_p),
            "verdict": one.verdict,
            "p of time": p_text(one.time_p),
            "log-rank p": "" if one.logrank_p is None else p_text(one.logrank_p),
        }
        for one in compared
    ]
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    test = "sign-flip tests of seeds, over several shapes of their means" if paired else "permutation tests"
    note = (
        f"p-values are two-sided, from {test}; `adjusted` is for all pairs on a shape (Holm), and gives the verdict. "
        "Times count failures at the limit; their p-values are not adjusted."
    )
    return f"{table}\n\n{note}"


def p_text(p: float) -> str:
    """Return a p-value as text."""
    return f"{p:.3f}" if p >= 0.0005 else "< 0.001"
