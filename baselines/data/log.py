"""The log of an episode while it runs: nothing but appended to, so that a process killed at any moment loses nothing.

The first line holds a checksum and, in JSON, the header and the fields. Records of one size follow, a step each: a
running number, a checksum, and the fields. When the episode has ended, a last line like the first holds its outcome.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.data.header import Header, Outcome, record_from_json, record_to_json
from baselines.data.schema import (
    TIME,
    Field,
    Fields,
    SchemaError,
    fields_from_json,
    fields_to_json,
    row_dtype,
    write_row,
)  # fmt: skip
from baselines.stored import check_version
from dexscrew_envs.files import WriteError, to_json, write_bytes

SYNC_PERIOD = 1.0
"""Time between requests to the disk to keep what was written (s): as much as a power failure loses."""

_FORMAT, _VERSION = "dexscrew-log", 1
_REMEDY = "finish the episode with the version that recorded it"
_CHECKED = 4  # a record's checksum is that of all but its first bytes, which hold it


class LogError(ValueError):
    """A file is not the log of an episode, or its first line is damaged."""


def record_dtype(fields: Fields) -> np.dtype:
    """Return the type of a record: a checksum (CRC-32) of the rest, the running number, and the fields."""
    return np.dtype([("checksum", "<u4"), ("number", "<u4"), ("row", row_dtype(fields))])


class LogWriter:
    """Appends the steps of an episode to its log.

    Every step is with the operating system when `append` returns, which keeps it through any end of the process. A
    thread asks the disk once a second to keep it through a failure of the power.

    Args:
        path: of the log; there must be none.
        header: of the episode.
        fields: of its steps.

    Raises:
        WriteError: the disk is full, or fails.
    """

    def __init__(self, path: Path, header: Header, fields: Fields) -> None:
        self.path = path
        self.steps = 0
        self._fields = fields
        self._record = np.zeros((), record_dtype(fields))
        self._time = -np.inf
        about = {"format": _FORMAT, "version": _VERSION, "header": record_to_json(header)}
        first = _line({**about, "fields": fields_to_json(fields)})
        write_bytes(first, path)  # whole or not at all, so that every log has its header
        self._file = os.open(path, os.O_WRONLY)
        self._end = len(first)
        self._failure: OSError | None = None
        self._closed = threading.Event()
        self._syncer = threading.Thread(target=self._sync, name="log", daemon=True)
        self._syncer.start()

    def append(self, values: Mapping[str, Any]) -> None:
        """Append a step.

        Args:
            values: by field, what `np.asarray` takes.

        Raises:
            SchemaError: a value is not what its field wants; nothing was written.
            WriteError: the disk is full, or fails; the steps before are kept, and the step may be appended again.
        """
        if self._failure is not None:
            raise self._unwritable(self._failure)
        write_row(self._fields, values, self._record["row"])
        time = float(self._record["row"][TIME])
        if time <= self._time:
            raise SchemaError(f"{TIME} must grow from step to step, got {time} after {self._time}")
        self._record["number"] = self.steps
        checked = self._record.tobytes()[_CHECKED:]
        self._write(zlib.crc32(checked).to_bytes(_CHECKED, "little") + checked)
        self.steps += 1
        self._time = time

    def end(self, outcome: Outcome) -> None:
        """Append the outcome, and have the disk keep all.

        Raises:
            WriteError: the disk is full, or fails; the steps are kept.
        """
        last = _line(record_to_json(outcome))
        try:
            os.ftruncate(self._file, self._end)  # what a full disk took of one more step
            self._write(last)
            self._end -= len(last)  # it may be said again
            os.fsync(self._file)
        except WriteError:
            raise
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Have the disk keep all, and close the file; the log stays."""
        if not self._closed.is_set():
            self._closed.set()
            self._syncer.join()
            with suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)

    def _write(self, data: bytes) -> None:
        """Write at the end of what is whole, over what an interrupted or failed attempt left there."""
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._file, memoryview(data)[written:], self._end + written)
        except OSError as error:
            raise self._unwritable(error) from error
        self._end += len(data)

    def _sync(self) -> None:
        while not self._closed.wait(SYNC_PERIOD):
            try:
                os.fsync(self._file)
            except OSError as error:
                self._failure = error
                return

    def _unwritable(self, error: OSError) -> WriteError:
        free = shutil.disk_usage(self.path.parent).free
        return WriteError(
            f"cannot write {self.path}: {error.strerror or error}, after {self.steps} steps ({free / 1e6:.1f} MB free "
            f"there; a step needs {self._record.nbytes / 1e3:.1f} kB, a finished episode as much again as its log): "
            "free some space and go on"
        )


@dataclass(frozen=True)
class Log:
    """What a log holds."""

    header: Header
    fields: dict[str, Field]
    rows: NDArray[np.void]
    """(steps,) of `row_dtype`: the steps up to the first that is not whole."""
    outcome: Outcome | None
    """None where the episode was cut off."""
    torn: int
    """Bytes of a last step that was not written to its end."""
    damaged: bool
    """Whether whole steps, or an outcome, follow one that is not: then the file was changed after it was written."""


def read_log(path: Path) -> Log:
    """Read the log of an episode, whether it was finished or cut off; change nothing.

    Raises:
        OSError: it cannot be read; the message is a sentence.
        LogError: it is none, or its first line is damaged.
        ValueError: it is of another version.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror}") from error
    first, newline, _ = data.partition(b"\n")
    about = _read_line(first + newline)
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise LogError(f"{path} is not the log of an episode, or its first line is damaged; move it elsewhere")
    check_version(about.get("version"), _VERSION, path, "the log of an episode", _REMEDY)
    try:
        fields, header = fields_from_json(about.get("fields")), record_from_json(Header, about.get("header"))
    except SchemaError as error:
        raise LogError(f"{path}: {error}") from error
    dtype = record_dtype(fields)
    body = memoryview(data)[len(first) + 1 :]
    records = np.frombuffer(body, dtype, count=len(body) // dtype.itemsize)
    sound = [
        record["number"] == k and zlib.crc32(body[k * dtype.itemsize + _CHECKED : (k + 1) * dtype.itemsize]) == checksum
        for k, (record, checksum) in enumerate(zip(records, records["checksum"], strict=True))
    ]
    steps = sound.index(False) if False in sound else len(sound)
    ends = [_read_line(body[k * dtype.itemsize :]) for k in range(steps, len(records) + 1)]
    end = next((k for k, content in enumerate(ends) if content is not None), None)
    return Log(
        header=header,
        fields=fields,
        rows=records["row"][:steps],
        outcome=record_from_json(Outcome, ends[end]) if end is not None else None,
        torn=len(body) - steps * dtype.itemsize if end is None else 0,
        damaged=any(sound[steps:]) or (end is not None and end > 0),
    )


def _line(content: Any) -> bytes:
    text = to_json(content).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _read_line(line: bytes | memoryview) -> Any:
    """Return the content of a line, or None if it is not whole."""
    text = line[9:-1]
    if line[8:9] != b" " or line[-1:] != b"\n" or line[:8] != b"%08x" % zlib.crc32(text):
        return None
    return json.loads(bytes(text))
