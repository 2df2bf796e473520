"""The finger skill: a policy that a robot can run, since it needs nothing but the history of joints and targets."""

from __future__ import annotations

from baselines import policies
from dexscrew_envs.mdp.observations import MEASURED
from dexscrew_envs.tasks import make_task


def student_of(task: str) -> str:
    """Return the name of a task's shipped student.

    Raises:
        ValueError: there is none.
    """
    if (name := f"{task}-student") not in policies.shipped():
        raise ValueError(f"no student of the task {task!r} is shipped; give one of your own, by the path of its file")
    return name


def load_skill(path: str) -> policies.StoredPolicy:
    """Return a policy that sees only what a robot measures.

    Args:
        path: of a policy file, or the name of a shipped policy.

    Raises:
        ValueError: there is no such policy, it needs privileged information, or its actions mean
            something else than the robot's; the message says what.
    """
    policy = policies.load(path)
    try:
        policy.check_task(make_task(policy.task))
    except ValueError as error:
        raise ValueError(f"{path} cannot run on the robot: {error}") from None
    unknown = [key for key in policy.observe if key not in MEASURED]
    if unknown:
        raise ValueError(
            f"{path} needs {', '.join(unknown)}, which only a simulation knows; run a student, such as "
            f"{policy.task}-student"
        )
    return policy
