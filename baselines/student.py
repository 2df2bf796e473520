"""Distil an oracle into a student that infers from its joints' history what the oracle was told: DAgger.

`python -m baselines.student --task nut`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from baselines import policies
from baselines.rl.actor_critic import DexScrewActorCritic
from baselines.rl.dagger import TensorDAgger
from baselines.rl.sb3_env import TensorVecEnv
from baselines.rl.training import Agent, TrainConfig, run_command
from baselines.task_options import changes
from dexscrew_envs.mdp.observations import MEASURED
from dexscrew_envs.tasks import make_task
from dexscrew_envs.tasks.declare import fixed_fields


@dataclass(kw_only=True)
class StudentConfig(TrainConfig):
    """Distil a student; it acts and is scored under wider noise than its oracle."""

    steps: int = 2_000_000
    """Control steps of all environments together."""
    learning_rate: float = 1e-3
    """Learning rate of Adam at first; it falls to zero linearly over the training."""
    oracle: str = ""
    """Name of a shipped oracle, or the path of a policy file; by default <task>-oracle."""


def agent(config: StudentConfig) -> Agent:
    """Return the student, which sees `proprio` and `history`; the oracle sees what it was trained with.

    Raises:
        ValueError: the oracle does not exist, was made for another task, or sees no more than a student. Building it
            raises one where the oracle's actions mean something else than the student's.
    """
    oracle = policies.load_actor(config.oracle or f"{config.task}-oracle")
    given = changes(config.env)
    if oracle.task != config.task:
        raise ValueError(f"the oracle was made for the task {oracle.task!r}; distil it with --task {oracle.task}")
    student = MEASURED
    if set(oracle.observe) <= set(student):
        raise ValueError(
            f"{config.oracle} sees {', '.join(oracle.observe)} only, as a student does; an oracle sees "
            "privileged information: baselines.ppo_oracle trains one"
        )

    def build(env: TensorVecEnv, config: StudentConfig) -> TensorDAgger:
        oracle.check_task(env.env.task)  # the student would copy numbers that move its joints otherwise
        return TensorDAgger(
            DexScrewActorCritic, env, oracle=oracle, seed=config.seed, n_steps=config.n_steps,
            batch_size=config.batch_size, n_epochs=config.epochs, learning_rate=config.learning_rate,
            max_grad_norm=config.max_grad_norm, device=env.env.device,
            policy_kwargs={"actor": student, **oracle.actor.body.widths},
        )  # fmt: skip

    keys = tuple(dict.fromkeys((*student, *oracle.observe)))
    fields = dict(oracle.task_fields)
    if not config.randomize:  # `make_task` would collapse the task's own ranges, and then put the oracle's back
        fields |= fixed_fields(make_task(config.task, **fields))
    task = make_task(config.task, randomize=config.randomize, **{**fields, **given})
    fields |= task.student_fields
    return Agent("student", keys, build, fields, {"oracle_weights": policies.fingerprint(oracle)})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("baselines.student", StudentConfig, agent, argv, __doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
