"""One trial of a policy that moves hand and arm by itself, on the robot or its twin.

A policy is whatever is a `RobotPolicy`; `real.robot_policies` makes those that there are.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from dexscrew_envs import program
from real.env import DexScrewRealEnv, Observation
from real.robot import Vector

Ending = Literal["complete", "lost", "trip", "stagnation", "time", "fault"]
"""Fastened; the task cannot be finished any more; the safety layer stopped the robot; nothing turned for long; the
environment's time limit; the robot, its simulation or the policy failed."""
STAGNATION_TURNS = 0.02
"""Turns that count as progress when stagnation is looked for."""
Watch = Callable[[Observation, Mapping[str, Any]], None]
"""Sees the observation and the infos of each step, such as to log them; what it does takes from the control period."""


class PolicyError(RuntimeError):
    """A policy failed, or asked for what is no target."""


class RobotPolicy(Protocol):
    """Anything that asks for joint targets of hand and arm."""

    name: str
    """Name in tables and files."""
    task: str
    """Name of the task that it was made for."""

    def reset(self, env: DexScrewRealEnv) -> None:
        """Begin a trial on an environment that was just reset.

        Raises:
            ValueError: the policy does not fit the environment; the message names what differs.
        """

    def act(self, env: DexScrewRealEnv, observation: Observation) -> tuple[Vector, Vector]:
        """Return joint targets of the hand (J,) and of the arm (6,) (rad) for the coming control step.

        Args:
            env: the environment, whose `safety` knows the targets that stand.
            observation: the newest one.
        """


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of a trial."""

    policy: str
    """Name of the policy."""
    seed: int
    """Seed of the trial."""
    progress: float | None
    """Turns made by turns needed, from 0 to 1; None where nothing measures them."""
    complete: bool
    """Whether it was fastened."""
    seconds: float
    """How long it took (s), in the robot's time."""
    ended_by: Ending
    """What ended it."""
    reason: str
    """The same in words, with values."""
    turns: tuple[float, ...]
    """Turns since the start at 0, 1, 2, ... s, and those at the end; empty where nothing measures them."""
    needed: float | None
    """Turns after which it would be fastened, where that is known."""


def run_trial(
    env: DexScrewRealEnv,
    policy: RobotPolicy,
    seed: int,
    *,
    stagnation: float = math.inf,
    watch: Watch | None = None,
) -> Trial:
    """Let a policy act for one episode.

    The caller closes the environment, which stops the robot, however this ends.

    Args:
        env: with `action="full"`, and all keys of the observation that the policy needs. Its `episode_steps` is the
            time limit.
        policy: acts.
        seed: of the trial; on a twin it fixes everything but the policy.
        stagnation: the trial also ends when nothing has turned for so long (s), where turns are measured.
        watch: sees every step.

    Raises:
        ValueError: the policy does not fit the environment, or an argument is not possible; nothing has moved.
        RobotError: the robot cannot be made ready.
    """
    if env.action != "full":
        raise ValueError(f"a trial needs an environment with action='full', got action={env.action!r}")
    if policy.task != env.task.name:
        raise ValueError(f"{policy.name} was made for the task {policy.task!r}, and this is {env.task.name!r}")
    if not stagnation > 0:
        raise ValueError(f"stagnation must be a positive time (s), got {stagnation!r}")
    observation, info = env.reset(seed=seed)
    policy.reset(env)
    period = env.task.control_dt
    per_second = round(1 / period)
    turns, best, progressed, step = [float(info["rotations"])], 0.0, 0, 0
    ended: Ending | None = None
    reason = ""
    while ended is None:
        try:
            targets = _targets(policy, env, observation)
            observation, _, terminated, truncated, info = env.step(targets)
        except RuntimeError as error:  # policy, robot or simulation failed; other trials may go on
            if program.interruption_of(error) is not None:
                raise
            env.robot.stop()
            ended, reason = "fault", str(error)
            break
        step += 1
        if watch is not None:
            watch(observation, info)
        if info["rotations"] > best + STAGNATION_TURNS:
            best, progressed = info["rotations"], step
        if terminated or truncated:
            ended, reason = _ending(info, truncated)
        elif (step - progressed) * period >= stagnation and not math.isnan(info["rotations"]):
            env.safety.release()
            ended, reason = "stagnation", f"nothing turned for {stagnation:g} s"
        if step % per_second == 0 or ended is not None:
            turns.append(float(info["rotations"]))
    needed, measured = info.get("turns_needed"), not math.isnan(info["rotations"])
    return Trial(
        policy=policy.name, seed=seed, complete=ended == "complete", seconds=round(step * period, 3), ended_by=ended,
        reason=reason, turns=tuple(round(made, 4) for made in turns) if measured else (), needed=needed,
        progress=float(np.clip(info["rotations"] / needed, 0.0, 1.0)) if measured and needed else None,
    )  # fmt: skip


def _targets(policy: RobotPolicy, env: DexScrewRealEnv, observation: Observation) -> Vector:
    """Return the targets (J + 6,) (rad) that a policy asks for.

    Raises:
        PolicyError: it failed, or asks for what is no target.
    """
    try:
        targets = np.concatenate([np.asarray(part, float) for part in policy.act(env, observation)])
    except Exception as error:  # whatever code of others may raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        raise PolicyError(f"{policy.name} failed: {type(error).__name__}: {error} ({where})") from error
    if targets.shape != env.action_space.shape:
        raise PolicyError(
            f"{policy.name} asked for targets of the shape {targets.shape}, and hand and arm together have "
            f"{env.action_space.shape}"
        )
    if not np.isfinite(targets).all():
        raise PolicyError(f"{policy.name} asked for targets that are not finite: {targets.tolist()}")
    return targets


def _ending(info: Mapping[str, Any], truncated: bool) -> tuple[Ending, str]:
    """Return what ended an episode, and in words."""
    if info["trip"]:
        return "trip", info["trip"]
    if info.get("finished"):
        return "complete", "finished"
    if info.get("lost"):
        return "lost", info["lost"]
    return ("time", "time is over") if truncated else ("fault", "the episode ended for no reason that was given")
