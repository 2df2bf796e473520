"""Demonstrations as tensors: what a clone sees, what it should have done, and windows of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.bc.design import Design
from baselines.bc.features import ARM_JOINTS, REST_STEPS, as_tensors, observe, rest
from baselines.data.folder import differences
from baselines.data.reader import Demonstrations, Episode
from baselines.progress import Progress

LABELS = ("asked_hand", "asked_arm", "held_hand", "held_arm")
SKILL = "skill"
"""Field that says whether the finger skill ran."""
_LEAST_MOTION = 1e-6
"""Increments below this are none (rad)."""


def load_episodes(folders: Sequence[Path], design: Design, progress: float) -> list[Episode]:
    """Return the episodes to learn from, of one or more data sets.

    Args:
        folders: of the data sets.
        design: of the clone.
        progress: the least share of the turns needed; 0 takes all, also those of which that is not known.

    Raises:
        FolderError: a folder is no data set.
        ValueError: the data sets do not belong together, lack a field that the clone needs or have it in another
            shape, have fewer than two episodes that meet the condition, one that is too short, or one twice.
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must lie between 0 and 1, got {progress!r}")
    if not folders:
        raise ValueError("give at least one data set")
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise ValueError(f"a data set is given twice among {', '.join(map(str, folders))}")
    sets = [Demonstrations(folder) for folder in folders]
    first = sets[0]
    for other in sets[1:]:
        differing = differences(first.header, first.fields, other.header, other.fields)
        if differing:
            raise ValueError(f"{other.folder} and {first.folder} do not belong together: {'; '.join(differing)}")
    lacking = [name for name in (*design.fields, *LABELS, SKILL) if name not in first.fields]
    if lacking:
        remedy = "; train with --no-tactile" if set(lacking) <= {"tactile", "resultant"} else ""
        raise ValueError(f"{first.folder} has no field {', '.join(lacking)}, which the clone needs{remedy}")
    _check_shapes(first, design)
    found = [episode for demos in sets for episode in (demos.where(progress=progress) if progress else demos)]
    total, where = sum(map(len, sets)), ", ".join(map(str, folders))
    if len(found) < 2:
        raise ValueError(
            f"{len(found)} of {total} episodes in {where} reach a progress of {progress:g}, and training needs at "
            "least two, one of them to validate on; lower --progress, or record more"
        )
    least = design.history + design.horizon
    known: dict[str, Episode] = {}
    for episode in found:
        same = known.setdefault(episode.header.id, episode) if episode.header.id else episode
        if same is not episode:  # or a clone could be judged by what it has learned
            raise ValueError(
                f"{episode.path} and {same.path} are the same episode, which can be given once; drop one with: "
                f"python -m baselines.data drop {episode.path.parent} {episode.number}"
            )
        if len(episode) < least:
            raise ValueError(
                f"{episode.path} has {len(episode)} steps, and history and horizon together need {least}; drop it "
                f"with: python -m baselines.data drop {episode.path.parent} {episode.number}"
            )
    return found


def _check_shapes(demos: Demonstrations, design: Design) -> None:
    """Raise ValueError unless the fields that a clone needs have the shapes that it can see and predict."""
    header, fields = demos.header, demos.fields
    joints, fingers = len(header.joints), len(header.fingers)
    hand, arm = ((joints,), f"the {joints} joints of the hand"), ((ARM_JOINTS,), f"the {ARM_JOINTS} joints of the arm")
    expected: dict[str, tuple[tuple[int, ...], str]] = {
        "hand_q": hand, "held_hand": hand, "asked_hand": hand, "arm_q": arm, "held_arm": arm, "asked_arm": arm,
        "tactile": (header.tactile_bias.shape, "the tactile bias"), SKILL: ((), "on or off"),
        "resultant": ((fingers, 3), f"the {fingers} fingers"),
    }  # fmt: skip
    for name in (*design.fields, *LABELS, SKILL):
        shape, meaning = expected[name]
        if fields[name].shape != shape:
            raise ValueError(
                f"{demos.folder} has the field {name} in the shape {fields[name].shape}, and a clone needs {shape}, "
                f"for {meaning}"
            )


def load_labels(folders: Sequence[Path], design: Design, demonstrations: Sequence[Episode]) -> list[Episode]:
    """Return the episodes of clones that were labelled: all that are not too short, however they ended.

    Args:
        folders: of the data sets.
        design: of the clone.
        demonstrations: to which they must belong.

    Raises:
        FolderError: a folder is no data set.
        ValueError: a data set does not belong to the demonstrations, or an episode is given twice.
    """
    found: list[Episode] = []
    presses = [episode.header.extras.get("press", 0.0) for episode in demonstrations]
    like, known = demonstrations[0], {episode.header.id for episode in demonstrations}
    for folder in folders:
        demos = Demonstrations(folder)
        differing = differences(like.header, like.fields, demos.header, demos.fields)
        if differing:
            raise ValueError(f"{folder} does not belong to {like.path.parent}: {'; '.join(differing)}")
        for episode in demos:
            if (press := episode.header.extras.get("press", 0.0)) not in presses:
                raise ValueError(
                    f"{folder} does not belong to {like.path.parent}: its labels are those of a press of {press} rad, "
                    f"and the demonstrations had {', '.join(dict.fromkeys(map(str, presses)))}"
                )
        here = {episode.header.id for episode in demos}
        if len(here) < len(demos) or not known.isdisjoint(here):
            raise ValueError(
                f"{folder} has episodes that were given before; --labels takes labels-1, labels-2, ... of a run "
                "with --dagger, each once"
            )
        known |= here
        found += [episode for episode in demos if len(episode) >= design.history + design.horizon]
    return found


