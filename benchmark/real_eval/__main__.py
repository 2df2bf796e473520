"""The paper's evaluation: policies fasten a nut or screw by themselves, on the twin or on the robot.

`python -m benchmark.real_eval --task nut --policies direct full=runs/bc/policy.pt`
`python -m benchmark.real_eval --task nut --policies direct --perturb drag --shapes square`
`python -m benchmark.real_eval --task nut --policies full=runs/bc/policy.pt --robot server`
`python -m benchmark.real_eval --task nut --policies full=runs/bc/policy.pt --robot config --arm 192.168.1.10 \
--hand tcp://127.0.0.1:5557 --dry-run`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from baselines.progress import Progress
from benchmark.real_eval.entrants import Entrant, check_where, parse_entrants
from benchmark.real_eval.on_robot import RobotTrials, in_order, plan
from benchmark.real_eval.on_twin import TwinTrials
from benchmark.real_eval.recovery import TIME_ALLOWED
from benchmark.real_eval.report import Records, draw_recordings, report, write_videos
from benchmark.real_eval.results_folder import ResultsFolder, check_protocol, read_protocol, trial_of
from benchmark.real_eval.rules import Job, Rules, default_shapes, robot_order, twin_order
from benchmark.real_eval.terminal import Terminal
from benchmark.real_eval.trial import check_fits, make_env, robot_of
from benchmark.real_eval.until_decided import decisions, decisions_text
from dexscrew_envs import program
from dexscrew_envs.files import claimed, to_json
from dexscrew_envs.program import Status
from dexscrew_envs.tasks import make_task
from real.addresses import NO_ADDRESSES, AddressOptions
from real.safety import SafetyLimits
from real.twin.objects import OBJECTS
from real.twin.parameters import STRATA
from real.twin.plant import EDITION, SHAPES

FEW_TRIALS = 20
"""Trials up to which recordings are kept unless told otherwise: each has up to 30 MB."""


@dataclass(kw_only=True)
class Args:
    """Let policies fasten nuts or screws by themselves, by the paper's protocol."""

    policies: tuple[str, ...] = ()
    """Who takes part: direct, scripted-wrist, a student, a clone's name or file, replay:FOLDER:NUMBER; each as it is or
    as label=policy. The labels full, touch, history, neither, direct and replay stand beside the paper's rows."""
    task: str = "nut"
    """Task, such as nut or screwdriver."""
    shapes: tuple[str, ...] = ()
    """Of the nut or handle; by default the paper's four nuts, or the first handle."""
    stratum: str = "nominal"
    """Group that twins are drawn from: easy, nominal, hard or extreme; see docs/twin.md."""
    trials: int = 10
    """Trials of each policy on each shape: seeds 0, 1, ..., the same for every policy."""
    until_decided: bool = False
    """Stop before --trials once the first policy is known to be better or worse than each other one."""
    robot: Literal["twin", "server", "config"] = "twin"
    """Twins in processes of this computer; twins behind servers on it, over the network and at wall-clock speed; or the
    robot at --arm and --hand."""
    perturb: str = ""
    """Disturb each trial on the twin once: drag, turn-back or bump; see docs/evaluation.md."""
    seconds: float | None = None
    """Longest time of a trial (s); by default 240 for a nut, 300 for a screwdriver."""
    stagnation: float = 60.0
    """A trial on the twin also ends when nothing has turned for so long (s); 0: it goes on until its limit."""
    out: Path | None = None
    """Folder for all results; by default runs/real-eval-<task>. The same command goes on where it stopped."""
    json: bool = False
    """Print the summary as one line of JSON at the end: policy, shape, then numbers."""
    logs: Literal["auto", "yes", "no"] = "auto"
    """Record every trial, so that it can be replayed and drawn; auto: if there are at most 20. With `yes`, trials on
    the twin that were done without are done again."""
    videos: int = 0
    """Write videos of the first so many recorded trials of each policy and shape, at four times their speed."""
    processes: int = 0
    """Trials on the twin that run side by side; 0 takes all CPUs, and one with --robot server."""
    addresses: AddressOptions = NO_ADDRESSES
    """With --robot config."""
    turns_needed: float | None = None
    """Turns that complete a trial, with --robot config; by default 8 for a nut, 25 for a screwdriver."""
    dry_run: bool = False
    """Print the order of the trials, and with --robot config what would be asked, and do nothing."""


