"""Train the unprivileged agent: PPO whose actor and critic see proprioception only.

`python -m baselines.ppo_unprivileged --task nut`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from baselines.rl.ppo_agents import PPOConfig, ppo_agent
from baselines.rl.training import run_command

AGENT = ppo_agent("unprivileged", actor=("proprio",))
"""The agent that sees what a robot sees, and learns from nothing else."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("baselines.ppo_unprivileged", PPOConfig, lambda _: AGENT, argv, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
