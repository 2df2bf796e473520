"""Trials of a policy on the twin, stratum by stratum: with the arm still, or with a wrist that follows.

`python -m benchmark.twin_trials --policy nut-student`
`python -m benchmark.twin_trials --policy nut-student --wrist scripted --strata nominal`
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tabulate import tabulate

from baselines import policies
from baselines.plots import CONDITION_COLORS, legend, picture
from baselines.progress import Progress
from baselines.run_folder import versions
from benchmark.real_eval.entrants import FollowingWrist
from benchmark.statistics import mean_interval
from dexscrew_envs import program
from dexscrew_envs.files import claimed, holds_nothing, to_json, write_json, write_text
from dexscrew_envs.mdp.observations import MEASURED
from dexscrew_envs.program import Status
from dexscrew_envs.workers import pool
from real import autonomous
from real.env import DexScrewRealEnv
from real.robot_policies import Direct
from real.safety import SafetyLimits
from real.skill import load_skill
from real.twin.objects import OBJECTS
from real.twin.parameters import STRATA
from real.twin.plant import EDITION, SHAPES
from real.twin.robot import TwinConfig, TwinRobot

TRIAL_SECONDS = {kind.task: kind.seconds for kind in OBJECTS.values()}
"""Longest time of a trial (s)."""
STALL_SECONDS = 60.0
"""With the arm still, a trial also ends when nothing has turned for so long (s): the nut sank away, out of reach."""
_ENDS = {"complete": "complete", "stagnation": "stalled", "time": "time is over"}
"""Words for what ended a trial; all else has a reason of its own."""
_KEPT = {"shape", "stratum", "seed", "turns", "needed", "progress", "complete", "seconds", "ended by"}
_TRIP = re.compile(r" is \S+ \w+( old)?, limit .*")  # of the safety layer; every one has a value of its own


@dataclass(kw_only=True)
class Args:
    """Let a policy try to fasten nuts or screws on twins drawn from strata."""

    policy: str
    """Name of a shipped policy, such as nut-student, or the path of a policy file."""
    wrist: Literal["still", "scripted"] = "still"
    """Whether the arm stands still, or follows the nut down and nudges the hand."""
    strata: tuple[str, ...] = STRATA
    """Groups that parameters are drawn from; see docs/twin.md."""
    shapes: tuple[str, ...] = ()
    """Of the nut or handle; by default the task's first."""
    seeds: int = 30
    """Trials of each shape in each stratum: seeds 0, 1, ..."""
    out: Path | None = None
    """Folder for trials, table, JSON file and picture; by default runs/trials-<policy>-<wrist>."""
    processes: int = 0
    """Trials that run side by side; 0 takes all CPUs."""


def run_trial(args: Args, shape: str, stratum: str, seed: int) -> dict[str, Any]:
    """Run one trial on a twin in this process.

    Args:
        args: policy and wrist.
        shape: of the nut or handle.
        stratum: that the twin is drawn from.
        seed: of the trial: parameters, noise, nudges.

    Returns:
        What happened: turns once a second, the last ones, those needed, the time (s), what ended it, and more. Progress
        is 0 to 1, as in `benchmark.trials`.
    """
    torch.set_num_threads(1)
    skill, still = load_skill(args.policy), args.wrist == "still"
    policy = Direct(skill) if still else FollowingWrist(skill)
    env = DexScrewRealEnv(skill.task, robot=TwinConfig(stratum=stratum), shape=shape, action="full", observe=MEASURED)
    with closing(env):
        env.episode_steps = round(TRIAL_SECONDS[skill.task] / env.task.control_dt)
        found = autonomous.run_trial(env, policy, seed, stagnation=STALL_SECONDS if still else math.inf)
        assert isinstance(env.robot, TwinRobot)
        plant = env.robot.plant
        return {
            "shape": shape, "stratum": stratum, "seed": seed, "turns": found.turns, "needed": found.needed,
            "progress": found.progress, "complete": found.complete, "seconds": found.seconds,
            "ended by": _ENDS.get(found.ended_by, found.reason), "released": plant.released,
            "nudges": 0 if isinstance(policy, Direct) else policy.nudges,
            "parameters": asdict(plant.parameters.object),
        }  # fmt: skip


def _run_and_keep(args: Args, shape: str, stratum: str, seed: int, path: Path) -> None:
    write_json(run_trial(args, shape, stratum, seed), path)


def run_all(args: Args, shapes: Sequence[str], out: Path) -> list[dict[str, Any]]:
    """Run all trials that have no file yet, side by side; return what all of them found."""
    jobs = [(shape, stratum, seed) for stratum in args.strata for shape in shapes for seed in range(args.seeds)]
    files = {job: out / "trials" / "{1}-{0}-{2}.json".format(*job) for job in jobs}
    missing = [job for job in jobs if not files[job].exists()]
    count = min(args.processes or os.cpu_count() or 1, max(len(missing), 1))
    with pool(count) as workers:
        futures = [workers.submit(_run_and_keep, args, *job, files[job]) for job in missing]
        done, name = len(jobs) - len(missing), Path(args.policy).stem
        for future in Progress(as_completed(futures), total=len(jobs), initial=done, unit="trial", desc=name):
            future.result()
    return [_read(files[job]) for job in jobs]