def _run(args: Args) -> int:
    rules = _rules(args)
    shapes = _shapes(args)
    entrants = parse_entrants(args.policies, args.task)
    check_where(entrants, args.robot)
    robot_of(rules, args.addresses)
    if args.until_decided and (len(entrants) < 2 or args.robot == "config"):
        raise ValueError("--until-decided compares at least two policies on the twin")
    out = args.out or Path("runs") / f"real-eval-{args.task}"
    check_protocol(out, read_protocol(out), rules, entrants)
    order = robot_order if args.robot == "config" else twin_order
    jobs = order(entrants, shapes, args.trials)
    logged = args.logs == "yes" or (args.logs == "auto" and len(jobs) <= FEW_TRIALS)
    if args.videos and (not logged or args.robot != "twin"):
        raise ValueError("videos are drawn from recordings on the twin; add --logs yes, and leave --robot out")
    if args.dry_run:
        print(plan(jobs, args.task, _needed(args)) if args.robot == "config" else in_order(jobs))
        return Status.DONE
    if args.robot == "config":
        program.follow_parent()  # nobody else watches over a robot; trials on twins outlive their shell
        return _on_robot(args, rules, entrants, jobs, out, logged)
    with closing(make_env(rules, shapes[0])) as env:
        check_fits(env, entrants)
    processes = args.processes or (1 if args.robot == "server" else 0)
    with claimed(out):
        folder, note = ResultsFolder(out, rules, entrants), ""
        again = bool(args.robot == "twin" and (args.logs == "yes" or args.videos))  # a seed gives the same trial there
        bar = Progress(total=len(jobs), unit="trial", desc=args.task)
        with closing(bar), TwinTrials(folder, rules, logged, processes, again) as trials:
            if args.until_decided:
                jobs, note = _until_decided(trials, folder, jobs, bar)
            else:
                trials.run(jobs, bar)
        return _finish(args, folder, rules, entrants, jobs, note)


def _rules(args: Args) -> Rules:
    """Check what holds for all trials."""
    if args.task not in OBJECTS:
        raise ValueError(f"unknown task {args.task!r}; choose from {', '.join(OBJECTS)}")
    if args.trials < 1:
        raise ValueError(f"--trials must be at least 1, got {args.trials}")
    for name, value in (("processes", args.processes), ("videos", args.videos)):
        if value < 0:
            raise ValueError(f"--{name} must be at least 0, got {value}")
    limit = OBJECTS[args.task].seconds if args.seconds is None else args.seconds
    if not 0 < limit <= 3600:
        raise ValueError(f"--seconds must be positive and at most 3600, got {args.seconds}")
    steps = limit / (step := make_task(args.task).control_dt)
    if abs(steps - round(steps)) > 1e-6:
        raise ValueError(f"--seconds must be a multiple of a control step, {step:g} s, got {args.seconds}")
    if not 0 <= args.stagnation <= 3600:
        raise ValueError(f"--stagnation must be from 0, for never, to 3600, got {args.stagnation}")
    if args.stratum not in STRATA:
        raise ValueError(f"unknown stratum {args.stratum!r}; choose from {', '.join(STRATA)}")
    if args.perturb:
        from benchmark.real_eval.perturbations import LATEST, LONGEST, check_perturbation

        check_perturbation(args.perturb)
        if limit < (least := LATEST + LONGEST + TIME_ALLOWED) or 0 < args.stagnation < LONGEST + TIME_ALLOWED:
            raise ValueError(
                f"a trial with --perturb needs {least:g} s, and must not end by stagnation before "
                f"{LONGEST + TIME_ALLOWED:g} s, since a policy has {TIME_ALLOWED:g} s to recover; got --seconds "
                f"{limit:g} and --stagnation {args.stagnation:g}"
            )
    twin = args.robot != "config"
    if not twin:
        for name in ("stratum", "stagnation", "processes"):
            if getattr(args, name) != getattr(Args, name):
                raise ValueError(f"--{name} is for twins; leave it out with --robot config")
        args.addresses.check_both()
    elif given := [*args.addresses.options(), *(["--turns-needed"] if args.turns_needed else [])]:
        raise ValueError(f"{', '.join(given)}: only with --robot config; a twin of this computer needs none")
    if args.robot == "server" and args.processes > 1:
        raise ValueError("--robot server serves one twin at a time, on the controllers' ports; leave --processes out")
    if args.robot != "twin" and args.perturb:
        raise ValueError("--perturb is for twins in this process; leave --robot out")
    if not 0 < _needed(args) < 1000:
        raise ValueError(f"--turns-needed must be positive and below 1000, got {args.turns_needed}")
    return Rules(
        task=args.task, robot=args.robot, stratum=args.stratum if twin else "", limit=float(limit),
        stagnation=float(args.stagnation) if twin else 0.0, perturbation=args.perturb, edition=EDITION if twin else 0,
        safety=SafetyLimits().fingerprint, turns_needed=None if twin else float(_needed(args)),
    )  # fmt: skip


