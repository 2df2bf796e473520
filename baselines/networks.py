"""The networks that all agents are made of, with their normalisation inside."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import gymnasium
import torch
from torch import Tensor, nn

from baselines import distributed


class RunningNorm(nn.Module):
    """Normalises to zero mean and unit variance by the statistics of all that it was shown, then clips to ±5.

    The statistics begin as one sample of mean 0 and variance 1, so that a first batch of equal values does no harm.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: Sequence[int], epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.register_buffer("mean", torch.zeros(*shape, dtype=torch.float64))
        self.register_buffer("var", torch.ones(*shape, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(1.0, dtype=torch.float64))

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Take in a batch (B, *shape)."""
        mean, var, count = distributed.moments(values.double())
        total = self.count + count
        delta = mean - self.mean
        self.var.copy_((self.var * self.count + var * count + delta.square() * self.count * count / total) / total)
        self.mean.add_(delta * count / total)
        self.count.copy_(total)

    def forward(self, values: Tensor) -> Tensor:
        """Return the values (B, *shape), normalised and clipped."""
        scale = torch.rsqrt(self.var + self.epsilon).float()
        return ((values - self.mean.float()) * scale).clamp(-5.0, 5.0)

    def denormalize(self, values: Tensor) -> Tensor:
        """Undo the normalisation, except for the clipping."""
        return values * torch.sqrt(self.var + self.epsilon).float() + self.mean.float()


def mlp(
    sizes: Sequence[int], activation: type[nn.Module] = nn.ELU, last: bool = True, *, norm: bool = False
) -> nn.Sequential:
    """Return linear layers of these sizes with activations between them, and after the last one if `last`.

    With `norm` a layer normalisation goes before each activation.
    """
    layers: list[nn.Module] = []
    for k, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs))
        if last or k < len(sizes) - 2:
            layers += [*([nn.LayerNorm(outputs)] if norm else []), activation()]
    return nn.Sequential(*layers)


class HistoryEncoder(nn.Module):
    """Infers a latent from a history of proprioception: an MLP for each step, then convolutions along time.

    Sizes are the paper's: widths 32, kernels 9, 5 and 5, strides 2, 1 and 1.

    Args:
        steps: length of the history (control steps).
        pair: numbers in a step.
        latent: size of the latent.
    """

    def __init__(self, steps: int, pair: int, latent: int, width: int = 32) -> None:
        super().__init__()
        self.each = mlp([pair, width, width], nn.ReLU)
        layers: list[nn.Module] = []
        for kernel, stride in ((9, 2), (5, 1), (5, 1)):
            layers += [nn.Conv1d(width, width, kernel, stride), nn.ReLU()]
            steps = (steps - kernel) // stride + 1
        self.along = nn.Sequential(*layers)
        self.last = nn.Linear(width * steps, latent)

    def forward(self, history: Tensor) -> Tensor:
        """Return the latent (N, latent) of histories (N, steps, pair), oldest first."""
        return self.last(self.along(self.each(history).transpose(1, 2)).flatten(1))


class Trunk(nn.Module):
    """The body of every agent: proprioception joined to a latent of what else the agent sees, then an MLP.

    The latent comes from the history by a `HistoryEncoder`, or from all other keys together by an MLP. It is what a
    student shares with its oracle.

    Args:
        observation_space: has at least the keys.
        keys: what the agent sees: `proprio`, and, for a latent, either `history` or anything else.
        encoder: widths of the encoder; the last one is the size of the latent.
        trunk: widths of the trunk; the last one is the size of the features.

    Raises:
        ValueError: a list of widths is empty, or has one below 1.
    """

    def __init__(
        self,
        observation_space: gymnasium.spaces.Dict,
        keys: Sequence[str],
        encoder: Sequence[int] = (256, 128, 8),
        trunk: Sequence[int] = (512, 256, 128),
    ) -> None:
        super().__init__()
        for name, widths in (("encoder", encoder), ("trunk", trunk)):
            if not widths or min(widths) < 1:
                raise ValueError(f"{name} must be one or more widths of at least 1, got {tuple(widths)}")
        self.shapes = {key: tuple(observation_space[key].shape or ()) for key in keys}
        self.widths = {"encoder": tuple(encoder), "trunk": tuple(trunk)}
        self.features_dim = trunk[-1]
        self.norms = nn.ModuleDict({key: RunningNorm(shape) for key, shape in self.shapes.items()})
        self.encoded = tuple(key for key in keys if key != "proprio")
        self.encoder: nn.Module | None = None
        if self.encoded == ("history",):
            steps, pair = self.shapes["history"]
            self.encoder = HistoryEncoder(steps, pair, encoder[-1])
        elif self.encoded:
            self.encoder = mlp([sum(math.prod(self.shapes[key]) for key in self.encoded), *encoder], last=False)
        self.trunk = mlp([math.prod(self.shapes["proprio"]) + (encoder[-1] if self.encoded else 0), *trunk])

    def update_norms(self, observations: Mapping[str, Tensor]) -> None:
        """Let the normalisation take in a batch of observations."""
        for key, norm in self.norms.items():
            assert isinstance(norm, RunningNorm)
            norm.update(observations[key])

    def latent(self, observations: Mapping[str, Tensor]) -> Tensor:
        """Return the latent (N, encoder[-1]), between minus and plus one."""
        assert self.encoder is not None
        values = [self.norms[key](observations[key]) for key in self.encoded]
        inputs = values[0] if self.encoded == ("history",) else torch.cat([v.flatten(1) for v in values], dim=1)
        return torch.tanh(self.encoder(inputs))

    def features(self, proprio: Tensor, latent: Tensor | None) -> Tensor:
        """Return the features (N, trunk[-1]) of proprioception (N, 3, 2A), not yet normalised, and a latent."""
        parts = [self.norms["proprio"](proprio).flatten(1)]
        return self.trunk(torch.cat(parts if latent is None else [*parts, latent], dim=1))

    def forward(self, observations: Mapping[str, Tensor]) -> Tensor:
        """Return the features (N, trunk[-1])."""
        return self.features(observations["proprio"], None if self.encoder is None else self.latent(observations))


class Actor(nn.Module):
    """A trunk and a linear head: what remains of an agent when it acts."""

    def __init__(self, trunk: Trunk, head: nn.Linear) -> None:
        super().__init__()
        self.body = trunk
        self.head = head

    def forward(self, observations: Mapping[str, Tensor]) -> Tensor:
        """Return the mean action (N, A); the environment clips it to between -1 and 1."""
        return self.head(self.body(observations))

    def act_and_latent(self, observations: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the mean action (N, A) and the latent that it came from."""
        latent = self.body.latent(observations)
        return self.head(self.body.features(observations["proprio"], latent)), latent


def log_probability(actions: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return the log density (N,) of actions (N, A) under a diagonal Gaussian."""
    return torch.distributions.Normal(mean, std, validate_args=False).log_prob(actions).sum(dim=1)


def gaussian_kl(mean: Tensor, std: Tensor, old_mean: Tensor, old_std: Tensor) -> Tensor:
    """Return KL(old || new) (N,) of diagonal Gaussians."""
    ratio = (old_std.square() + (old_mean - mean).square()) / (2 * std.square())
    return (torch.log(std / old_std) + ratio - 0.5).sum(dim=-1)
