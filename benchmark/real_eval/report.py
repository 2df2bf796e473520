"""What an evaluation leaves: tables beside the paper's, JSON, pictures and videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from baselines.data.folder import numbered
from baselines.data.reader import Demonstrations, Episode
from baselines.progress import Progress
from benchmark.real_eval.contact import draw_contact
from benchmark.real_eval.entrants import Entrant
from benchmark.real_eval.failures import KINDS
from benchmark.real_eval.recovery import recovery_table, summarize_recovery
from benchmark.real_eval.recovery_picture import draw_recovery
from benchmark.real_eval.results_folder import ResultsFolder, trial_of
from benchmark.real_eval.rules import Rules
from benchmark.trial_report import write_report
from benchmark.trials import summarize
from dexscrew_envs.files import write_json, write_text

Records = Mapping[str, Mapping[str, Sequence[dict[str, Any]]]]
"""Records of trials by policy and shape."""


def report(folder: ResultsFolder, rules: Rules, records: Records, note: str = "") -> tuple[str, dict[str, Any]]:
    """Write report and summary into the folder.

    Args:
        folder: of the results.
        rules: of all trials.
        records: of the trials.
        note: what stands before the tables.

    Returns:
        The report as Markdown, and the summary by policy and shape as plain values.
    """
    results = {policy: {shape: [trial_of(record) for record in trials] for shape, trials in by_shape.items()}
               for policy, by_shape in records.items()}  # fmt: skip
    text = write_report(
        results, rules.task, rules.limit, folder.path, robot=rules.where, paired=rules.robot != "config"
    )  # fmt: skip
    summary = summarize(results, rules.limit)
    text = f"{text}\n{endings_table(summary)}\n"
    if rules.perturbation:
        recovered = summarize_recovery(records)
        for policy, by_shape in recovered.items():
            for shape, found in by_shape.items():
                summary[policy][shape]["recovery"] = found
        text = f"{recovery_table(recovered)}\n\n{text}"
        title = f"{rules.task} on the {rules.where}: one line a trial, dashed where the policy did not recover"
        draw_recovery(records, title, folder.path / "recovery.png")
        write_json(summary, folder.path / "summary.json")
    if note:
        text = f"{note}\n\n{text}"
    write_text(text, folder.path / "report.md")
    return text, summary


def endings_table(summary: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return a Markdown table of how trials ended.

    Args:
        summary: by policy and shape, as `benchmark.trials.summarize` returns it.
    """
    kinds = [
        kind for kind in KINDS if any(kind in cell["ended_by"] for row in summary.values() for cell in row.values())
    ]
    rows = [
        {"shape": shape, "policy": policy, **{kind: cell["ended_by"].get(kind, 0) for kind in kinds}}
        for shape in next(iter(summary.values()))
        for policy, cell in ((policy, by_shape[shape]) for policy, by_shape in summary.items())
    ]
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    return f"How trials ended, in trials:\n\n{table}"


def draw_recordings(folder: ResultsFolder, rules: Rules, entrants: Sequence[Entrant], shape: str) -> Path | None:
    """Draw the contact of thumb and index finger in the first recorded trial of each policy, if there are recordings.

    Args:
        folder: of the results.
        rules: of all trials.
        entrants: whose recordings.
        shape: of the object.

    Returns:
        The picture's path, or None where nothing of this shape is recorded.
    """
    found = {entrant.label: episode for entrant in entrants for episode in recordings(folder, entrant, (shape,), 1)}
    if not found:
        return None
    path = folder.path / "contact.png"
    draw_contact(found, f"{rules.task} on the {rules.where}: contact of thumb and index finger", path)
    return path


def recordings(folder: ResultsFolder, entrant: Entrant, shapes: Sequence[str], count: int) -> list[Episode]:
    """Return a policy's first recordings of each shape, in the order of their seeds."""
    logs = folder.log(entrant)
    if not logs.is_dir() or not numbered(logs):
        return []
    ordered = sorted(Demonstrations(logs), key=lambda episode: (episode.header.seed or 0, episode.number))
    return [episode for shape in shapes for episode in [e for e in ordered if e.header.shape == shape][:count]]


def write_videos(folder: ResultsFolder, entrants: Sequence[Entrant], shapes: Sequence[str], count: int) -> list[Path]:
    """Write videos of the first recorded trials of each policy and shape; those that exist are kept.

    Returns:
        Their paths.
    """
    from benchmark.real_eval.video import write_video

    wanted = {
        folder.path / "videos" / f"{entrant.slug}-{episode.header.shape}-{episode.header.seed:04}.mp4": episode
        for entrant in entrants
        for episode in recordings(folder, entrant, shapes, count)
    }
    for path, episode in Progress(wanted.items(), unit="video", desc="videos"):
        if not path.exists():
            write_video(episode, path)
    return list(wanted)
