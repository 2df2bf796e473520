"""The finger skill: a policy that a robot can run, since it needs nothing but the history of joints and targets."""

from __future__ import annotations

from baselines import policies
from dexscrew_envs.hands import XHAND_LEFT


def load_skill(path: str) -> policies.ActorPolicy:
    """Return a policy that sees only what a robot measures.

    Args:
        path: of a policy file, or the name of a shipped policy.

    Raises:
        ValueError: there is no such policy, it needs privileged information, or it is for another hand; the message
            says what to do.
    """
    policy = policies.load(path)
    hand = policy.task_fields.get("hand", XHAND_LEFT.name)
    if hand != XHAND_LEFT.name:
        raise ValueError(f"{path} was trained with the hand {hand!r}, and the robot has {XHAND_LEFT.name!r}")
    unknown = [key for key in policy.observe if key not in ("proprio", "history")]
    if unknown:
        raise ValueError(
            f"{path} needs {', '.join(unknown)}, which only a simulation knows; run a student, such as "
            f"{policy.task}-student"
        )
    return policy
