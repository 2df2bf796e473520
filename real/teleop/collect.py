"""Collects episodes on twins, side by side over the processor's cores.

An episode is fixed by its shape and seed: twin, person, and noise. Those that the folder has already are not run again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch

from baselines.data.header import Outcome
from baselines.data.writer import Recorder
from baselines.progress import Progress
from dexscrew_envs.workers import pool
from real.robot import Vector
from real.teleop.episode import Actor, Row
from real.teleop.finger_skill import Noise, draw_noise
from real.teleop.operator import Operator
from real.teleop.resuming import Job, lacking
from real.teleop.scripted import ScriptedOperator
from real.teleop.setup import Setup, episode_header
from real.teleop.strokes import StrokesOperator
from real.teleop.tutor import Tutor
from real.twin.objects import OBJECTS
from real.twin.plant import Plant, PlantParameters

Program = Literal["scripted", "strokes", "tutor"]
"""An operator that is a program."""
_AHEAD = 2  # episodes that run, or have ended and wait for earlier ones, by process


@dataclass(frozen=True)
class Collected:
    """An episode as a worker gives it."""

    noise: Noise
    tactile_bias: np.ndarray
    rows: list[Row]
    outcome: Outcome
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What else the header says."""


def demonstrate(setup: Setup, seed: int, *, noisy: bool = True, operator: Program = "scripted") -> Collected:
    """Let a program do one episode on a twin in this process.

    Args:
        setup: of the session, with the twin's shape.
        seed: of the episode.
        noisy: whether noise is drawn; without, the episode is clean.
        operator: the program.
    """
    noise = draw_noise(seed, noisy=noisy)
    found = run_episode(setup, seed, _operator(operator, setup, seed), noise)
    return replace(found, extras=setup.extras)


def _operator(name: Program, setup: Setup, seed: int) -> Operator:
    stays = OBJECTS[setup.task].stays
    if name == "tutor":
        return Tutor(stays=stays)
    hold = held_from(setup.task) if setup.above else None
    if name == "strokes":
        return StrokesOperator(seed, hold=hold)
    return ScriptedOperator(seed, stays=stays, hold=hold)


@lru_cache
def held_from(task: str) -> Vector:
    """Return where a person expects the wrist when the hand holds an object: (3,) over its grip point (m)."""
    plant = Plant(task, parameters=PlantParameters.nominal(task))
    return plant.tcp_pose[:3] - plant.object.grip()[0]


def run_episode(setup: Setup, seed: int, operator: Operator, noise: Noise, actor: Actor | None = None) -> Collected:
    """Run one episode on a twin in this process.

    Args:
        setup: of the session, with the twin's shape.
        seed: of the episode.
        operator: gives the orders.
        noise: on purpose.
        actor: acts in place of operator and skill, if something does.
    """
    torch.set_num_threads(1)
    rows: list[Row] = []
    with closing(setup.make_env()) as env:
        episode = setup.make_episode(env, operator, actor=actor)
        episode.reset(seed, noise)
        ending = episode.run(rows.append)
        return Collected(noise, _rest(rows, episode.tactile_bias), rows, ending.outcome)


def _rest(rows: list[Row], before: np.ndarray) -> np.ndarray:
    """Return the counts of the taxels (F, taxels, 3) at rest.

    In the steps after the first one the operator only looks.

    Args:
        rows: of the episode.
        before: counts before its first step, for an episode that ended there.
    """
    counts = [row["tactile"] for row in rows[1:9]]
    return np.median(counts, axis=0).astype(np.int16) if counts else before


def collect(
    setup: Setup,
    recorder: Recorder,
    jobs: list[Job],
    run: Callable[[Setup, int], Collected] = demonstrate,
    *,
    noise: Callable[[int], Noise] | None = None,
    processes: int = 0,
) -> Iterator[tuple[Job, Outcome]]:
    """Run the episodes that the recorder's folder lacks and record them in their order.

    So the same call gives the same data set, whatever ends first. One that is interrupted runs a few episodes again.

    Args:
        setup: of the session; the shape comes from each job.
        recorder: of the folder.
        jobs: the episodes that the folder should have.
        run: gives the episode of a setup and a seed; it goes to other processes.
        noise: gives that of a seed, to be compared with the episodes that are there.
        processes: episodes that run side by side; 0 takes all CPUs.

    Yields:
        Each job that ended, and its outcome.

    Raises:
        FolderError: the folder has one of the episodes, recorded with other settings; then none is run.
        WriteError: the disk is full, or has no room for an episode.
        CutShort: a worker process was killed; what was recorded is kept.
    """
    missing = lacking(recorder, setup, jobs, noise)
    count = min(processes or os.cpu_count() or 1, max(len(missing), 1))
    bar = Progress(total=len(jobs), initial=len(jobs) - len(missing), unit="episode", desc=setup.task)
    with closing(bar), pool(count) as workers:
        waiting = iter(missing)
        running: deque[tuple[Job, Future[Collected]]] = deque()
        while True:
            for job in waiting:  # only so many: what has ended and is not recorded fills the memory
                recorder.check_room()  # an episode that could not be kept would be run in vain
                running.append((job, workers.submit(run, replace(setup, shape=job[0]), job[1])))
                if len(running) >= _AHEAD * count:
                    break
            if not running:
                return
            job, future = running.popleft()
            wait([future])
            outcome = _record(recorder, job, future.result(0))
            bar.update()
            yield job, outcome


def _record(recorder: Recorder, job: Job, episode: Collected) -> Outcome:
    shape, seed = job
    recorder.begin(shape=shape, **episode_header(seed, episode.noise, episode.tactile_bias, episode.extras))
    try:
        for row in episode.rows:
            recorder.append(row)
        recorder.finish(episode.outcome)
    except BaseException:  # it can be run again, which is better than half of it
        recorder.discard()
        raise
    return episode.outcome
