"""How a session goes on with a folder: which episodes it has, and whether they are those that were asked for.

Shape, seed, operator and where the hand began tell episodes apart. One that was recorded with other settings is neither
the one that is wanted nor another one: a folder with both would hold the same trial twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from baselines.data.folder import FolderError, next_number, numbered
from baselines.data.header import Header
from baselines.data.reader import Demonstrations, Episode
from baselines.data.writer import Recorder
from real.teleop.episode import TIME_IS_OVER
from real.teleop.finger_skill import Noise
from real.teleop.setup import Setup

Job = tuple[str, int]
"""Shape of the object, and seed."""


def recorded(recorder: Recorder) -> set[Job]:
    """Return shape and seed of the episodes in a recorder's folder, but for those that were cut off."""
    headers = [episode.header for episode in _finished(recorder)]
    return {(header.shape, header.seed) for header in headers if header.seed is not None}


def lacking(
    recorder: Recorder, setup: Setup, jobs: Sequence[Job], noise: Callable[[int], Noise] | None = None
) -> list[Job]:
    """Return the jobs whose episodes a recorder's folder lacks.

    Args:
        recorder: of the folder.
        setup: of the session.
        jobs: the episodes that the folder should have.
        noise: gives that of a seed, where it matters.

    Raises:
        FolderError: the folder has one of them, recorded with other settings, or any with another `press`.
    """
    check_press(recorder.folder, setup)
    there: dict[Job, list[Episode]] = {}
    for episode in _finished(recorder):
        header = episode.header
        alike = header.operator == recorder.header.operator and header.extras.get("above", 0.0) == setup.above
        if alike and header.seed is not None:
            there.setdefault((header.shape, header.seed), []).append(episode)
    for job in jobs:
        for episode in there.get(job, []):
            found = _differing(episode, recorder.header, setup, None if noise is None else noise(job[1]))
            if found:
                raise FolderError(
                    f"{recorder.folder} has the {job[0]} with seed {job[1]} already, in other settings: {episode.name} "
                    f"has {'; '.join(found)}; give the same settings, another folder with --out, or another --seed"
                )
    return [job for job in jobs if job not in there]


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


def check_press(folder: Path, setup: Setup) -> None:
    """Raise FolderError if a folder has episodes with another grip than a setup's: a clone cannot learn from both."""
    for header in _headers(folder):
        if (press := header.extras.get("press", 0.0)) != setup.press:
            raise FolderError(
                f"{folder} has episodes with --press {press}, and this session has {setup.press}; give the same, or "
                "another folder with --out"
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


def _finished(recorder: Recorder) -> Iterator[Episode]:
    """Give the episodes of a recorder's folder, but for those that were cut off."""
    if numbered(recorder.folder):
        yield from (episode for episode in Demonstrations(recorder.folder) if episode.outcome.mark != "none")


def _differing(episode: Episode, header: Header, setup: Setup, noise: Noise | None) -> list[str]:
    """Return the settings in which an episode differs from those of a session, with both values.

    The longest time is not recorded, but it shows: time was over after just that, and before it nothing depends on it.
    """
    there, found = episode.header, []
    if there.stratum != header.stratum:
        found.append(f"stratum ({there.stratum!r}, not {header.stratum!r})")
    if there.policy_sha256 != header.policy_sha256:
        found.append(f"policy ({_policy(there)}, not {_policy(header)})")
    if noise is not None and (drawn := there.extras.get("noise")) is not None and drawn != asdict(noise):
        found.append(f"noise ({drawn}, not {asdict(noise)})")
    over = episode.outcome.reason == TIME_IS_OVER
    if len(episode) > setup.steps or (over and len(episode) < setup.steps):
        at_least = "" if over else "at least "
        found.append(f"seconds ({at_least}{len(episode) * there.period:g}, not {setup.steps * there.period:g})")
    return found


def _policy(header: Header) -> str:
    return f"{header.policy!r} with SHA-256 {header.policy_sha256[:8]}..."
