"""Training a clone: run folder, progress, checkpoints, resume, and results.

A run folder holds `config.json`, `checkpoint.pt` (to go on from), and at the end `policy.pt`, `metrics.json` and
`curve.png`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from baselines import policies
from baselines.bc import policy as clones
from baselines.bc.curves import draw_curve
from baselines.bc.design import Design, design_to_json
from baselines.bc.network import CloneNetwork
from baselines.bc.normalisation import fit
from baselines.bc.windows import Samples, load_episodes, make_samples
from baselines.data.reader import Episode
from baselines.data.windows import split
from baselines.progress import Progress
from baselines.run_folder import CHECKPOINT_FORMAT, CHECKPOINT_VERSION, open_run_folder, versions
from dexscrew_envs import program
from dexscrew_envs.files import WriteError, write_json
from dexscrew_envs.program import Status

CHECKPOINT_SECONDS = 30.0
"""Time between checkpoints (s); so much is done again after a kill."""
_PARTS = ("steps", "network", "average", "optimizer", "schedule", "draws", "curve", "resumed", "seconds")
_WARM_UP = 0.02
"""Share of the steps in which the learning rate rises."""
_MOST_VALIDATED = 8192


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a clone is trained.

    Raises:
        ValueError: a value is not possible.
    """

    data: tuple[Path, ...]
    folder: Path
    seed: int = 0
    progress: float = 0.7
    validation: float = 0.1
    steps: int = 6000
    batch_size: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    average: float = 0.999
    threads: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "threads"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                f"learning_rate must be positive and weight_decay not negative, both finite, got {self.learning_rate} "
                f"and {self.weight_decay}"
            )
        if not 0 <= self.average < 1:
            raise ValueError(f"average must be at least 0 and below 1, got {self.average}")