def _needed(args: Args) -> float:
    return OBJECTS[args.task].turns if args.turns_needed is None else args.turns_needed


def _shapes(args: Args) -> tuple[str, ...]:
    shapes = tuple(dict.fromkeys(args.shapes)) or default_shapes(args.task)
    if unknown := [shape for shape in shapes if shape not in SHAPES[args.task]]:
        raise ValueError(f"unknown shape {unknown[0]!r} of the {args.task}; choose from {', '.join(SHAPES[args.task])}")
    return shapes


def _records(folder: ResultsFolder, jobs: Sequence[Job]) -> Records:
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for job in jobs:
        record = folder.read(job)
        assert record is not None
        found.setdefault(job.entrant.label, {}).setdefault(job.shape, []).append(record)
    return found


def _until_decided(trials: TwinTrials, folder: ResultsFolder, jobs: list[Job], bar: Progress) -> tuple[list[Job], str]:
    """Do the trials seed by seed; return those done when all pairs were decided, and what was."""
    seeds = sorted({job.seed for job in jobs})
    for seed in seeds:
        trials.run([job for job in jobs if job.seed == seed], bar)
        done = [job for job in jobs if job.seed <= seed]
        records = _records(folder, done)
        results = {p: {s: [trial_of(r) for r in found] for s, found in shapes.items()} for p, shapes in records.items()}
        decided = decisions(results)
        if all(decided.values()):
            break
    return done, decisions_text(decided, next(iter(results)), seed + 1)


def _on_robot(args: Args, rules: Rules, entrants: list[Entrant], jobs: list[Job], out: Path, logged: bool) -> int:
    with claimed(out), closing(make_env(rules, jobs[0].shape, args.addresses)) as env:
        check_fits(env, entrants)
        folder = ResultsFolder(out, rules, entrants)
        with RobotTrials(folder, rules, env, Terminal(), _needed(args), logged=logged) as trials:
            trials.run(jobs)
        env.close()  # the robot first; tables and pictures take a while
        return _finish(args, folder, rules, entrants, jobs, "")


def _finish(
    args: Args, folder: ResultsFolder, rules: Rules, entrants: list[Entrant], jobs: list[Job], note: str
) -> int:
    text, summary = report(folder, rules, _records(folder, jobs), note)
    shapes = tuple(dict.fromkeys(job.shape for job in jobs))
    draw_recordings(folder, rules, entrants, shapes[0])
    if args.videos:
        write_videos(folder, entrants, shapes, args.videos)
    print(text)
    print(f"results: {folder.path}")
    if args.json:
        print(to_json(summary))
    return Status.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("benchmark.real_eval", Args, _run, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
