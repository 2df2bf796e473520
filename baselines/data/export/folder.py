"""The folder of an export: there once it is complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from baselines.data.episode_file import EpisodeFileError, check_sum
from baselines.data.reader import Episode
from baselines.progress import Progress
from dexscrew_envs.files import check_folder, filling


class ExportError(ValueError):
    """Episodes cannot be exported so, or not to there."""


@contextmanager
def new_folder(out: Path, episodes: Sequence[Episode]) -> Iterator[Path]:
    """Give a folder of its own beside `out` to write whole episodes into, which then takes the place of `out`.

    Raises:
        ExportError: there is something at `out`.
        EpisodeFileError: an episode is damaged, which nothing would tell of its export.
        WriteError: the disk is full, or fails; nothing is left.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out} is there already; give another folder, or remove it")
    check_folder(out)
    check_folder(out.absolute().parent)
    with Progress(episodes, desc="check", unit="episode", delay=1.0) as bar:
        for episode in bar:
            try:
                check_sum(episode.path)
            except EpisodeFileError as error:
                drop = f"python -m baselines.data drop {episode.path.parent} {episode.number}"
                raise EpisodeFileError(f"{error}; to leave it out: {drop}") from error
    with filling(out.absolute()) as folder:
        yield folder
