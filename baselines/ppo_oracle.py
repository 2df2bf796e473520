"""Train the oracle: PPO whose actor and critic both see privileged information.

`python -m baselines.ppo_oracle --task nut`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from baselines.training import Agent, TrainConfig, train


@dataclass(kw_only=True)
class OracleConfig(TrainConfig):
    """Train the oracle, which learns finger gaits with privileged information."""

    encoder: tuple[int, ...] = (256, 128, 8)
    """Widths of the encoder of privileged information; the last one is the size of the latent."""
    trunk: tuple[int, ...] = (512, 256, 128)
    """Widths of the trunk that actor and critic share."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    config = tyro.cli(OracleConfig, args=argv, description=__doc__)
    extractor = {"encoder": tuple(config.encoder), "trunk": tuple(config.trunk)}
    agent = Agent("oracle", ("proprio", "privileged"), {"features_extractor_kwargs": extractor})
    command = ["python", "-m", "baselines.ppo_oracle", *(sys.argv[1:] if argv is None else argv)]
    try:
        return train(agent, config, command)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
