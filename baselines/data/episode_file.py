"""The file of a finished episode: HDF5, written once, behind a block of text that seals and describes it.

HDF5 lets a file begin with a block of the user's. The first line of ours holds the size and the checksum of the rest,
so that a change of any byte is found. The second says in JSON what the episode is, so that a large set opens fast,
without HDF5. Datasets are contiguous, so that they can be mapped into memory; those of sets that are passed on can be
compressed.
"""

from __future__ import annotations

import io
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from baselines.data.header import Header, Outcome, record_from_json, record_to_json
from baselines.data.schema import TIME, Field, Fields, SchemaError, fields_from_json, fields_to_json
from baselines.stored import check_version
from dexscrew_envs.files import to_json, write_bytes

STEPS = "steps"
"""The group of the datasets, one a field, with a row for each step."""

_VERSION = 1
_REMEDY = "read it with the version that recorded it"
_SMALLEST_BLOCK = 512  # bytes; HDF5 takes this, or twice as much, and so on
_SEAL = re.compile(rb"dexscrew-episode (\d+) bytes (\d+) crc32 ([0-9a-f]{8})\n")
_SEAL_TEXT = b"dexscrew-episode %d bytes %012d crc32 %08x\n"
_SEAL_LIMIT = 100  # bytes; longer than any


class EpisodeFileError(ValueError):
    """A file is not an episode, or is damaged; the message says what to do."""


@dataclass(frozen=True)
class About:
    """What a file says of its episode."""

    header: Header
    outcome: Outcome
    fields: dict[str, Field]
    steps: int
    compressed: bool


def write_episode(
    path: Path,
    header: Header,
    outcome: Outcome,
    fields: Fields,
    columns: Mapping[str, NDArray[Any]],
    *,
    compressed: bool = False,
) -> None:
    """Write an episode, whole or not at all.

    Args:
        path: of the file.
        header: of the episode.
        outcome: what came of it.
        fields: of its steps.
        columns: by field, its values (steps, ...).
        compressed: whether to make the file small rather than fast.

    Raises:
        WriteError: the disk is full, or fails.
    """
    about = to_json(
        {
            "header": record_to_json(header),
            "outcome": record_to_json(outcome),
            "fields": fields_to_json(fields),
            "steps": len(columns[TIME]),
            "compressed": compressed,
        }
    )
    block = max(_SMALLEST_BLOCK, 1 << (_SEAL_LIMIT + len(about)).bit_length())
    image = io.BytesIO()  # a full disk then ends in one way, not in HDF5's many
    options = {"compression": "gzip", "shuffle": True} if compressed else {}
    with h5py.File(image, "w", userblock_size=block) as file:
        file["about"] = about  # for other readers; not an attribute, since those end at 64 kB
        for name, field in fields.items():
            dataset = file.create_dataset(f"{STEPS}/{name}", data=np.ascontiguousarray(columns[name]), **options)
            dataset.attrs.update(unit=field.unit, meaning=field.meaning)
    content = image.getvalue()[block:]
    seal_size = len(_SEAL_TEXT % (_VERSION, 0, 0))
    text = about.encode() + b"\n"
    rest = text.ljust(block - seal_size, b"\0") + content
    write_bytes(_SEAL_TEXT % (_VERSION, len(rest), zlib.crc32(rest)) + rest, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk keep the names of a folder's files."""
    if os.name == "nt":  # which cannot open a folder, and needs no such thing
        return
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open the steps of an episode for reading.

    Raises:
        EpisodeFileError: HDF5 cannot read it.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:  # as h5py calls damage
        raise _damaged(path, f"HDF5 cannot read it ({error})") from error


def read_about(path: Path) -> About:
    """Return what a file says of its episode, without the steps.

    Raises:
        EpisodeFileError: it cannot be read, or is not the whole file of an episode.
        ValueError: it is of another version.
    """
    try:
        with open(path, "rb") as file:
            line, text, size = file.readline(_SEAL_LIMIT), file.readline(), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise EpisodeFileError(f"cannot read {path}: {error.strerror}") from error
    _read_seal(path, line, size)
    try:
        about = json.loads(text)
        steps = about["steps"]
        if type(steps) is not int or steps < 1:
            raise SchemaError(f"steps must be a positive integer, got {steps!r}")
        return About(
            header=record_from_json(Header, about["header"]),
            outcome=record_from_json(Outcome, about["outcome"]),
            fields=fields_from_json(about["fields"]),
            steps=steps,
            compressed=bool(about["compressed"]),
        )
    except (SchemaError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def check_sum(path: Path) -> None:
    """Compare every byte of a file with its checksum.

    Raises:
        EpisodeFileError: it cannot be read, is not the file of an episode, or is not as it was written.
        ValueError: it is of another version.
    """
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise EpisodeFileError(f"cannot read {path}: {error.strerror}") from error
    first = bytes(data[:_SEAL_LIMIT]).partition(b"\n")[0] + b"\n"
    if zlib.crc32(data[len(first) :]) != _read_seal(path, first, len(data)):
        raise _damaged(path, "its content does not match its checksum")


def _read_seal(path: Path, line: bytes, size: int) -> int:
    """Return the checksum in a file's first line, if the file has the version and the size that stand beside it."""
    seal = _SEAL.fullmatch(line)
    if seal is None:
        raise EpisodeFileError(f"{path} is not an episode of DexScrew, or its first line is damaged; move it elsewhere")
    check_version(int(seal[1]), _VERSION, path, "an episode", _REMEDY)
    expected = len(line) + int(seal[2])
    if size != expected:
        raise _damaged(path, f"it has {size} bytes instead of {expected}")
    return int(seal[3], 16)


def _damaged(path: Path, how: str) -> EpisodeFileError:
    return EpisodeFileError(f"{path} is damaged: {how}; move it elsewhere, or put a copy of it in its place")
