"""Trials on the robot, one after another: a person prepares each, lets it begin, and says how far it went."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from baselines.data.header import Outcome
from baselines.data.writer import Recorder
from benchmark.real_eval.entrants import Entrant
from benchmark.real_eval.failures import KINDS
from benchmark.real_eval.observer import trial_header
from benchmark.real_eval.results_folder import ResultsFolder
from benchmark.real_eval.rules import Job, Rules
from benchmark.real_eval.terminal import Person
from benchmark.real_eval.trial import EndedByOperator, do_trial
from dexscrew_envs import program
from dexscrew_envs.program import CutShort
from real.env import DexScrewRealEnv
from real.teleop.setup import recorded_fields

_ASKED_KINDS = tuple(kind for kind in KINDS if kind not in ("complete", "safety trip", "fault"))
_BEGIN = "go: begin   undo: answer anew for the last trial   repeat: do the last trial again   quit: go on another day"


def checklist(task: str, shape: str, needed: float) -> list[str]:
    """Return what a person sees to before each trial."""
    return [
        f"the {shape} {task} is at its start, with {needed:g} turns to go",
        "the arm stands where the demonstrations began; the hand will move to its start pose by itself",
        "cables are free, and nobody is within the arm's reach",
        "the emergency stop is in your hand",
    ]


def in_order(jobs: Sequence[Job]) -> str:
    """Return the order of trials as a table in text; a round has one trial of each policy and shape, of one seed."""
    rows = [{"trial": k + 1, "shape": job.shape, "policy": job.entrant.label, "round": job.seed + 1}
            for k, job in enumerate(jobs)]  # fmt: skip
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


def plan(jobs: Sequence[Job], task: str, needed: float) -> str:
    """Return the order of trials on a robot and what will be asked, as text; nothing is connected for it."""
    steps = "\n".join(f"- {item}" for item in checklist(task, "next", needed))
    return (
        f"{in_order(jobs)}\n\nBefore each trial:\n{steps}\n"
        f"Nothing moves until you enter 'go'. Enter ends a trial that runs. Afterwards: turns made, of {needed:g}; how "
        f"it ended ({', '.join(_ASKED_KINDS)}); and whether to keep it."
    )


class RobotTrials:
    """Does trials with a person, and keeps each as it ends. A context manager.

    Args:
        folder: keeps the trials.
        rules: of all of them.
        env: of the robot, connected.
        person: prepares and answers.
        needed: turns that complete a trial.
        logged: whether to record them.
    """

    def __init__(
        self, folder: ResultsFolder, rules: Rules, env: DexScrewRealEnv, person: Person, needed: float, *, logged: bool
    ) -> None:
        self._folder, self._rules, self._env, self._person = folder, rules, env, person
        self._needed, self._logged = needed, logged
        self._stack = ExitStack()
        self._recorders: dict[str, Recorder] = {}

    def __enter__(self) -> RobotTrials:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, jobs: Sequence[Job]) -> None:
        """Do the trials that the folder lacks.

        Args:
            jobs: all that the folder should have, in order.

        Raises:
            CutShort: the person goes on another day.
        """
        at = 0
        while at < len(jobs):
            job = jobs[at]
            record = self._folder.read(job)
            if record is not None and record["progress"] is None:  # it ended, and nobody has said how
                at += self._answer(job, record)
            elif record is not None:
                at += 1
            else:
                wish = self._prepare(job, at, len(jobs))
                if wish == "go":
                    record = self._do(job)
                    self._folder.write(job, record)  # before any question: an answer can be given another day
                    at += self._answer(job, record)
                elif at == 0:
                    program.say("there is no trial before this one")
                else:
                    at -= 1
                    self._reopen(jobs[at], wish)

    def _prepare(self, job: Job, at: int, count: int) -> Literal["go", "undo", "repeat"]:
        items = "\n".join(f"  [ ] {item}" for item in checklist(self._rules.task, job.shape, self._needed))
        question = f"\ntrial {at + 1} of {count}: {job.entrant.label} on the {job.shape}\n{items}\n{_BEGIN}"
        while True:
            answer = self._person.ask(question)
            if answer == "quit":
                raise CutShort(f"{at} of {count} trials are done and kept; the same command goes on")
            if answer in ("go", "undo", "repeat"):
                return answer  # type: ignore[return-value]  # mypy does not narrow by `in`
            question = f"{answer!r} is none of go, undo, repeat and quit"

    def _reopen(self, job: Job, wish: Literal["undo", "repeat"]) -> None:
        """Let the last trial be answered anew, or be done again."""
        record = self._folder.read(job)
        if wish == "repeat" or record is None:
            self._folder.remove(job)
        else:
            self._folder.write(job, record | {"progress": None, "complete": False, "kind": None})

    def _do(self, job: Job) -> dict[str, Any]:
        recorder = self._recorder(job.entrant) if self._logged else None

        def begin(bias: NDArray[np.int16]) -> None:
            if recorder is not None:
                recorder.begin(shape=job.shape, tactile_bias=bias, extras={"trial": job.seed})

        program.say("it begins; Enter ends it")
        self._person.pressed()  # what was typed before does not end it
        append = recorder.append if recorder is not None else None
        record, _ = do_trial(self._env, self._rules, job, append, begin, self._interrupt)
        if recorder is not None and recorder.steps:
            # What the person says of it stands in the trial's own file, where it can be undone.
            recorder.finish(Outcome(reason=record["reason"], needed=self._needed))
        elif recorder is not None:
            recorder.discard()
        return record

    def _interrupt(self) -> None:
        if self._person.pressed():
            raise EndedByOperator("ended by the operator")

    def _answer(self, job: Job, record: dict[str, Any]) -> int:
        """Ask how far a trial went, and keep it; return 1, or 0 where it is to be done again."""
        while True:
            program.say(f"{job.entrant.label} on the {job.shape}: {record['reason']}, after {record['seconds']:.0f} s")
            turns = self._ask_turns()
            complete = turns >= self._needed
            kind = "complete" if complete else self._ask_kind(record)
            answered = record | {
                "progress": min(turns / self._needed, 1.0), "complete": complete, "kind": kind, "needed": self._needed,
                "turns_told": turns,
            }  # fmt: skip
            told = f"{turns:g} of {self._needed:g} turns, {kind}, {record['seconds']:.0f} s"
            answer = self._person.ask(f"{told}; keep it? yes, no (answer anew), repeat (do the trial again)")
            if answer in ("yes", "y"):
                self._folder.write(job, answered)
                return 1
            if answer == "repeat":
                self._folder.remove(job)
                return 0

    def _ask_turns(self) -> float:
        question = f"turns made, of {self._needed:g}:"
        while True:
            answer = self._person.ask(question)
            try:
                turns = float(answer.replace(",", "."))
            except ValueError:
                turns = -1.0
            if 0 <= turns <= self._needed:
                return turns
            question = f"a number of 0 to {self._needed:g}, such as 3.5, not {answer!r}:"

    def _ask_kind(self, record: dict[str, Any]) -> str:
        known = {"trip": "safety trip", "fault": "fault"}
        if record["ended_by"] in known:
            return known[record["ended_by"]]
        numbers = "   ".join(f"{k + 1} {kind}" for k, kind in enumerate(_ASKED_KINDS))
        question = f"how did it end?   {numbers}"
        while True:
            answer = self._person.ask(question)
            if answer in _ASKED_KINDS:
                return answer
            if answer.isdecimal() and 1 <= int(answer) <= len(_ASKED_KINDS):
                return _ASKED_KINDS[int(answer) - 1]
            question = f"a number of 1 to {len(_ASKED_KINDS)}, not {answer!r}:   {numbers}"

    def _recorder(self, entrant: Entrant) -> Recorder:
        if entrant.slug not in self._recorders:
            header = trial_header(self._env, "config", "", entrant.label, entrant.digest)
            recorder = Recorder(self._folder.log(entrant), header, recorded_fields(self._env))
            self._recorders[entrant.slug] = self._stack.enter_context(recorder)
        return self._recorders[entrant.slug]
