"""Assisted teleoperation: an operator steers the wrist, a finger skill turns the nut or screw, and all is recorded.

`python -m real.teleop --task nut --out runs/demos`                                  a page in the browser, and a twin
`python -m real.teleop --task nut --operator scripted --episodes 50 --out runs/demos`
`python -m real.teleop --robot config --arm 192.168.1.10 --hand tcp://127.0.0.1:5557 --shape square`
"""

from __future__ import annotations

import itertools
import math
import sys
import webbrowser
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from tabulate import tabulate

from baselines import own_code
from baselines.data.reader import Demonstrations
from baselines.data.writer import Recorder, check_recordable
from dexscrew_envs import program
from dexscrew_envs.program import Status
from dexscrew_envs.tasks import make_task
from real.addresses import NO_ADDRESSES, AddressOptions
from real.env import DexScrewRealEnv
from real.skill import load_skill, student_of
from real.teleop.collect import Program, collect, demonstrate
from real.teleop.episode import Watcher
from real.teleop.finger_skill import draw_noise
from real.teleop.operator import Operator
from real.teleop.resuming import check_press, kept_before, next_seed
from real.teleop.setup import Setup, episode_header, recorded_fields
from real.teleop.status_line import StatusLine
from real.twin.objects import OBJECTS

_LONGEST, _MOST_EPISODES = 3600, 1_000_000
_PROGRAMS = get_args(Program)
_OPERATORS = ("web", "keyboard", *_PROGRAMS)


@dataclass(kw_only=True)
class Args:
    """Record demonstrations by assisted teleoperation."""

    task: str = "nut"
    """Task, such as nut or screwdriver."""
    operator: str = "web"
    """Who steers: a person at a page in the browser (web) or at this terminal (keyboard), one of three programs
    (scripted, strokes, tutor), or one of your own, as my_device.py:MyDevice. See docs/teleoperation.md."""
    robot: Literal["twin", "config"] = "twin"
    """A twin in this process, or the robot (or a twin's server) at --arm and --hand."""
    out: Path | None = None
    """Folder of the data set; by default runs/demos-<task>."""
    episodes: int = 0
    """Episodes of a shape to keep, those that the folder has included; 0: until Ctrl-C, with a scripted operator 1."""
    shape: tuple[str, ...] = ()
    """Of the nut or handle, by default the task's first on a twin. A scripted operator takes several, and records
    `--episodes` of each."""
    policy: str = ""
    """The finger skill: name of a shipped policy or path of a policy file; by default the task's student."""
    stratum: str = "nominal"
    """Group that a twin draws its parameters from: easy, nominal, hard or extreme; see docs/twin.md."""
    seed: int = 1000
    """Seed of the first episode; a person goes on after those that the folder has. Evaluation uses seeds from 0."""
    noise: bool = True
    """Add noise on purpose to half of the episodes; the recorded label stays clean. See docs/teleoperation.md."""
    seconds: float | None = None
    """Longest time of an episode (s); by default 600, which is longer than a trial, since nobody scores it."""
    above: float = 0.0
    """How far above the object the open hand begins on a twin (m), so that the operator has to come to it; 0: at it."""
    press: float = 0.0
    """How much further than the skill wants the fingers close (rad), at most 0.2: a firmer grip. It gives way where a
    fingertip is pressed hard, and stays until the fingers go to a pose. See docs/teleoperation.md."""
    addresses: AddressOptions = NO_ADDRESSES
    """With --robot config."""
    room_yaw: float = 0.0
    """Angle from the arm's base frame to the operator's own, about the vertical (degrees)."""
    host: str = "127.0.0.1"
    """Where the page is served. Beyond this computer, such as 0.0.0.0 for a headset, it asks for a pairing code."""
    port: int = 8765
    """Port of the page; 0 takes any that is free."""
    browser: bool = True
    """Open the page in this computer's browser."""
    processes: int = 0
    """Episodes of a scripted operator that run side by side; 0 takes all CPUs."""


