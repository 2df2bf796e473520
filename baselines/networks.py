"""Networks of the agents, as Stable-Baselines3 policies with their normalisation inside."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import gymnasium
import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn


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
        batch = values.double()
        count = len(batch)
        mean, var = batch.mean(dim=0), batch.var(dim=0, correction=0)
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
        """Undo the normalisation, but for the clipping."""
        return values * torch.sqrt(self.var + self.epsilon).float() + self.mean.float()


def mlp(sizes: Sequence[int], activation: type[nn.Module] = nn.ELU, last: bool = True) -> nn.Sequential:
    """Return linear layers of these sizes with activations between them, and after the last one if `last`."""
    layers: list[nn.Module] = []
    for k, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs))
        if last or k < len(sizes) - 2:
            layers.append(activation())
    return nn.Sequential(*layers)


class OracleTrunk(BaseFeaturesExtractor):
    """The oracle's body: privileged information through an encoder to a latent, joined to proprioception, then a trunk.

    Args:
        observation_space: with `proprio` (3, 24) and, to use it, `privileged` (P,).
        encoder: widths of the privileged encoder; the last one is the size of the latent.
        trunk: widths of the trunk; the last one is the size of the features.
    """

    def __init__(
        self,
        observation_space: gymnasium.spaces.Dict,
        encoder: Sequence[int] = (256, 128, 8),
        trunk: Sequence[int] = (512, 256, 128),
    ) -> None:
        super().__init__(observation_space, trunk[-1])
        shapes = {key: space.shape or () for key, space in observation_space.spaces.items()}
        self.norms = nn.ModuleDict({key: RunningNorm(shape) for key, shape in shapes.items()})
        joined = shapes["proprio"][0] * shapes["proprio"][1]
        self.encoder = None
        if "privileged" in shapes:
            self.encoder = mlp([shapes["privileged"][0], *encoder], last=False)
            joined += encoder[-1]
        self.trunk = mlp([joined, *trunk])

    def update_norms(self, observations: dict[str, Tensor]) -> None:
        """Let the normalisation take in a batch of observations."""
        for key, norm in self.norms.items():
            assert isinstance(norm, RunningNorm)
            norm.update(observations[key])

    def latent(self, observations: dict[str, Tensor]) -> Tensor:
        """Return the latent (N, 8) of the privileged information."""
        assert self.encoder is not None
        return torch.tanh(self.encoder(self.norms["privileged"](observations["privileged"])))

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Return the features (N, trunk[-1])."""
        parts = [self.norms["proprio"](observations["proprio"]).flatten(1)]
        if self.encoder is not None:
            parts.append(self.latent(observations))
        return self.trunk(torch.cat(parts, dim=1))


class DexScrewActorCritic(MultiInputActorCriticPolicy):
    """Actor and critic on one trunk, one linear head each, a state-independent standard deviation.

    The value head speaks in normalised returns; `value_norm` translates.
    """

    features_extractor: OracleTrunk

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        defaults: dict[str, Any] = {"features_extractor_class": OracleTrunk, "net_arch": []}
        super().__init__(*args, **(defaults | kwargs))
        self.value_norm = RunningNorm((1,))

    def distribution_and_value(self, observations: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean (N, 12) and standard deviation (12,) of the action, and the normalised value (N,)."""
        features = self.features_extractor(observations)
        return self.action_net(features), self.log_std.exp(), self.value_net(features)[:, 0]

    def values(self, observations: dict[str, Tensor]) -> Tensor:
        """Return the values (N,) in units of the return."""
        _, _, value = self.distribution_and_value(observations)
        return self.value_norm.denormalize(value)

    def predict_values(self, obs: Any) -> Tensor:
        """See Stable-Baselines3; in units of the return."""
        return self.values(obs)[:, None]

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """See Stable-Baselines3; values in units of the return."""
        mean, std, value = self.distribution_and_value(obs)
        actions = mean if deterministic else mean + std * torch.randn_like(mean)
        return actions, self.value_norm.denormalize(value)[:, None], log_probability(actions, mean, std)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """See Stable-Baselines3; values in units of the return."""
        mean, std, value = self.distribution_and_value(obs)
        entropy = torch.distributions.Normal(mean, std, validate_args=False).entropy().sum(dim=1)
        return self.value_norm.denormalize(value)[:, None], log_probability(actions, mean, std), entropy

    def get_distribution(self, obs: Any) -> DiagGaussianDistribution:
        """See Stable-Baselines3."""
        mean, _, _ = self.distribution_and_value(obs)
        distribution = self.action_dist
        assert isinstance(distribution, DiagGaussianDistribution)
        return distribution.proba_distribution(mean, self.log_std)


def log_probability(actions: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return the log density (N,) of actions (N, A) under a diagonal Gaussian."""
    return torch.distributions.Normal(mean, std, validate_args=False).log_prob(actions).sum(dim=1)


def gaussian_kl(mean: Tensor, std: Tensor, old_mean: Tensor, old_std: Tensor) -> Tensor:
    """Return KL(old || new) (N,) of diagonal Gaussians."""
    ratio = (old_std.square() + (old_mean - mean).square()) / (2 * std.square())
    return (torch.log(std / old_std) + ratio - 0.5).sum(dim=-1)
