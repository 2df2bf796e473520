"""Training a clone: run folder, progress, checkpoints, resume, and results.

A run folder holds `config.json`, `checkpoint.pt` (to go on from), and at the end `policy.pt`, `metrics.json` and
`curve.png`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from baselines import policies
from baselines.bc import policy as clones
from baselines.bc.curves import draw_curve
from baselines.bc.design import Design, design_to_json
from baselines.bc.learner import PARTS, Learner, Training, judge
from baselines.bc.normalisation import fit
from baselines.bc.windows import Samples, load_episodes, load_labels, make_samples
from baselines.data.reader import Episode
from baselines.data.windows import split
from baselines.progress import Progress
from baselines.run_folder import check_run_folder, open_run_folder, versions
from dexscrew_envs import program
from dexscrew_envs.files import WriteError, write_json
from dexscrew_envs.program import Status

CHECKPOINT_SECONDS = 30.0
"""Time between checkpoints (s), or twenty times what writing one takes; so much is done again after a kill."""


@dataclass(frozen=True)
class Data:
    """Episodes by what they are for."""

    episodes: list[Episode]
    """All demonstrations."""
    learned: list[Episode]
    """Those that are learned from."""
    held_out: list[Episode]
    """Those that are not."""
    labelled: list[Episode]
    """Episodes of clones, which are learned from as well."""


def load_data(design: Design, training: Training) -> Data:
    """Return the episodes of a training.

    Raises:
        ValueError: they do not fit the design, or are too few.
    """
    episodes = load_episodes(training.data, design, training.progress)
    learned, held_out = split(episodes, training.validation, training.seed)
    return Data(episodes, learned, held_out, load_labels(training.labels, design, episodes))


def read_data(data: Data, design: Design, training: Training) -> tuple[Samples, Samples]:
    """Return the steps to learn from and those to validate on.

    Raises:
        ValueError: an episode holds a number that is not finite, or there is no step to learn from.
    """
    learned = make_samples([*data.learned, *data.labelled], design, pauses=training.pauses)
    return learned, make_samples(data.held_out, design, pauses=training.pauses)


def train(design: Design, training: Training, folder: Path, command: Sequence[str]) -> int:
    """Train until `training.steps`, going on from a checkpoint if there is one; return the exit status.

    Args:
        design: of the clone.
        training: how it is trained.
        folder: the run folder.
        command: that is recorded in it.

    Raises:
        RunFolderError: the run folder holds another configuration, or another program trains in it.
        ValueError: the data do not fit the design.
        CutShort: the training diverged.
        WriteError: the disk is full.
    """
    data = load_data(design, training)
    if training.threads:
        torch.set_num_threads(training.threads)
    wanted = configuration(design, training, [*data.episodes, *data.labelled])
    check_run_folder(folder, wanted)
    samples, validation = read_data(data, design, training)  # data that are refused must not claim the folder
    with open_run_folder(folder, wanted, command, PARTS) as checkpoint:
        torch.manual_seed(training.seed)
        first = data.episodes[0]
        header, shapes = first.header, {key: field.shape for key, field in first.fields.items()}
        interface = clones.make_interface(design, header, shapes)
        network = clones.build(design, interface)
        fit(network, samples, design, len(header.fingers))
        learner = Learner(network, training, samples)
        path = folder / "checkpoint.pt"
        if checkpoint is not None:
            learner.restore(checkpoint, path)
            program.say(f"going on from {learner.steps:,} steps in {folder}")
        try:
            _learn(learner, validation, path)
            _finish(learner, validation, interface, _about(data, samples), folder, command)
        except (KeyboardInterrupt, Exception) as error:
            interruption = program.interruption_of(error)
            if interruption is None or isinstance(error, (program.CutShort, WriteError)):
                raise
            begun = "begins anew" if learner.saved is None else f"goes on from {learner.saved:,} steps"
            program.say(f"{interruption} at {learner.steps:,} steps; the same command {begun} in {folder}")
            return interruption.status
    return Status.DONE


def configuration(design: Design, training: Training, episodes: Sequence[Episode]) -> dict[str, Any]:
    """Return what a run folder belongs to.

    Args:
        design: of the clone.
        training: how it is trained.
        episodes: that it learns from, and that are held out.
    """
    return {
        "agent": "bc", "design": design_to_json(design), "seed": training.seed, "progress": training.progress,
        "validation": training.validation, "steps": training.steps, "batch_size": training.batch_size,
        "learning_rate": training.learning_rate, "weight_decay": training.weight_decay, "average": training.average,
        "pauses": training.pauses, "episodes": [episode.header.id for episode in episodes],
    }  # fmt: skip


def _learn(learner: Learner, validation: Samples, path: Path) -> None:
    """Take the steps that are left, with a checkpoint now and then and at the end."""
    total = learner.training.steps
    every = max(1, total // 100)
    clock = saved = time.monotonic()
    pause = CHECKPOINT_SECONDS
    with Progress(total=total, initial=learner.steps, unit="step", desc="cloning", dynamic_ncols=True) as bar:
        while learner.steps < total:
            learner.losses.append(learner.step())
            bar.update()
            if learner.steps % every == 0 or learner.steps == total:
                judged, _, _ = judge(learner.averaged, validation)
                mean = sum(learner.losses) / len(learner.losses)
                row = {"steps": learner.steps, "training": mean, "validation": judged}
                learner.curve.append(row)
                bar.set_postfix_str(f"loss {row['training']:.4f}, held out {judged:.4f}", refresh=False)
                learner.losses = []
            now = time.monotonic()
            learner.seconds += now - clock
            clock = now
            if now - saved >= pause or learner.steps == total:
                learner.save(path)
                saved = time.monotonic()
                pause = max(CHECKPOINT_SECONDS, 20 * (saved - now))


def _about(data: Data, samples: Samples) -> dict[str, Any]:
    """Return what is said of the data."""
    shapes = sorted({episode.header.shape for episode in data.episodes})
    seeds = [episode.header.seed for episode in data.episodes if episode.header.seed is not None]
    return {
        "shapes": shapes, "episodes": len(data.learned), "held out": len(data.held_out),
        "labelled": len(data.labelled), "windows": len(samples.usable),
        "seeds": [min(seeds), max(seeds)] if seeds else None,
        "operators": sorted({episode.header.operator for episode in data.episodes}),
    }  # fmt: skip


def _finish(
    learner: Learner,
    validation: Samples,
    interface: dict[str, Any],
    data: dict[str, Any],
    folder: Path,
    command: Sequence[str],
) -> None:
    """Write all results: the averaged network as policy, numbers, and the curve."""
    average = learner.averaged
    judged, hand, arm = judge(average, validation)
    card: dict[str, Any] = {
        "agent": "bc", "command": policies.without_paths(" ".join(command)), "seed": learner.training.seed,
        "steps": learner.steps, "seconds": round(learner.seconds), "data": data, "versions": versions(),
    }  # fmt: skip
    clones.save(clones.ClonePolicy(average, interface, card), folder / "policy.pt")
    results = {
        "held-out loss": judged,
        "held-out error of the next target, hand (rad)": hand, "held-out error of the next target, arm (rad)": arm,
        "parameters": sum(parameter.numel() for parameter in average.parameters()),
    }  # fmt: skip
    write_json(
        {**card, **results, "design": design_to_json(average.design), "curve": learner.curve}, folder / "metrics.json"
    )
    title = f"clone, {interface['task']}, seed {learner.training.seed}"
    draw_curve(learner.curve, folder / "curve.png", title, learner.resumed)
    rows = [("episodes", f"{data['episodes']}, and {data['held out']} held out"), *results.items()]
    print(tabulate(rows, tablefmt="simple", floatfmt=".3g"))
    print(f"results: {folder}")