def _run(args: Args) -> int:
    setup = _setup(args)
    if args.episodes < 0 or args.processes < 0 or args.seed < 0:
        raise ValueError("--episodes, --processes and --seed must not be negative")
    if max(args.seed, args.seed + args.episodes) >= 2**63 or args.episodes > _MOST_EPISODES:
        raise ValueError(
            f"--seed must be below 2^63 and --episodes at most {_MOST_EPISODES:,}, got {args.seed} and {args.episodes}"
        )
    if not math.isfinite(args.room_yaw):
        raise ValueError(f"--room-yaw must be a finite angle (degrees), got {args.room_yaw}")
    if args.seconds is not None and not 0 < args.seconds <= _LONGEST:
        raise ValueError(f"--seconds must be positive and at most {_LONGEST} (an hour), got {args.seconds}")
    out = args.out or Path("runs") / f"demos-{args.task}"
    if args.operator in _PROGRAMS:
        return _run_scripted(args, setup, out)
    if len(args.shape) > 1:
        raise ValueError("a person fastens one shape at a time: give one --shape")
    return _run_person(args, setup, out)


def _setup(args: Args) -> Setup:
    if args.task not in OBJECTS:
        raise ValueError(f"unknown task {args.task!r}; choose from {', '.join(OBJECTS)}")
    known = make_task(args.task).shapes
    if unknown := [shape for shape in args.shape if shape not in known]:
        raise ValueError(f"unknown shape {unknown[0]!r} of the {args.task}; choose from {', '.join(known)}")
    policy = args.policy or student_of(args.task)
    task = load_skill(policy).task
    if task != args.task:
        raise ValueError(f"{policy} was trained for the task {task!r}, not {args.task!r}; give another --policy")
    if args.operator not in _OPERATORS and ":" not in args.operator:
        raise ValueError(
            f"unknown operator {args.operator!r}; choose from {', '.join(_OPERATORS)}, or give a class of your own as "
            "my_device.py:MyDevice"
        )
    if args.operator in _PROGRAMS and args.robot == "config":
        raise ValueError("a scripted operator sees the twin in this process only; give --operator web or keyboard")
    if args.operator == "strokes" and not OBJECTS[args.task].stays:
        raise ValueError(
            f"working by strokes lets go of the object, and a {args.task} would fall; give --operator scripted"
        )
    if args.operator == "tutor" and args.above:
        raise ValueError("--above: the tutor begins where the hand holds the object; give another --operator")
    setup = Setup(
        task=args.task, policy=policy, robot=args.robot, shape=args.shape[0] if args.shape else None,
        stratum=args.stratum, addresses=args.addresses, seconds=args.seconds,
        above=args.above, room_yaw=float(np.radians(args.room_yaw)), press=args.press,
    )  # fmt: skip
    setup.robot_config()  # a missing address is told before a page opens
    return setup


def _run_scripted(args: Args, setup: Setup, out: Path) -> int:
    with closing(setup.make_env()) as env:
        header, fields = setup.header(env, args.operator), recorded_fields(env)
    shapes = tuple(dict.fromkeys(args.shape)) or (setup.object_shape,)
    seeds = range(args.seed, args.seed + max(args.episodes, 1))
    with Recorder(out, header, fields) as recorder:
        _tell_recovered(recorder)
        for _ in collect(
            setup, recorder, [(shape, seed) for shape in shapes for seed in seeds],
            partial(demonstrate, noisy=args.noise, operator=cast(Program, args.operator)),
            noise=partial(draw_noise, noisy=args.noise), processes=args.processes,
        ):  # fmt: skip
            pass
        print(summary(out))
    return Status.DONE


def _run_person(args: Args, setup: Setup, out: Path) -> int:
    """Let a person record episodes until there are enough, or until Ctrl-C."""
    check_recordable(out)  # before a page opens, or a robot moves
    check_press(out, setup)
    kept = kept_before(out, setup)
    if args.episodes and kept >= args.episodes:
        program.say(f"{out} has {kept} of {args.episodes} episodes already; raise --episodes to record more")
        print(summary(out))
        return Status.DONE
    with ExitStack() as stack:
        operator = _make_operator(args, out)
        stack.callback(operator.close)
        operator.start()  # a port that is taken is found before the robot is ready and the folder made
        drawn = args.operator == "web" and args.robot == "twin"
        env = stack.enter_context(closing(setup.make_env(pictures=drawn)))
        recorder = stack.enter_context(Recorder(out, setup.header(env, operator.name), recorded_fields(env)))
        _tell_recovered(recorder)
        watcher, tell = _make_watcher(args, setup, env, operator), program.say
        if isinstance(watcher, StatusLine):
            tell = watcher.say
            stack.callback(watcher.clear)
        episode = setup.make_episode(env, operator, watcher, paced=True)
        episode.kept = kept_before(out, setup)  # what was recovered is among them
        seeds = itertools.count(next_seed(out, args.seed))
        try:
            while not args.episodes or episode.kept < args.episodes:
                seed = next(seeds)
                noise = draw_noise(seed, noisy=args.noise)
                episode.reset(seed, noise)
                orders = episode.wait_for_operator()
                if orders.mark:
                    continue  # nothing has happened yet: another trial
                drawn_from = seed if args.robot == "twin" else None
                number = recorder.begin(**episode_header(drawn_from, noise, episode.tactile_bias, setup.extras))
                ending = episode.run(recorder.append)
                if ending.discard or not ending.steps:
                    recorder.discard()
                else:
                    recorder.finish(ending.outcome)
                    episode.kept += 1
                    tell(f"episode {number}: {ending.outcome.mark}, {ending.outcome.reason}")
                episode.number += 1
        except KeyboardInterrupt:
            env.close()  # the robot first
            raise
    print(summary(out))
    return Status.DONE


