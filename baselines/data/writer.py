"""The recorder: logs an episode while it runs, and makes one file of it at the end.

Nothing that was recorded is lost, however the process ends: the next recorder of the folder finishes what was cut off.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from baselines.data.episode_file import About, read_about, sync_folder
from baselines.data.folder import (
    LOG,
    FolderError,
    differences,
    episode_path,
    is_dataset,
    numbered,
    take_number,
)  # fmt: skip
from baselines.data.header import SHARED, Header, Outcome
from baselines.data.log import Log, LogWriter, read_log, record_dtype
from baselines.data.recovery import finish_log, recover
from baselines.data.schema import Fields, SchemaError, checked_fields
from dexscrew_envs.files import WriteError, check_folder, claimed, holds_nothing

ROOM_SECONDS = 300.0
"""An episode begins only if the disk has room for one of this length (s), the longest trial of the paper."""


class RecorderError(RuntimeError):
    """The recorder was used out of turn."""


class Recorder:
    """Records episodes into a folder, which it has to itself; for use by one thread.

    A context manager: leaving it closes the recorder. An episode that is neither finished nor discarded by then is
    kept as it is, and the next recorder of the folder makes a file of it.

    Args:
        folder: of the data set; made if there is none.
        header: of the first episode; `begin` changes it for each.
        fields: of the steps.

    Raises:
        FolderError: the folder holds something else, or the data of another task, hand, period or of other fields; or
            an episode has a name that no recorder gives.
        BusyError: another program has the folder.
        ValueError: the folder cannot be written.
        SchemaError: the fields cannot be recorded.
        WriteError: the disk is full, or fails.
    """

    def __init__(self, folder: Path | str, header: Header, fields: Fields) -> None:
        self.folder = Path(folder)
        self.fields = checked_fields(fields)
        self.header = header
        _check_sizes(header, self.fields)
        self.recovered: tuple[str, ...] = ()
        """What was found unfinished, and what became of it: a sentence each."""
        self._log: LogWriter | None = None
        self._number = -1
        self._open = True
        _check_kind(self.folder)
        with ExitStack() as stack:
            stack.enter_context(claimed(self.folder))
            self._check_folder()
            self.recovered = tuple(recover(path) for path in numbered(self.folder, LOG).values())
            self._claim = stack.pop_all()

    @property
    def number(self) -> int | None:
        """Number of the episode that is being recorded, or None."""
        return self._number if self._log is not None else None

    @property
    def steps(self) -> int:
        """Steps of the episode so far."""
        return self._log.steps if self._log is not None else 0

    def begin(self, **changes: Any) -> int:
        """Begin an episode.

        Args:
            changes: fields of its header that differ from the recorder's, such as `seed`.

        Returns:
            Its number, which no other episode of the folder ever has.

        Raises:
            RecorderError: an episode has begun already, or the recorder is closed.
            SchemaError: a field of the header is unknown, cannot change within a folder, or has a wrong value.
            FolderError: the folder has no number left, or an episode has a name that no recorder gives.
            WriteError: the disk fails, or has no room for an episode of five minutes.
        """
        if self._log is not None:
            raise RecorderError(f"episode {self._number} has not ended; finish or discard it before the next")
        if not self._open:
            raise RecorderError("the recorder is closed; make another one")
        fixed = sorted({*SHARED, "id", "recorded"} & changes.keys())
        if fixed:
            raise SchemaError(f"{', '.join(fixed)} cannot differ between the episodes of a recorder")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            header = replace(self.header, **changes, id=uuid.uuid4().hex, recorded=now)
        except TypeError as error:
            raise SchemaError(f"the header has no such field: {error}") from error
        _check_sizes(header, self.fields)
        self.check_room()
        number = take_number(self.folder)
        self._log = LogWriter(episode_path(self.folder, number, LOG), header, self.fields)
        sync_folder(self.folder)
        self._number = number
        return number

    def check_room(self) -> None:
        """Refuse to begin where the disk has no room for an episode of five minutes.

        Raises:
            WriteError: it has none; the message says how much is needed.
        """
        steps = ROOM_SECONDS / self.header.period
        needed = 2 * steps * record_dtype(self.fields).itemsize  # the log, and the file that is made of it
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise WriteError(
                f"cannot record into {self.folder}: {free / 1e6:.1f} MB are free there, and an episode of "
                f"{ROOM_SECONDS:.0f} s needs {needed / 1e6:.1f} MB; free some space, or give another folder"
            )

    def append(self, values: Mapping[str, Any]) -> None:
        """Record a step; it survives any end of this process from now on.

        Args:
            values: by field, what `np.asarray` takes.

        Raises:
            RecorderError: no episode has begun.
            SchemaError: a value is not what its field wants; nothing was recorded, and the episode goes on.
            WriteError: the disk is full, or fails; the steps before are kept, and the step may be appended again.
        """
        self._running().append(values)

    def finish(self, outcome: Outcome) -> Path:
        """End the episode and make one file of it.

        Returns:
            The path of the file; it has a new number if a file of another episode came to have its own.

        Raises:
            RecorderError: no episode has begun, or it has no step.
            SchemaError: the outcome is no Outcome.
            FolderError: it needs a new number, and the folder has none.
            WriteError: the disk is full, or fails. All that was recorded is kept: call it again, or let the next
                recorder of the folder finish it.
        """
        log = self._running()
        if not isinstance(outcome, Outcome):
            raise SchemaError(f"outcome must be an Outcome, got {type(outcome).__name__}")
        if not log.steps:
            raise RecorderError(f"episode {self._number} has no step; discard it")
        log.end(outcome)
        path = finish_log(log.path)
        self._forget()
        return path

    def discard(self) -> None:
        """End the episode and keep nothing of it."""
        path = self._running().path
        self._forget()
        path.unlink()

    def close(self) -> None:
        """Leave the folder to others; an episode that has not ended is kept for the next recorder to finish."""
        self._open = False
        self._forget()
        self._claim.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> LogWriter:
        if self._log is None:
            raise RecorderError("no episode has begun; call begin first")
        return self._log

    def _forget(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _check_folder(self) -> None:
        """Refuse a folder whose newest episode, or one that was cut off, is of another data set."""
        logs, finished = numbered(self.folder, LOG), numbered(self.folder)
        newest = [path for number, path in finished.items() if number not in logs][-1:]
        found: list[tuple[Path, About | Log]] = [(path, read_about(path)) for path in newest]
        for path in logs.values():
            with suppress(ValueError):  # it will be set aside
                found.append((path, read_log(path)))
        for path in (finished[number] for number in logs if number in finished):
            with suppress(ValueError):  # it will be left as it is
                found.append((path, read_about(path)))
        for path, about in found:
            differing = differences(self.header, self.fields, about.header, about.fields)
            if differing:
                raise FolderError(
                    f"{self.folder} holds other data: {path.name} has {'; '.join(differing)}; give another folder"
                )


def check_recordable(folder: Path) -> None:
    """Refuse a folder that no recorder could have now, before the work that comes first; a missing one is not made.

    Raises:
        FolderError: the folder holds something else.
        BusyError: another program has the folder.
        ValueError: the folder cannot be written.
    """
    _check_kind(folder)
    if folder.is_dir():
        with claimed(folder):
            pass


def _check_kind(folder: Path) -> None:
    check_folder(folder)
    if not holds_nothing(folder) and not is_dataset(folder):
        raise FolderError(f"{folder} is not empty and holds no episodes; give another folder")


def _check_sizes(header: Header, fields: Fields) -> None:
    """Refuse a header whose joints, fingers or taxels are not those of the fields."""
    if not isinstance(header, Header):
        raise SchemaError(f"header must be a Header, got {type(header).__name__}")
    expected = {
        "hand_q": (len(header.joints),), "tactile": header.tactile_bias.shape, "resultant": (len(header.fingers), 3),
    }  # fmt: skip
    for name, shape in expected.items():
        if name in fields and fields[name].shape != shape:
            raise SchemaError(
                f"the field {name} has the shape {fields[name].shape}, but by the joints, the fingers and the tactile "
                f"bias of the header it must be {shape}"
            )
