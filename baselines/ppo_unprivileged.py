"""Train the unprivileged agent: PPO whose actor and critic see proprioception only.

`python -m baselines.ppo_unprivileged --task nut`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from baselines.ppo_agents import PPOConfig, ppo_agent
from baselines.training import Agent, run_command


def agent(config: PPOConfig) -> Agent:
    """Return the agent that sees what a robot sees, and learns from nothing else."""
    return ppo_agent("unprivileged", config, actor=("proprio",))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("baselines.ppo_unprivileged", PPOConfig, agent, argv, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