@dataclass(frozen=True)
class Samples:
    """All steps of some episodes, one after the other, S in all."""

    observations: dict[str, Tensor]
    """By modality (S, numbers)."""
    wanted: Tensor
    """(S, J + 6) targets of hand and arm that were asked for (rad), or the sum of all that was asked for until then,
    where the clone predicts increments."""
    base: Tensor
    """(S, J + 6) what is subtracted from `wanted` of the present step and those after it (rad)."""
    begin: Tensor
    """(S,) index of the first step of a step's episode."""
    end: Tensor
    """(S,) index of its last step."""
    usable: Tensor
    """(W,) indices of the steps that are learned from."""

    def windows(self, design: Design, at: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return windows that end at some steps, and what follows.

        Args:
            design: of the clone.
            at: (B,) indices of steps.

        Returns:
            Observations by modality (B, steps, numbers), the oldest first; targets or increments (B, H, J + 6) (rad);
            and (B, H), true where the episode has such a step.
        """
        begin, end = self.begin[at, None], self.end[at, None]
        seen = {}
        for name, values in self.observations.items():
            rows = at[:, None] + torch.arange(1 - design.steps_needed(name), 1)
            seen[name] = values[rows.maximum(begin)].float()
        rows = at[:, None] + torch.arange(design.horizon)
        return seen, (self.wanted[rows.minimum(end)] - self.base[at, None]).float(), rows <= end


def make_samples(episodes: Sequence[Episode], design: Design, *, pauses: bool = False) -> Samples:
    """Read episodes.

    Args:
        episodes: to read.
        design: of the clone.
        pauses: whether the steps are learned from in which the finger skill was off and the fingers stood still. A
            clone that sees its own past learns from them to stand still because it stands still.

    Raises:
        ValueError: an episode holds a number that is not finite, or none has a step to learn from.
    """
    observations: dict[str, list[Tensor]] = {}
    wanted, base, begin, end, usable = [], [], [], [], []
    total = 0
    for episode in Progress(episodes, desc="reading", unit="episode", leave=False):
        steps = {name: episode[name] for name in design.fields}
        labels = {name: np.asarray(episode[name], np.float64) for name in LABELS}
        for name, values in (steps | labels).items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                row = int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(1)))
                raise ValueError(f"{episode.path} has a value of {name} in step {row} that is not finite; drop it")
        resting = rest(steps[design.rests]) if design.tactile else None
        fields = as_tensors(design, steps)
        for name, seen in observe(design, fields, fields["arm_q"][0], resting).items():
            smaller = torch.float16 if name == "touch" and design.touch == "taxels" else torch.float32
            observations.setdefault(name, []).append(seen.to(smaller))
        asked = np.concatenate([labels["asked_hand"], labels["asked_arm"]], -1)
        increments = asked - _stood(episode, labels)
        moved = np.flatnonzero((np.abs(increments) > _LEAST_MOTION).any(-1))
        first = max(int(moved[0]) if moved.size else 0, min(REST_STEPS, len(asked) - 1))
        if design.targets == "increments":
            summed = np.cumsum(increments, 0)
            wanted.append(summed)
            base.append(summed - increments)
        else:
            wanted.append(asked)
            base.append(np.zeros_like(asked))
        count = len(episode)
        begin.append(np.full(count, total))
        end.append(np.full(count, total + count - 1))
        acting = (np.asarray(episode[SKILL]) != 0) | (np.abs(increments[:, :-ARM_JOINTS]) > _LEAST_MOTION).any(-1)
        learned = np.arange(first, count)
        usable.append(total + (learned if pauses else learned[acting[learned]]))
        total += count
    if not sum(map(len, usable)):
        raise ValueError(
            "the fingers never moved in these episodes; train with --pauses to learn from steps in which they stand"
        )

    def joined(parts: list[NDArray]) -> Tensor:
        return torch.from_numpy(np.concatenate(parts))

    return Samples(
        {name: torch.cat(parts) for name, parts in observations.items()}, joined(wanted), joined(base), joined(begin),
        joined(end), joined(usable),
    )  # fmt: skip


def _stood(episode: Episode, labels: dict[str, NDArray]) -> NDArray:
    """Return the targets that each request was made from (steps, J + 6) (rad): those that stand.

    Where a recording added noise to the wrist it is what the operator asked for last, since the operator does not know
    of that noise and does not answer it.
    """
    arm = labels["held_arm"]
    if (episode.header.extras.get("noise") or {}).get("wrist"):
        arm = np.concatenate([arm[:1], labels["asked_arm"][:-1]])
    return np.concatenate([labels["held_hand"], arm], -1)
