"""Actor and critic as a Stable-Baselines3 policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from torch import Tensor, nn

from baselines.networks import Actor, RunningNorm, Trunk, log_probability


class DexScrewActorCritic(MultiInputActorCriticPolicy):
    """Actor and critic, one linear head each, and a standard deviation that does not depend on the state.

    The value head speaks in normalised returns; `value_norm` translates.

    Args:
        args: as of Stable-Baselines3: observation space, action space, learning-rate schedule.
        actor: keys of the observation that the actor sees.
        critic: those that the critic sees, on a trunk of its own; None shares the actor's trunk.
        encoder: widths of the encoder of what is seen besides proprioception; the last one is the size of the latent.
        trunk: widths of the trunk.
        kwargs: as of Stable-Baselines3.
    """

    pi_features_extractor: Trunk  # type: ignore[assignment]
    vf_features_extractor: Trunk  # type: ignore[assignment]
    action_net: nn.Linear

    def __init__(
        self,
        *args: Any,
        actor: Sequence[str] = ("proprio", "privileged"),
        critic: Sequence[str] | None = None,
        encoder: Sequence[int] = (256, 128, 8),
        trunk: Sequence[int] = (512, 256, 128),
        **kwargs: Any,
    ) -> None:
        self._critic = critic
        ours: dict[str, Any] = {
            "features_extractor_class": Trunk,
            "features_extractor_kwargs": {"keys": tuple(actor), "encoder": tuple(encoder), "trunk": tuple(trunk)},
            "share_features_extractor": critic is None,
            "net_arch": [],
        }
        super().__init__(*args, **(kwargs | ours))
        self.value_norm = RunningNorm((1,))

    def make_features_extractor(self) -> Any:
        """See Stable-Baselines3, which calls this first for the actor, then for a critic of its own."""
        kwargs = self.features_extractor_kwargs
        if self._critic is not None and hasattr(self, "pi_features_extractor"):
            kwargs = kwargs | {"keys": tuple(self._critic)}
        assert isinstance(self.observation_space, gymnasium.spaces.Dict)
        return Trunk(self.observation_space, **kwargs)

    def actor(self) -> Actor:
        """Return what acts, without the critic; it shares this policy's parameters."""
        return Actor(self.pi_features_extractor, self.action_net)

    def update_norms(self, observations: Mapping[str, Tensor]) -> None:
        """Let the normalisation of actor and critic take in a batch of observations."""
        self.pi_features_extractor.update_norms(observations)
        if not self.share_features_extractor:
            self.vf_features_extractor.update_norms(observations)

    def distribution_and_value(self, observations: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean (N, A) and standard deviation (A,) of the action, and the normalised value (N,)."""
        features = self.pi_features_extractor(observations)
        mean = self.action_net(features)
        if not self.share_features_extractor:
            features = self.vf_features_extractor(observations)
        return mean, self.log_std.exp(), self.value_net(features)[:, 0]

    def values(self, observations: Mapping[str, Tensor]) -> Tensor:
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
