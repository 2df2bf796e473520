"""Train the oracle: PPO whose actor and critic both see privileged information.

`python -m baselines.ppo_oracle --task nut`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from baselines.rl.ppo_agents import PPOConfig, ppo_agent
from baselines.rl.training import run_command

AGENT = ppo_agent("oracle", actor=("proprio", "privileged"))
"""The oracle, which learns finger gaits with privileged information."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("baselines.ppo_oracle", PPOConfig, lambda _: AGENT, argv, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
