"""DAgger: a clone acts in simulation, what its teachers would have done is written beside it, and it learns anew.

A run folder holds a run folder for each round, `round-0` to `round-N`, the labels of each clone but the last as data
sets, `labels-1` to `labels-N`, and the results of the last round.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

from baselines import policies
from baselines.bc.design import Design
from baselines.bc.learner import PARTS, Training
from baselines.bc.training import configuration, load_data, read_data, train
from baselines.data.reader import Episode
from baselines.run_folder import check_run_folder, open_run_folder
from dexscrew_envs import program
from dexscrew_envs.mdp.observations import MEASURED
from dexscrew_envs.program import Status

ENTRY_POINTS = "dexscrew.relabellers"
"""Group of entry points in which a package names what lets a clone act on a kind of robot and labels what it did, by
the robot's name in the data's headers. It is called as `real.teleop.relabel.relabel`. If it has an attribute `check`,
that is called before anything is trained, as `real.teleop.relabel.check`, and raises ValueError for data that it cannot
label."""
_SEEDS = 100_000
"""Seeds between two sets of labels: far from those of demonstrations and of evaluations."""


@dataclass(frozen=True, kw_only=True)
class Relabelling:
    """How often a clone acts and is corrected. The fields are options of `python -m baselines.bc`."""

    dagger: int = 0
    """Rounds in which the clone acts on twins, skill and operator label what it did, and it learns anew from all."""
    dagger_episodes: int = 40
    """Episodes of a round."""
    skill: str = ""
    """Policy that labels the fingers in those rounds: a name or a file; by default that of the demonstrations."""

    def check(self) -> None:
        """Raise ValueError if a value is not possible."""
        if self.dagger < 0:
            raise ValueError(f"dagger must be a number of rounds that is not negative, got {self.dagger}")
        if self.dagger_episodes < 1:
            raise ValueError(f"dagger_episodes must be at least 1, got {self.dagger_episodes}")
        if self.skill and not self.dagger:
            raise ValueError(
                "--skill labels the fingers in the rounds of --dagger; give their number, such as --dagger 2"
            )


def train_in_rounds(
    design: Design, training: Training, relabelling: Relabelling, folder: Path, command: Sequence[str]
) -> int:
    """Train, let the clone act, and train again, as often as asked for; return the exit status.

    Args:
        design: of the clone.
        training: how it is trained in each round.
        relabelling: how it is corrected between them.
        folder: the run folder.
        command: that is recorded in it.

    Raises:
        RunFolderError: the run folder holds another configuration, or another program trains in it.
        ValueError: the data do not fit the design, are of several robots or strata, or there is nothing that can label
            them.
        CutShort: a training diverged.
        WriteError: the disk is full.
    """
    data = load_data(design, training)
    episodes, first = data.episodes, data.episodes[0].header
    relabel = _find(_shared("robot", episodes))
    skill, stratum = relabelling.skill or _skill(episodes), _shared("stratum", episodes)
    press = _press(episodes)
    _check_skill(skill, first.task)
    shapes = sorted({episode.header.shape for episode in episodes})
    if check := getattr(relabel, "check", None):
        check(first, episodes[0].fields, skill=skill, stratum=stratum, shapes=shapes, press=press)
    last = _first_seed(len(training.labels) + relabelling.dagger, training)
    if last >= 2**63:
        raise ValueError(f"--seed {training.seed} gives labels seeds beyond 2^63, of {last}; give a smaller one")
    wanted = configuration(design, training, episodes) | {
        "rounds": relabelling.dagger, "episodes a round": relabelling.dagger_episodes,
        "skill": policies.without_paths(skill),
    }  # fmt: skip
    check_run_folder(folder, wanted)
    read_data(data, design, training)  # data that are refused must not claim the folder
    with open_run_folder(folder, wanted, command, PARTS):
        labels = list(training.labels)
        for number in range(relabelling.dagger + 1):
            inner = folder / f"round-{number}"
            program.say(f"round {number} of {relabelling.dagger}: training in {inner}")
            status = train(design, replace(training, labels=tuple(labels)), inner, command)
            if status != Status.DONE:
                return status
            if number < relabelling.dagger:
                seed = _first_seed(len(labels) + 1, training)
                labels.append(folder / f"labels-{number + 1}")
                program.say(f"the clone of round {number} acts; its labels go to {labels[-1]}")
                relabel(
                    inner / "policy.pt", labels[-1], task=first.task, skill=skill, stratum=stratum, shapes=shapes,
                    episodes=relabelling.dagger_episodes, seed=seed, press=press,
                )  # fmt: skip
        for name in ("policy.pt", "metrics.json", "curve.png"):
            shutil.copyfile(inner / name, folder / name)
        print(f"results of all rounds: {folder}")
    return Status.DONE


def _first_seed(number: int, training: Training) -> int:
    """Return the seed of the first episode of labels, whose folders count from 1; those before have other twins."""
    return _SEEDS * number + 1000 * training.seed


def _shared(name: str, episodes: Sequence[Episode]) -> str:
    """Return what the headers of all episodes have under a name.

    Raises:
        ValueError: they differ.
    """
    first, *others = sorted({getattr(episode.header, name) for episode in episodes})
    if others:
        raise ValueError(
            f"--dagger labels data of one {name}, and these are of {', '.join(map(repr, (first, *others)))}; give data "
            "sets of one of them"
        )
    return first


def _press(episodes: Sequence[Episode]) -> float:
    """Return how much further than the skill wanted the fingers closed in the demonstrations (rad).

    Raises:
        ValueError: they differ, or one has no number.
    """
    found = [episode.header.extras.get("press", 0.0) for episode in episodes]
    for press in found:
        if isinstance(press, bool) or not isinstance(press, (int, float)):
            raise ValueError(f"the demonstrations' headers must give press as a number (rad), got {press!r}")
    first, *others = sorted(set(found))
    if others:
        raise ValueError(
            "--dagger labels as the demonstrations were made, and these were with a press of "
            f"{', '.join(f'{press} rad' for press in (first, *others))}; give episodes of one of them"
        )
    return float(first)


def _find(robot: str) -> Callable[..., None]:
    """Return what labels for a robot."""
    for entry in entry_points(group=ENTRY_POINTS, name=robot):
        return entry.load()
    known = ", ".join(sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)})) or "none"
    raise ValueError(
        f"--dagger needs a robot on which nothing breaks when a clone errs, and these data are of {robot!r}; those "
        f"that can be labelled are: {known}"
    )


def _check_skill(skill: str, task: str) -> None:
    """Raise ValueError unless a policy can label on a robot: known before the first clone is trained."""
    policy = policies.load(skill)
    if policy.task != task:
        raise ValueError(f"--skill {skill} was trained for the task {policy.task!r}, and the data are of {task!r}")
    if unknown := [key for key in policy.observe if key not in MEASURED]:
        raise ValueError(
            f"--skill {skill} needs {', '.join(unknown)}, which a robot does not measure; give a student, such as "
            f"{task}-student"
        )


def _skill(episodes: Sequence[Episode]) -> str:
    """Return the skill that some episodes were recorded with.

    Raises:
        ValueError: there is not one, or it does not come with this package.
    """
    found = sorted({episode.header.policy for episode in episodes})
    if len(found) == 1 and found[0] in policies.shipped():
        return found[0]
    raise ValueError(
        f"--dagger lets the skill of the demonstrations label the fingers, which is {', '.join(found) or 'unknown'} "
        f"here; give a policy with --skill, such as one of {', '.join(policies.shipped())}"
    )