def _make_operator(args: Args, out: Path) -> Operator:
    """Return the person's device, not started."""
    if args.operator == "keyboard":
        from real.teleop.keyboard import KeyboardOperator, help_text

        program.say(help_text())
        return KeyboardOperator()
    if args.operator != "web":
        return _own_operator(args.operator)
    from real.teleop.recorded import SAMPLES, RecordedEpisodes
    from real.teleop.web.config import PageConfig
    from real.teleop.web.operator import WebOperator

    folder = None if args.host in ("127.0.0.1", "localhost") else Path.home() / ".dexscrew" / "teleop"
    replay = RecordedEpisodes(out, SAMPLES / args.task)
    return WebOperator(PageConfig(host=args.host, port=args.port, folder=folder), replay=replay)


def _own_operator(reference: str) -> Operator:
    """Return an operator of a class that the command line names.

    Raises:
        ValueError: there is no such class, it cannot be made without arguments, or it is no operator.
    """
    made = own_code.load(reference, "--operator")
    try:
        operator = made()
    except Exception as error:  # whatever code of others may raise
        told = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"--operator {reference} must be a class that takes no arguments, and fails: {told}"
        ) from error
    lacking = [name for name in ("start", "orders", "close") if not callable(getattr(operator, name, None))]
    if lacking or not isinstance(getattr(operator, "name", None), str):
        raise ValueError(
            f"--operator {reference} must have a name and the methods start, orders and close, see "
            f"real/teleop/operator.py; it lacks {', '.join(lacking) or 'a name'}"
        )
    return operator


def _make_watcher(args: Args, setup: Setup, env: DexScrewRealEnv, operator: Operator) -> Watcher:
    """Return what shows the episode, and open the page where that is asked for."""
    if args.operator != "web":
        return StatusLine()
    from real.teleop.watch import PageWatcher, names
    from real.teleop.web.operator import WebOperator

    assert isinstance(operator, WebOperator)
    if args.browser and args.host in ("127.0.0.1", "localhost"):
        webbrowser.open(f"http://{args.host}:{operator.server.port}/")
    shown = names(
        task=args.task, shape=setup.object_shape, operator="web", policy=setup.policy,
        robot=f"twin, {args.stratum}" if args.robot == "twin" else "robot",
    )  # fmt: skip
    return PageWatcher(env, operator.publish, shown)


def _tell_recovered(recorder: Recorder) -> None:
    for sentence in recorder.recovered:
        program.say(sentence)


def summary(folder: Path) -> str:
    """Return a table of a data set: episodes, outcomes, turns and times of each shape."""
    rows = []
    episodes = list(Demonstrations(folder))
    for shape in dict.fromkeys(episode.header.shape for episode in episodes):
        group = [episode for episode in episodes if episode.header.shape == shape]
        times = [episode.outcome.seconds for episode in group if episode.outcome.mark == "success"]
        progress = [p for episode in group if (p := episode.outcome.progress) is not None]
        rows.append({
            "shape": shape, "episodes": len(group),
            **Counter(str(episode.outcome.mark) for episode in group),
            "progress (%)": f"{100 * np.mean(progress):.1f}" if progress else "",
            "time of successes (s)": f"{np.mean([t for t in times if t]):.0f}" if times else "",
        })  # fmt: skip
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("real.teleop", Args, _run, argv, __doc__, follow_parent=True)


if __name__ == "__main__":
    sys.exit(main())
