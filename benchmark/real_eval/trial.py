"""One trial by the rules: the robot, a policy on it, and the record of what happened."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.real_eval.entrants import Entrant, check_unchanged, make_policy
from benchmark.real_eval.failures import classify
from benchmark.real_eval.observer import Observer
from benchmark.real_eval.recovery import recovery
from benchmark.real_eval.rules import Job, Rules
from real.addresses import NO_ADDRESSES, Addresses
from real.autonomous import run_trial
from real.env import DexScrewRealEnv
from real.robot import ControlGains
from real.teleop.episode import Row


def robot_of(rules: Rules, addresses: Addresses = NO_ADDRESSES) -> ControlGains:
    """Return what the trials run on, checked; nothing is connected for it.

    Args:
        rules: of all trials.
        addresses: of the robot, where the trials are on one.

    Raises:
        ValueError: an address is missing or cannot be one, or the stratum is unknown.
    """
    if rules.robot == "config":
        from real.hardware.robot import RobotConfig

        return RobotConfig(**vars(addresses))
    if rules.robot == "server":
        from real.twin.network.served import ServedTwinConfig

        return ServedTwinConfig(stratum=rules.stratum)
    if rules.perturbation:
        from benchmark.real_eval.perturbations import PerturbedTwinConfig

        return PerturbedTwinConfig(stratum=rules.stratum, perturbation=rules.perturbation)
    from real.twin.robot import TwinConfig

    return TwinConfig(stratum=rules.stratum)


def make_env(rules: Rules, shape: str, addresses: Addresses = NO_ADDRESSES) -> DexScrewRealEnv:
    """Return the environment of a trial, connected.

    Args:
        rules: of all trials.
        shape: of the object.
        addresses: of the robot, where the trial is on one.

    Raises:
        ValueError: an address is missing or cannot be one, or shape or stratum is unknown.
        RobotError: the robot cannot be reached.
    """
    env = DexScrewRealEnv(rules.task, robot=robot_of(rules, addresses), shape=shape, action="full")
    env.episode_steps = max(1, round(rules.limit / env.task.control_dt))
    return env


def check_fits(env: DexScrewRealEnv, entrants: list[Entrant]) -> None:
    """Refuse policies that cannot act on a robot, before anything moves.

    Raises:
        ValueError: one needs what the robot does not give; the message names both.
    """
    env.reading = env.robot.read()  # a policy may look at it, and there was no reset, which would move the hand
    for entrant in entrants:
        try:
            make_policy(entrant.source, env.task.name).reset(env)
        except Exception as error:  # whatever code of others may raise
            told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"{entrant.label} cannot act on this robot: {told}") from error


class EndedByOperator(Exception):
    """A person ends the trial that runs."""


def do_trial(
    env: DexScrewRealEnv,
    rules: Rules,
    job: Job,
    record: Callable[[Row], None] | None = None,
    begin: Callable[[NDArray[np.int16]], None] = lambda bias: None,
    interrupt: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Any], Observer]:
    """Do one trial.

    Args:
        env: that `make_env` made.
        rules: of all trials.
        job: the trial.
        record: takes each row of a recording; None records nothing.
        begin: called with the taxels' bias (fingers, taxels, 3), when the robot is ready and nothing was recorded yet.
        interrupt: called after every step; raises `EndedByOperator` to end the trial.

    Returns:
        The trial's record, plain values for JSON, and who watched it. `progress` and `kind` are None where they cannot
        be measured.

    Raises:
        ValueError: the policy's file was replaced since the evaluation began, or it does not fit the robot.
        RobotError: the robot cannot be made ready.
    """
    check_unchanged(job.entrant, rules.task)
    observer = Observer(make_policy(job.entrant.source, rules.task), record, begin)

    def watch(observation: Any, info: Any) -> None:
        observer.watch(observation, info)
        interrupt()

    period = env.task.control_dt
    stagnation = rules.stagnation or math.inf
    shared = {"policy": job.entrant.label, "shape": job.shape, "stratum": rules.stratum, "kind": None}
    try:
        found = run_trial(env, observer, job.seed, stagnation=stagnation, watch=watch)
    except EndedByOperator as ended:
        env.safety.release()
        seconds = round(len(observer.turns) * period, 3)
        return {
            "seed": job.seed, "progress": None, "complete": False, "seconds": seconds, "ended_by": "operator",
            "reason": str(ended), "turns": (), "needed": None, **shared,
        }, observer  # fmt: skip
    result = asdict(found) | shared
    if found.progress is not None:
        result["kind"] = classify(found.ended_by, observer.turns, observer.touches, period)
    if rules.perturbation:
        from benchmark.real_eval.perturbations import PerturbedTwin

        assert isinstance(env.robot, PerturbedTwin)
        result["recovery"] = recovery(observer.turns, period, env.robot.began, env.robot.ended)
    return result, observer
