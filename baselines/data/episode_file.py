"""The file of a finished episode: HDF5, written once, behind a first block that holds its checksum.

HDF5 lets a file begin with a block of the user's. Ours is a line of text with the size and the checksum of the rest, so
that a change of any byte is found. Datasets are contiguous, so that they can be mapped into memory, or compressed, for
sets that are passed on.
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

_FORMAT, _VERSION = "dexscrew-episode", 1
_REMEDY = "read it with the version that recorded it"
_BLOCK = 512  # bytes; the smallest that HDF5 allows
_SEAL = re.compile(rb"dexscrew-episode bytes (\d+) crc32 ([0-9a-f]{8})\n\0*")


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
    image = io.BytesIO()  # a full disk then ends in one way, not in HDF5's many
    options = {"compression": "gzip", "shuffle": True} if compressed else {}
    with h5py.File(image, "w", userblock_size=_BLOCK) as file:
        file.attrs.update(format=_FORMAT, version=_VERSION, steps=len(columns[TIME]), compressed=compressed)
        # Datasets, since attributes end at 64 kB.
        file["header"] = to_json(record_to_json(header), indent=1)
        file["outcome"] = to_json(record_to_json(outcome), indent=1)
        file["fields"] = to_json(fields_to_json(fields), indent=1)
        for name, field in fields.items():
            dataset = file.create_dataset(f"{STEPS}/{name}", data=np.ascontiguousarray(columns[name]), **options)
            dataset.attrs.update(unit=field.unit, meaning=field.meaning)
    rest = image.getvalue()[_BLOCK:]
    seal = b"dexscrew-episode bytes %d crc32 %08x\n" % (len(rest), zlib.crc32(rest))
    write_bytes(seal.ljust(_BLOCK, b"\0") + rest, path)
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
    """Open the file of an episode for reading.

    Raises:
        FileNotFoundError: there is none.
        EpisodeFileError: it is not the whole file of an episode.
        ValueError: it is of another version.
    """
    with open(path, "rb") as file:
        _check_size(path, file.read(_BLOCK), os.fstat(file.fileno()).st_size)
    try:
        with h5py.File(path, "r") as file:
            check_version(int(file.attrs["version"]), _VERSION, path, "an episode", _REMEDY)
            yield file
    except (OSError, KeyError, RuntimeError) as error:  # as h5py calls damage
        raise _damaged(path, f"HDF5 cannot read it ({error})") from error


def read_about(path: Path) -> About:
    """Return what a file says of its episode, without the steps.

    Raises:
        as `opened`.
    """
    with opened(path) as file:
        try:
            texts = {name: json.loads(file[name][()]) for name in ("header", "outcome", "fields")}
            return About(
                record_from_json(Header, texts["header"]), record_from_json(Outcome, texts["outcome"]),
                fields_from_json(texts["fields"]), int(file.attrs["steps"]), bool(file.attrs["compressed"]),
            )  # fmt: skip
        except (SchemaError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise _damaged(path, str(error)) from error


def check_sum(path: Path) -> None:
    """Compare every byte of a file with its checksum.

    Raises:
        OSError: it cannot be read.
        EpisodeFileError: it is not the file of an episode, or is not as it was written.
    """
    data = memoryview(path.read_bytes())
    checksum = _check_size(path, bytes(data[:_BLOCK]), len(data))
    if zlib.crc32(data[_BLOCK:]) != checksum:
        raise _damaged(path, "its content does not match its checksum")


def _check_size(path: Path, block: bytes, size: int) -> int:
    """Return the checksum in a file's first block, if the file has the size that stands beside it."""
    seal = _SEAL.fullmatch(block)
    if seal is None:
        raise EpisodeFileError(
            f"{path} is not an episode of DexScrew, or its first block is damaged; move it elsewhere"
        )
    if size != _BLOCK + int(seal[1]):
        raise _damaged(path, f"it has {size} bytes instead of {_BLOCK + int(seal[1])}")
    return int(seal[2], 16)


def _damaged(path: Path, how: str) -> EpisodeFileError:
    return EpisodeFileError(f"{path} is damaged: {how}; move it elsewhere, or put a copy of it in its place")
