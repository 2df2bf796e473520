"""What learns: the network, its moving average, the optimiser; and the state from which it goes on."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from baselines import policies
from baselines.bc.features import ARM_JOINTS
from baselines.bc.network import CloneNetwork
from baselines.bc.windows import Samples
from baselines.run_folder import CHECKPOINT_FORMAT, CHECKPOINT_VERSION
from dexscrew_envs import program

PARTS = ("steps", "network", "average", "optimizer", "schedule", "draws", "curve", "resumed", "seconds")
"""Of a checkpoint."""
_MOST_THREADS = 256
_WARM_UP = 0.02
"""Share of the steps in which the learning rate rises."""
_MOST_JUDGED, _AT_ONCE = 8192, 512
"""Windows of held-out episodes that are judged, and how many at once."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a clone is trained. The fields are options of `python -m baselines.bc`."""

    data: tuple[Path, ...]
    """Folders of demonstrations, of one task and hand."""
    labels: tuple[Path, ...] = ()
    """Labels of clones to learn from as well, such as runs/nut-bc/labels-1 of an earlier training with --dagger."""
    progress: float = 0.7
    """Least share of the turns needed that an episode must have made to be learned from; 0 takes all."""
    pauses: bool = False
    """Learn also from steps in which the finger skill was off and the fingers stood still."""
    validation: float = 0.1
    """Share of the episodes to validate on, at least one."""
    steps: int = 14000
    """Steps of the optimiser; a run goes on with as many as it began with, since its learning rate falls with them."""
    batch_size: int = 512
    """Windows of a step."""
    learning_rate: float = 1e-3
    """Largest learning rate of AdamW; it rises at first, then falls to zero as a cosine."""
    weight_decay: float = 0.01
    """Of AdamW."""
    average: float = 0.999
    """Decay of the moving average of the weights, which becomes the policy; after n steps (1 + n) / (10 + n), if that
    is less, so that the average of a short training is not that of its first weights."""
    seed: int = 0
    """Seed of network, batches and split."""
    threads: int = 0
    """Threads; 0 takes all."""

    def check(self) -> None:
        """Raise ValueError if a value is not possible."""
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "threads"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.seed >= 2**63:
            raise ValueError(f"seed must be below 2^63, got {self.seed}")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                f"learning_rate must be positive and weight_decay not negative, both finite, got {self.learning_rate} "
                f"and {self.weight_decay}"
            )
        if self.threads > (most := max(_MOST_THREADS, os.cpu_count() or 1)):
            raise ValueError(f"threads must be at most {most}, got {self.threads}")
        if not 0 <= self.average < 1:
            raise ValueError(f"average must be at least 0 and below 1, got {self.average}")


class Learner:
    """Network, its moving average, optimiser, and the draws of batches.

    Args:
        network: to train, normalisation set.
        training: how it is trained.
        samples: to learn from.
    """

    def __init__(self, network: CloneNetwork, training: Training, samples: Samples) -> None:
        self.network, self.training, self.samples = network, training, samples
        self.average = AveragedModel(network, avg_fn=_averaging(training.average))
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
        self.saved: int | None = None
        """Steps of the newest checkpoint."""
        self.losses: list[float] = []
        """Of the steps since the curve's last row."""
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
            "draws": self.draws.get_state(), "curve": self.curve, "losses": self.losses, "resumed": self.resumed,
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
        self.losses = content.get("losses", [])  # checkpoints of before lack them
        self.resumed, self.saved = [*content["resumed"], self.steps], self.steps

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        policies.write_atomically(self.state(), path)
        self.saved = self.steps


def _averaging(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return how an average goes on from the weights (averaged, present) and the number of steps in it."""

    def average(averaged: Tensor, present: Tensor, steps: Tensor | int) -> Tensor:
        return averaged.lerp(present, 1.0 - min(decay, (1.0 + float(steps)) / (10.0 + float(steps))))

    return average


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
def judge(network: CloneNetwork, samples: Samples) -> tuple[float, float, float]:
    """Return how well a network does on samples that it did not learn from.

    Returns:
        The loss, and the mean absolute error of the chunk's first target, of the hand's joints and of the arm's (rad).
    """
    at = samples.usable[:: max(1, len(samples.usable) // _MOST_JUDGED)]
    found = torch.zeros(3, dtype=torch.float64)
    for part in at.split(_AT_ONCE):
        windows, wanted, _ = samples.windows(network.design, part)
        error = (network.targets(windows)[:, 0] - wanted[:, 0]).abs().mean(0)
        mean = [
            float(loss(network, samples, part)),
            float(error[:-ARM_JOINTS].mean()),
            float(error[-ARM_JOINTS:].mean()),
        ]
        found += len(part) / len(at) * torch.tensor(mean, dtype=torch.float64)
    judged, hand, arm = found.tolist()
    return judged, hand, arm
