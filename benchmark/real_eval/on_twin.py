"""Trials on twins, side by side over the processor's cores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from baselines.data.header import Outcome
from baselines.data.writer import Recorder
from baselines.progress import Progress
from benchmark.real_eval.entrants import Entrant
from benchmark.real_eval.observer import trial_header
from benchmark.real_eval.results_folder import ResultsFolder
from benchmark.real_eval.rules import Job, Rules
from benchmark.real_eval.trial import do_trial, make_env
from dexscrew_envs.workers import pool
from real.teleop.episode import Row
from real.teleop.resuming import recorded
from real.teleop.setup import recorded_fields


@dataclass(frozen=True)
class Done:
    """A trial as a worker gives it."""

    record: dict[str, Any]
    rows: list[Row]
    bias: NDArray[np.int16]


def work(rules: Rules, job: Job, logged: bool) -> Done:
    """Do one trial on a twin in this process.

    Args:
        rules: of all trials.
        job: the trial.
        logged: whether to give the rows of a recording.
    """
    torch.set_num_threads(1)
    rows: list[Row] = []
    with closing(make_env(rules, job.shape)) as env:
        record, observer = do_trial(env, rules, job, rows.append if logged else None)
    return Done(record, rows, observer.bias)


@dataclass
class TwinTrials:
    """Does trials in worker processes, and keeps each as it ends. A context manager.

    Args:
        folder: keeps the trials.
        rules: of all of them.
        logged: whether to record them.
        processes: trials side by side; 0 takes all CPUs.
        all_logged: whether trials are done again that were done without a recording.
    """

    folder: ResultsFolder
    rules: Rules
    logged: bool
    processes: int = 0
    all_logged: bool = False
    _stack: ExitStack = field(default_factory=ExitStack, init=False)
    _recorders: dict[str, Recorder] = field(default_factory=dict, init=False)
    _recorded: dict[str, set[tuple[str, int]]] = field(default_factory=dict, init=False)
    """Shape and seed of what was recorded before, by the policy's slug."""
    _workers: ProcessPoolExecutor | None = field(default=None, init=False)

    def __enter__(self) -> TwinTrials:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, jobs: Sequence[Job], bar: Progress) -> None:
        """Do the trials that the folder lacks.

        Args:
            jobs: all that the folder should have.
            bar: advances with each.

        Raises:
            CutShort: a worker was killed, as where memory is short; what was done is kept.
            WriteError: the disk has no room for a recording; what was done is kept.
        """
        missing = [job for job in jobs if self.folder.read(job) is None or (self.all_logged and self._unrecorded(job))]
        bar.update(len(jobs) - len(missing))
        for job, done in self._finished(missing):
            if self.logged and done.rows:
                self._keep_rows(job, done)
            if self.folder.read(job) is None:
                self.folder.write(job, done.record)  # last: what has a record has its recording
            bar.update()

    def _finished(self, jobs: list[Job]) -> Iterator[tuple[Job, Done]]:
        """Give each trial as it ends."""
        if not jobs:
            return
        count = self.processes or os.cpu_count() or 1
        if self._workers is None:
            self._workers = self._stack.enter_context(pool(count))
        waiting = iter(jobs)
        running: dict[Future[Done], Job] = {}
        while True:
            for job in waiting:  # no more than run at once: what has ended and is not kept fills the memory
                if self.logged:  # a trial that could not be kept would be done in vain
                    self._recorder(job.entrant).check_room()
                running[self._workers.submit(work, self.rules, job, self.logged)] = job
                if len(running) > count:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()

    def _keep_rows(self, job: Job, done: Done) -> None:
        recorder = self._recorder(job.entrant)
        if (job.shape, job.seed) in recorded(recorder):  # cut off before the record was written; the seed repeats it
            return
        extras = {"perturbation": self.rules.perturbation, "kind": done.record["kind"]}
        recorder.begin(shape=job.shape, seed=job.seed, tactile_bias=done.bias, extras=extras)
        try:
            for row in done.rows:
                recorder.append(row)
            recorder.finish(outcome_of(done.record))
        except BaseException:
            recorder.discard()
            raise

    def _unrecorded(self, job: Job) -> bool:
        if job.entrant.slug not in self._recorded:
            self._recorded[job.entrant.slug] = recorded(self._recorder(job.entrant))
        return (job.shape, job.seed) not in self._recorded[job.entrant.slug]

    def _recorder(self, entrant: Entrant) -> Recorder:
        if entrant.slug not in self._recorders:
            with closing(make_env(self.rules, _any_shape(self.rules.task))) as env:
                header = trial_header(env, "twin", self.rules.stratum, entrant.label, entrant.digest)
                recorder = Recorder(self.folder.log(entrant), header, recorded_fields(env))
            self._recorders[entrant.slug] = self._stack.enter_context(recorder)
        return self._recorders[entrant.slug]


def outcome_of(record: dict[str, Any]) -> Outcome:
    """Return what a recording says of how its trial ended."""
    return Outcome(
        mark="success" if record["complete"] else "failure", reason=record["reason"], needed=record["needed"],
        turns=record["turns"][-1] if record["turns"] else None, seconds=record["seconds"] or None,
    )  # fmt: skip


def _any_shape(task: str) -> str:
    from real.twin.plant import SHAPES

    return SHAPES[task][0]