class Learner:
    """Network, its moving average, optimiser, and the draws of batches.

    Args:
        network: to train, normalisation set.
        design: of the clone.
        training: how it is trained.
        samples: to learn from.
    """

    def __init__(self, network: CloneNetwork, design: Design, training: Training, samples: Samples) -> None:
        self.network, self.design, self.training, self.samples = network, design, training, samples
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(training.average))
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        warm_up = max(1, round(_WARM_UP * training.steps))

        def rate(step: int) -> float:
            falling = (step - warm_up) / max(1, training.steps - warm_up)
            return min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * min(max(falling, 0.0), 1.0))))

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate)
        self.draws = torch.Generator().manual_seed(training.seed)
        self.steps, self.seconds = 0, 0.0
        self.curve: list[dict[str, float]] = []
        self.resumed: list[int] = []

    @property
    def averaged(self) -> CloneNetwork:
        """The network with the moving average of the weights."""
        module = self.average.module
        assert isinstance(module, CloneNetwork)
        return module

    def step(self) -> float:
        """Take one step of the optimiser; return the loss.

        Raises:
            CutShort: the loss is not finite.
        """
        usable = self.samples.usable
        at = usable[torch.randint(len(usable), (self.training.batch_size,), generator=self.draws)]
        found = loss(self.network, self.samples, at)
        value = found.item()
        if not math.isfinite(value):
            raise program.CutShort(
                f"the loss is not finite after {self.steps:,} steps; lower --learning-rate, in another --folder"
            )
        self.optimizer.zero_grad()
        found.backward()
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        self.steps += 1
        return value

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from."""
        return {
            "format": CHECKPOINT_FORMAT, "version": CHECKPOINT_VERSION, "steps": self.steps, "seconds": self.seconds,
            "network": self.network.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict(),
            "draws": self.draws.get_state(), "curve": self.curve, "resumed": self.resumed,
        }  # fmt: skip

    def restore(self, content: dict[str, Any], path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: it holds networks of other sizes.
        """
        try:
            self.network.load_state_dict(content["network"])
            self.average.load_state_dict(content["average"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.schedule.load_state_dict(content["schedule"])
            self.draws.set_state(content["draws"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"{path} does not fit this version or these sizes ({error}); give another folder with --folder, or "
                "remove that one"
            ) from error
        self.steps, self.seconds, self.curve = content["steps"], content["seconds"], content["curve"]
        self.resumed = [*content["resumed"], self.steps]


def loss(network: CloneNetwork, samples: Samples, at: Tensor) -> Tensor:
    """Return the mean square error of normalised targets, the steps of the chunk weighted by the design's `decay`.

    Args:
        network: to judge.
        samples: to look at.
        at: (B,) indices of steps.
    """
    design = network.design
    windows, wanted, valid = samples.windows(design, at)
    weights = design.decay ** torch.arange(design.horizon) * valid
    return (network.square_error(windows, wanted) * weights).sum() / weights.sum()


@torch.no_grad()
def first_step_error(network: CloneNetwork, samples: Samples, at: Tensor, joints: int) -> list[float]:
    """Return the mean absolute error of the chunk's first target, of the hand's joints and of the arm's (rad)."""
    windows, wanted, _ = samples.windows(network.design, at)
    error = (network.targets(windows)[:, 0] - wanted[:, 0]).abs().mean(0)
    return [float(error[:joints].mean()), float(error[joints:].mean())]


def train(design: Design, training: Training, command: Sequence[str]) -> int:
    """Train until `training.steps`, going on from a checkpoint if there is one; return the exit status.

    Raises:
        RunFolderError: the run folder holds another configuration, or another program trains in it.
        ValueError: the data do not fit the design.
        CutShort: the training diverged.
        WriteError: the disk is full.
    """
    episodes = load_episodes(training.data, design, training.progress)
    learned, held_out = split(episodes, training.validation, training.seed)
    if training.threads:
        torch.set_num_threads(training.threads)
    wanted = {
        "agent": "bc", "design": design_to_json(design), "seed": training.seed, "progress": training.progress,
        "validation": training.validation, "steps": training.steps, "batch_size": training.batch_size,
        "learning_rate": training.learning_rate, "weight_decay": training.weight_decay, "average": training.average,
        "episodes": [episode.header.id for episode in episodes],
    }  # fmt: skip
    with open_run_folder(training.folder, wanted, command, _PARTS) as checkpoint:
        samples, validation = make_samples(learned, design), make_samples(held_out, design)
        torch.manual_seed(training.seed)
        header, shapes = episodes[0].header, {key: field.shape for key, field in episodes[0].fields.items()}
        interface = clones.make_interface(design, header, shapes)
        network = clones.build(design, interface)
        fit(network, samples, design, len(header.fingers))
        learner = Learner(network, design, training, samples)
        path = training.folder / "checkpoint.pt"
        if checkpoint is not None:
            learner.restore(checkpoint, path)
            program.say(f"going on from {learner.steps:,} steps in {training.folder}")
        at = validation.usable[:: max(1, len(validation.usable) // _MOST_VALIDATED)]
        try:
            _learn(learner, validation, at, path)
            _finish(learner, validation, at, interface, _about(episodes, learned, held_out, samples), command)
        except (KeyboardInterrupt, Exception) as error:
            interruption = program.interruption_of(error)
            if interruption is None or isinstance(error, (program.CutShort, WriteError)):
                raise
            program.say(f"{interruption} at {learner.steps:,} steps; the same command goes on from {training.folder}")
            return interruption.status
    return Status.DONE


def _learn(learner: Learner, validation: Samples, at: Tensor, path: Path) -> None:
    """Take the steps that are left, with a checkpoint now and then and at the end."""
    total = learner.training.steps
    every = max(1, total // 100)
    clock = saved = time.monotonic()
    sums = 0.0
    with Progress(total=total, initial=learner.steps, unit="step", desc="cloning", dynamic_ncols=True) as bar:
        while learner.steps < total:
            sums += learner.step()
            bar.update()
            now = time.monotonic()
            if learner.steps % every == 0 or learner.steps == total:
                with torch.no_grad():
                    judged = loss(learner.averaged, validation, at).item()
                row = {"steps": learner.steps, "training": sums / every, "validation": judged}
                learner.curve.append(row)
                bar.set_postfix_str(f"loss {row['training']:.4f}, held out {judged:.4f}", refresh=False)
                sums = 0.0
            learner.seconds += now - clock
            clock = now
            if now - saved >= CHECKPOINT_SECONDS or learner.steps == total:
                policies.write_atomically(learner.state(), path)
                saved = now


def _about(
    episodes: Sequence[Episode], learned: Sequence[Episode], held_out: Sequence[Episode], samples: Samples
) -> dict[str, Any]:
    """Return what is said of the data."""
    shapes = sorted({episode.header.shape for episode in episodes})
    seeds = [episode.header.seed for episode in episodes if episode.header.seed is not None]
    return {
        "shapes": shapes, "episodes": len(learned), "held out": len(held_out), "windows": len(samples.usable),
        "seeds": [min(seeds), max(seeds)] if seeds else None,
        "operators": sorted({episode.header.operator for episode in episodes}),
    }  # fmt: skip


def _finish(
    learner: Learner,
    validation: Samples,
    at: Tensor,
    interface: dict[str, Any],
    data: dict[str, Any],
    command: Sequence[str],
) -> None:
    """Write all results: the averaged network as policy, numbers, and the curve."""
    training, design, folder = learner.training, learner.design, learner.training.folder
    average = learner.averaged
    hand, arm = first_step_error(average, validation, at, len(interface["joints"]))
    card: dict[str, Any] = {
        "agent": "bc", "command": policies.without_paths(" ".join(command)), "seed": training.seed,
        "steps": learner.steps, "seconds": round(learner.seconds), "data": data, "versions": versions(),
    }  # fmt: skip
    clones.save(clones.ClonePolicy(average, interface, card), folder / "policy.pt")
    results = {
        "held-out loss": learner.curve[-1]["validation"] if learner.curve else None,
        "held-out error of the next target, hand (rad)": hand, "held-out error of the next target, arm (rad)": arm,
        "parameters": sum(parameter.numel() for parameter in average.parameters()),
    }  # fmt: skip
    write_json({**card, **results, "design": design_to_json(design), "curve": learner.curve}, folder / "metrics.json")
    if learner.curve:
        draw_curve(learner.curve, folder / "curve.png", f"clone, {interface['task']}, seed {training.seed}",
                   learner.resumed)  # fmt: skip
    rows = [("episodes", f"{data['episodes']}, and {data['held out']} held out"), *results.items()]
    print(tabulate(rows, tablefmt="simple", floatfmt=".3g"))
    print(f"results: {folder}")
