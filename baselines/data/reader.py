"""Reading a data set: its episodes by number, and their fields as arrays that lie in the file until they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from baselines.data.episode_file import STEPS, About, EpisodeFileError, opened, read_about
from baselines.data.folder import LOG, FolderError, differences, numbered, numbers_text
from baselines.data.header import MARKS, Header, Outcome
from baselines.data.schema import Field


class Episode:
    """A finished episode. `episode["hand_q"]` is the array (steps, joints) of a field, read-only.

    The arrays of a file that is not compressed are mapped into memory: the system reads what is used, and forgets it
    when memory is short. Those of a compressed file are read whole when they are first asked for, and kept.

    Args:
        path: of the file.

    Raises:
        EpisodeFileError: it cannot be read, or is not the whole file of an episode.
        ValueError: it is of another version.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._about: About = read_about(self.path)
        self._arrays: dict[str, NDArray[Any]] = {}

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        return self.path.stem

    @property
    def number(self) -> int:
        """Number of the episode in its folder."""
        return int(self.name.rpartition("_")[2])

    @property
    def header(self) -> Header:
        """What was known before it began."""
        return self._about.header

    @property
    def outcome(self) -> Outcome:
        """What came of it."""
        return self._about.outcome

    @property
    def fields(self) -> dict[str, Field]:
        """Fields of its steps."""
        return self._about.fields

    @property
    def compressed(self) -> bool:
        """Whether its file is small rather than fast."""
        return self._about.compressed

    def __len__(self) -> int:
        """Return the number of steps."""
        return self._about.steps

    def __repr__(self) -> str:
        return f"<Episode {self.name}: {len(self)} steps, {self.outcome.mark}>"

    def __getitem__(self, field: str) -> NDArray[Any]:
        """Return the array of a field, with a row for each step.

        Raises:
            KeyError: there is no such field; the message lists them.
            EpisodeFileError: the file is not as it was when it was opened.
        """
        if field not in self.fields:
            raise KeyError(f"no field {field!r}; {self.name} has {', '.join(self.fields)}")
        if not self._arrays:
            self._map()
        if field not in self._arrays:
            with opened(self.path) as file:
                self._arrays[field] = _readonly(file[STEPS][field][()])
        return self._arrays[field]

    def touch(self) -> NDArray[np.float32]:
        """Return the forces on the taxels without the bias (steps, fingers, taxels, 3).

        They are in N, or in counts where the header has no scale.
        """
        counts = self["tactile"].astype(np.float32) - self.header.tactile_bias
        return counts if self.header.tactile_scale is None else counts * np.float32(self.header.tactile_scale)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_arrays": {}}  # or a worker of a DataLoader would be sent the data

    def _map(self) -> None:
        """Map the file into memory and find its fields there, if they are not compressed."""
        content = np.memmap(self.path, np.uint8, "r")
        arrays = {}
        with opened(self.path) as file:
            for name, field in self.fields.items():
                dataset = file[f"{STEPS}/{name}"]
                if not isinstance(dataset, h5py.Dataset):
                    raise EpisodeFileError(f"{self.path} is damaged: {name} is no dataset; move it elsewhere")
                shape = (len(self), *field.shape)
                if dataset.shape != shape or dataset.dtype != np.dtype(field.dtype):
                    raise EpisodeFileError(
                        f"{self.path} is damaged: {name} has {dataset.dtype} {dataset.shape} instead of {field.dtype} "
                        f"{shape}; move it elsewhere, or put a copy of it in its place"
                    )
                start = dataset.id.get_offset()
                if start is not None:
                    flat = content[start : start + dataset.nbytes].view(dataset.dtype)
                    arrays[name] = _readonly(flat.reshape(dataset.shape).view(np.ndarray))
        self._arrays = arrays  # once all are as the file says


class Demonstrations(Sequence[Episode]):
    """Episodes of one task and hand, in the order of their numbers.

    Opening reads what is said of the episodes, not their steps.

    Args:
        folder: of the data set.

    Raises:
        FolderError: there is no such folder, it holds no finished episode, its episodes do not belong together, or one
            has a name that no recorder gives.
        EpisodeFileError: a file is not the whole file of an episode.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._episodes = [Episode(path) for path in numbered(self.folder).values()]
        if not self._episodes:
            logs = numbers_text(numbered(self.folder, LOG))
            rest = f", but unfinished ones ({logs}): record into the folder again, which recovers them" if logs else ""
            raise FolderError(f"{self.folder} holds no finished episode{rest}")
        first = self._episodes[0]
        for episode in self._episodes[1:]:
            differing = differences(first.header, first.fields, episode.header, episode.fields)
            if differing:
                raise FolderError(
                    f"{self.folder} holds episodes that do not belong together: {episode.name} has "
                    f"{'; '.join(differing)}, as {first.name} has; move one of them elsewhere"
                )

    @property
    def header(self) -> Header:
        """Header of the first episode: what is named in `SHARED` holds for all."""
        return self._episodes[0].header

    @property
    def fields(self) -> dict[str, Field]:
        """Fields of every episode."""
        return self._episodes[0].fields

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self._episodes)

    def __iter__(self) -> Iterator[Episode]:
        return iter(self._episodes)

    def __getitem__(self, index: Any) -> Any:
        """Return the episode at a place, from 0 on, or a list of episodes for a slice."""
        return self._episodes[index]

    def episode(self, number: int) -> Episode:
        """Return the episode of a number.

        Raises:
            KeyError: there is none; the message lists the numbers.
        """
        for episode in self._episodes:
            if episode.number == number:
                return episode
        raise KeyError(f"no episode {number} in {self.folder}; there are {numbers_text(e.number for e in self)}")

    def where(
        self,
        *,
        mark: str | None = None,
        shape: str | None = None,
        progress: float | None = None,
        test: Callable[[Episode], bool] | None = None,
    ) -> list[Episode]:
        """Return the episodes that meet all conditions.

        Args:
            mark: success, failure or none.
            shape: shape of the nut or of the handle.
            progress: the least share of the turns needed; episodes of which that is not known do not meet it.
            test: any other condition.

        Raises:
            ValueError: the mark or the shape is one that no episode can have, or has.
        """
        if mark is not None and mark not in MARKS:
            raise ValueError(f"mark must be one of {', '.join(MARKS)}, got {mark!r}")
        shapes = sorted({episode.header.shape for episode in self})
        if shape is not None and shape not in shapes:
            raise ValueError(f"no episode of the shape {shape!r} in {self.folder}; there are {', '.join(shapes)}")
        if progress is not None and not 0.0 <= progress <= 1.0:
            raise ValueError(f"progress must lie between 0 and 1, got {progress!r}")

        def meets(episode: Episode) -> bool:
            made = episode.outcome.progress
            return (
                mark in (None, episode.outcome.mark)
                and shape in (None, episode.header.shape)
                and (progress is None or (made is not None and made >= progress))
                and (test is None or test(episode))
            )

        return [episode for episode in self if meets(episode)]


def _readonly(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
