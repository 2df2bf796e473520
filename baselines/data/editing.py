"""Merging data sets, and dropping episodes from one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from baselines.data.episode_file import check_sum, read_about, sync_folder, write_episode
from baselines.data.folder import (
    DROPPED,
    FINISHED,
    FolderError,
    differences,
    episode_path,
    is_dataset,
    numbered,
    numbers_text,
    take_number,
)
from baselines.data.reader import Demonstrations, Episode
from baselines.data.schema import Fields, step_fields
from baselines.progress import Progress
from dexscrew_envs.files import check_folder, claimed, holds_nothing, write_bytes


@dataclass(frozen=True)
class Merged:
    """What a merge did."""

    copied: int
    """Episodes that were copied."""
    present: int
    """Episodes that the data set had already, as after a merge that was interrupted."""
    left_out: tuple[str, ...] = ()
    """Names of the fields that were left out, since not all folders have them."""
    dropped: int = 0
    """Episodes that were left out, since they lie in the folder `dropped` of the data set."""


def merge(sources: Sequence[Path], out: Path, *, compressed: bool = False) -> Merged:
    """Copy the finished episodes of data sets into one, in their order, with numbers of its own.

    Fields that a robot adds are left out where not all folders have them, such as the scene of a twin. So are episodes
    that were dropped from `out`.

    Args:
        sources: folders of one task, hand and kind of step.
        out: the folder to copy to; it may hold such episodes.
        compressed: whether to make the files small rather than fast.

    Raises:
        FolderError: a folder is not a data set, they do not belong together, or `out` is one of them.
        EpisodeFileError: an episode is damaged; those before it are copied.
        BusyError: another program has `out`.
        WriteError: the disk is full, or fails; what was copied is kept, and the same merge goes on.
    """
    if not sources:
        raise FolderError("a merge needs at least one folder to copy from")
    sets = [Demonstrations(folder) for folder in sources]
    if any(folder.resolve() == out.resolve() for folder in sources):
        raise FolderError(f"{out} is one of the folders to merge; give another one")
    check_folder(out)
    if not holds_nothing(out) and not is_dataset(out):
        raise FolderError(f"{out} is not empty and holds no episodes; give another folder")
    there = list(Demonstrations(out)) if out.is_dir() and numbered(out) else []
    first = there[0] if there else sets[0][0]
    left_out = _not_in_all([first, *(found[0] for found in sets)])
    for other in sets:
        differing = differences(first.header, _without(left_out, first), other.header, _without(left_out, other[0]))
        if differing:
            raise FolderError(f"{other.folder} cannot be merged: it has {'; '.join(differing)}")
    presses = {str(episode.header.extras.get("press", 0.0)): None for found in (there, *sets) for episode in found}
    if len(presses) > 1:
        raise FolderError(
            f"the episodes have --press {' and '.join(presses)}, and a data set has one; merge those of each into a "
            "folder of its own"
        )
    if there and (fixed := [name for name in left_out if name in first.fields]):
        raise FolderError(
            f"the episodes in {out} have {', '.join(fixed)}, which not all that are to be copied have; merge all of "
            "them into another folder, which leaves it out"
        )
    known, copied, present, dropped = {episode.header.id for episode in there}, 0, 0, 0
    episodes = [episode for found in sets for episode in found]
    with claimed(out), Progress(episodes, desc="merge", unit="episode", delay=1.0) as bar:
        unwanted = set(_dropped_ids(out))
        for episode in bar:
            if episode.header.id in known:
                present += 1
                continue
            if episode.header.id in unwanted:
                dropped += 1
                continue
            _copy(episode, episode_path(out, take_number(out)), compressed, _without(left_out, episode))
            known.add(episode.header.id)
            copied += 1
    return Merged(copied, present, left_out, dropped)


def _dropped_ids(folder: Path) -> Iterator[str]:
    for path in (folder / DROPPED).glob(f"*{FINISHED}"):
        with suppress(ValueError):  # a damaged file is a reason to drop an episode, but may not say which it was
            yield read_about(path).header.id


def _not_in_all(episodes: Sequence[Episode]) -> tuple[str, ...]:
    """Return the names of the fields that a robot adds and that are not the same in all episodes."""
    names = dict.fromkeys(name for episode in episodes for name in episode.fields if name not in step_fields(1, 1))
    kinds = {name: {getattr(episode.fields.get(name), "kind", None) for episode in episodes} for name in names}
    return tuple(name for name in names if len(kinds[name]) > 1)


def _without(names: Sequence[str], episode: Episode) -> Fields:
    return {name: field for name, field in episode.fields.items() if name not in names}


def _copy(episode: Episode, path: Path, compressed: bool, fields: Fields) -> None:
    check_sum(episode.path)
    if episode.compressed == compressed and fields == episode.fields:
        write_bytes(episode.path.read_bytes(), path)
        sync_folder(path.parent)
        return
    columns = {name: episode[name] for name in fields}
    write_episode(path, episode.header, episode.outcome, fields, columns, compressed=compressed)


def drop(folder: Path, numbers: Sequence[int]) -> list[Path]:
    """Move finished episodes out of a data set, to its folder `dropped`, from where they can be moved back.

    Returns:
        Where they are now.

    Raises:
        FolderError: the folder has no such episode, or one of the same name was dropped before; then none is moved.
        ValueError: the folder cannot be written.
        BusyError: another program has the folder.
    """
    found = numbered(folder)
    lacking = sorted(set(numbers) - found.keys())
    if lacking:
        raise FolderError(
            f"no episode {numbers_text(lacking)} in {folder}; there are {numbers_text(found) or 'no episodes'}"
        )
    check_folder(folder / DROPPED)
    paths = [found[number] for number in dict.fromkeys(numbers)]
    with claimed(folder):
        for path in paths:
            if (folder / DROPPED / path.name).exists():
                raise FolderError(
                    f"cannot drop {path}: an episode of that name was dropped before; move "
                    f"{folder / DROPPED / path.name} elsewhere first"
                )
        (folder / DROPPED).mkdir(exist_ok=True)
        moved = [path.replace(folder / DROPPED / path.name) for path in paths]
        sync_folder(folder / DROPPED)
        sync_folder(folder)
    return moved
