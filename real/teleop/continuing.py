"""How a person's session goes on with a folder that holds episodes: which count, and which seed is the next."""

from __future__ import annotations

from pathlib import Path

from baselines.data.folder import next_number, numbered
from baselines.data.header import Header
from baselines.data.reader import Demonstrations
from real.teleop.setup import Setup


def kept_before(folder: Path, setup: Setup) -> int:
    """Return how many episodes a folder has of a setup's shape that began as far above the object; 0 without a folder.

    Raises:
        FolderError: its episodes do not belong together.
        EpisodeFileError: a file is damaged.
    """
    return sum(
        header.shape == setup.object_shape and header.extras.get("above", 0.0) == setup.above
        for header in _headers(folder)
    )


def next_seed(folder: Path, first: int) -> int:
    """Return a seed that no episode of a folder had, so that sessions repeat neither twins nor noise.

    Episodes of a robot have no seed, but each had a number.

    Args:
        folder: of the data set.
        first: the least seed.

    Raises:
        FolderError: there is no such folder, or its episodes do not belong together.
        EpisodeFileError: a file is damaged.
    """
    seeds = [header.seed for header in _headers(folder)]
    if None in seeds:
        first += next_number(folder)
    return max([first, *(seed + 1 for seed in seeds if seed is not None)])


def _headers(folder: Path) -> list[Header]:
    if not folder.is_dir() or not numbered(folder):
        return []
    return [episode.header for episode in Demonstrations(folder)]
