"""Whether every episode of a folder is whole, without a change to any file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from baselines.data.episode_file import About, check_sum, read_about
from baselines.data.folder import DAMAGED, FINISHED, LOG, FolderError, differences, numbered
from baselines.data.log import Log, read_log
from baselines.data.reader import Episode
from baselines.data.recovery import number_is_taken
from baselines.progress import Progress


@dataclass(frozen=True)
class Finding:
    """What there is to say of a file."""

    path: Path
    sound: bool
    """Whether the episode is whole, or can be recovered, belongs to the others, and is none of them once more."""
    said: str
    """What it is, or what is wrong and what to do."""


def check(folder: Path) -> list[Finding]:
    """Look at every byte of a data set.

    Raises:
        FolderError: there is no such folder, it holds no episodes, or one has a name that no recorder gives.
    """
    paths = [path for ending in (FINISHED, LOG, DAMAGED) for path in numbered(folder, ending).values()]
    if not paths:
        raise FolderError(f"{folder} holds no episodes")
    with Progress(paths, desc="check", unit="file", delay=1.0) as files:
        return list(_findings(files))


def _findings(paths: Progress) -> Iterator[Finding]:
    first: tuple[Path, About | Log] | None = None
    known: dict[str, Path] = {}
    for path in paths:
        try:
            if path.suffix == DAMAGED:
                yield Finding(path, False, "a damaged log that was set aside; remove it once nobody needs it")
                continue
            about = _read(path)
            first = first or (path, about)
            differing = differences(first[1].header, first[1].fields, about.header, about.fields)
            if differing:  # then a recorder refuses the folder, whichever of the two it is for
                other = f"does not belong to {first[0].name}: {'; '.join(differing)}; move it to another folder"
                yield Finding(path, False, other)
                continue
            same = known.setdefault(about.header.id, path) if about.header.id else path
            if same.stem != path.stem:  # of one name they are a file and its log, which a recorder removes
                yield Finding(path, False, f"the same episode as {same.name}, copied; remove one of them")
            elif isinstance(about, Log):
                yield _unfinished(path, about)
            else:
                yield Finding(path, True, f"whole, {about.steps} steps")
        except (ValueError, OSError) as error:
            yield Finding(path, False, str(error))


def _read(path: Path) -> About | Log:
    if path.suffix == LOG:
        return read_log(path)
    check_sum(path)
    episode = Episode(path)
    for field in episode.fields:  # whoever wrote the file, its checksum may be of what nothing can read
        episode[field]
    return read_about(path)


def _unfinished(path: Path, log: Log) -> Finding:
    steps, number = len(log.rows), ""
    if number_is_taken(path, log):
        number = f" under another number, since {path.with_suffix(FINISHED).name} is another episode, or damaged"
    if log.damaged:
        said = f"damaged after {steps} steps; a recorder will keep those{number}, and set the log aside"
    elif log.outcome is not None:
        said = f"complete, {steps} steps; a recorder will finish it{number}"
    else:
        torn = f", and {log.torn} bytes of one that was cut off" * bool(log.torn)
        said = f"not finished, {steps} steps{torn}; a recorder will recover it{number}"
    return Finding(path, not log.damaged, said)
