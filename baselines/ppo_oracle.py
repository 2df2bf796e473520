"""Train the oracle: PPO whose actor and critic both see privileged information.

`python -m baselines.ppo_oracle --task nut`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from baselines.ppo_agents import PPOConfig, ppo_agent
from baselines.training import Agent, run_command


def agent(config: PPOConfig) -> Agent:
    """Return the oracle, which learns finger gaits with privileged information."""
    return ppo_agent("oracle", config, actor=("proprio", "privileged"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("baselines.ppo_oracle", PPOConfig, agent, argv, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
