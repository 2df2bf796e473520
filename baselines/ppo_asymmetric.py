"""Train the asymmetric agent: PPO whose critic sees privileged information and touch, and whose actor does not.

`python -m baselines.ppo_asymmetric --task nut`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from baselines.rl.ppo_agents import PPOConfig, ppo_agent
from baselines.rl.training import run_command

AGENT = ppo_agent("asymmetric", actor=("proprio",), critic=("proprio", "privileged", "fingertip_force"))
"""The agent whose actor sees what a robot sees, and whose critic sees everything."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("baselines.ppo_asymmetric", PPOConfig, lambda _: AGENT, argv, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