def _read(path: Path) -> dict[str, Any]:
    """Return what a trial's file holds.

    Raises:
        ValueError: it is damaged.
    """
    try:
        trial = json.loads(path.read_text(encoding="utf-8"))
        if not 0 <= trial["progress"] <= 1 or not trial.keys() >= _KEPT:
            raise ValueError("it lacks a field, or its progress is not 0 to 1")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the record of a trial ({error}); remove it to do that trial again") from error
    return trial


def summarize(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each stratum and shape; the interval is of the mean, see `benchmark.statistics`."""
    rows = []
    for key in dict.fromkeys((trial["stratum"], trial["shape"]) for trial in trials):
        group = [trial for trial in trials if (trial["stratum"], trial["shape"]) == key]
        progress = 100 * np.array([trial["progress"] for trial in group])
        low, high = mean_interval(progress / 100)
        times = [trial["seconds"] for trial in group if trial["complete"]]
        ends = Counter(_TRIP.sub(" over its limit", trial["ended by"]) for trial in group)
        rows.append({
            "stratum": key[0], "shape": key[1], "trials": len(group), "complete": len(times),
            "progress (%)": f"{progress.mean():.1f} ± {progress.std(ddof=min(len(group) - 1, 1)):.1f}",
            "95 % interval": f"{100 * low:.0f} to {100 * high:.0f}",
            "time of complete ones, median (s)": f"{np.median(times):.0f}" if times else "",
            "ended by": ", ".join(f"{end} {count}" for end, count in ends.most_common()),
        })  # fmt: skip
    return rows


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the progress of every trial over time, an axis for each stratum.

    Args:
        results: policy, wrist and trials, as they stand in `results.json`.
        path: of the picture.
    """
    trials = results["trials"]
    title = f"{Path(results['policy']).stem} on the twin, wrist {results['wrist']}"
    strata = list(dict.fromkeys(trial["stratum"] for trial in trials))
    shapes = list(dict.fromkeys(trial["shape"] for trial in trials))
    with picture(path, (3.2 * len(strata) + 0.6, 3.4), title, len(strata)) as (figure, axes):
        for axis, stratum in zip(axes, strata, strict=True):
            for shape, color in zip(shapes, CONDITION_COLORS, strict=False):
                group = [trial for trial in trials if (trial["stratum"], trial["shape"]) == (stratum, shape)]
                for index, trial in enumerate(group):
                    times = np.minimum(np.arange(len(trial["turns"])), trial["seconds"])
                    share = 100 * np.array(trial["turns"]) / trial["needed"]
                    axis.plot(times, share, color=color, lw=0.8, alpha=0.6, label=None if index else shape)
                    axis.plot(times[-1], share[-1], "o" if trial["complete"] else "x", color=color, ms=4)
            axis.set_title(stratum, fontsize=9)
            axis.set_xlabel("time (s)")
            axis.set_ylim(-5, 105)
        axes[0].set_ylabel("progress (%)")
        legend(figure, axes[0])


def _run(args: Args) -> int:
    policy = load_skill(args.policy)
    if args.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {args.seeds}")
    if args.processes < 0:
        raise ValueError(f"--processes must be at least 0, got {args.processes}")
    if not args.strata:
        raise ValueError(f"--strata needs at least one of {', '.join(STRATA)}")
    for stratum in args.strata:
        TwinConfig(stratum=stratum)
    args.strata = tuple(dict.fromkeys(args.strata))
    shapes = tuple(dict.fromkeys(args.shapes)) or SHAPES[policy.task][:1]
    for shape in shapes:
        if shape not in SHAPES[policy.task]:
            raise ValueError(
                f"unknown shape {shape!r} of the {policy.task}; choose from {', '.join(SHAPES[policy.task])}"
            )
    name = policies.without_paths(args.policy)
    out = args.out or Path("runs") / f"trials-{Path(name).stem}-{args.wrist}"
    with claimed(out):
        command = {"policy": name, "weights": policies.fingerprint(policy), "wrist": args.wrist, "twin": EDITION}
        command["safety"] = SafetyLimits().fingerprint
        _check_same(command, out / "command.json")
        (out / "trials").mkdir(exist_ok=True)
        trials = run_all(args, shapes, out)
        table = tabulate(summarize(trials), headers="keys", tablefmt="github", disable_numparse=True)
        write_text(table + "\n", out / "table.md")
        results = {**command, "versions": versions(), "trials": trials}
        write_json(results, out / "results.json")
        draw(results, out / "progress.png")
    print(table)
    print(f"results: {out}")
    return Status.DONE


def _check_same(command: dict[str, Any], path: Path) -> None:
    """Refuse a folder with trials of another policy, wrist or edition of the twin, or under other safety limits."""
    if not path.exists() and not holds_nothing(path.parent):
        raise ValueError(f"{path.parent} is not empty and holds no such trials; give another --out")
    told = path.read_text().strip() if path.exists() else ""
    if told and told != to_json(command, indent=1):
        raise ValueError(f"{path.parent} holds trials of {' '.join(told.split())}; give another --out")
    write_json(command, path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("benchmark.twin_trials", Args, _run, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
