"""MCAP, which viewers of robot logs read: one file an episode, one topic a field, messages in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import Writer

from baselines.data.export.folder import new_folder
from baselines.data.header import record_to_json
from baselines.data.reader import Episode
from baselines.data.schema import TIME, Field
from baselines.progress import Progress
from dexscrew_envs.files import to_json

_NANOSECONDS = 1_000_000_000


def export(episodes: Sequence[Episode], out: Path) -> None:
    """Write each episode as an MCAP file, named as its own.

    A message holds `value`, a number or a list: a field of one step, flattened. NaN is null.

    Args:
        episodes: of one data set.
        out: the folder to make.

    Raises:
        ExportError: there is something at `out`.
        EpisodeFileError: an episode is damaged.
        WriteError: the disk is full, or fails.
    """
    with new_folder(out, episodes) as folder, Progress(episodes, desc="export", unit="episode", delay=1.0) as bar:
        for episode in bar:
            with open(folder / f"{episode.name}.mcap", "wb") as file:
                _write(Writer(file), episode)


def _write(writer: Writer, episode: Episode) -> None:
    writer.start(profile="", library="dexscrew")
    about = {"header": record_to_json(episode.header), "outcome": record_to_json(episode.outcome)}
    writer.add_metadata("dexscrew", {name: to_json(content) for name, content in about.items()})
    channels = {}
    for name, field in episode.fields.items():
        if name != TIME:
            schema = writer.register_schema(name, "jsonschema", to_json(_schema(field)).encode())
            channels[name] = writer.register_channel(topic=f"/{name}", message_encoding="json", schema_id=schema)
    times = np.round(episode[TIME] * _NANOSECONDS).astype(np.int64)
    for step, time in enumerate(times - min(times[0], 0)):  # MCAP's times are not negative
        for name, channel in channels.items():
            value = episode[name][step]
            message = to_json({"value": value.ravel() if value.ndim else value}).encode()
            writer.add_message(channel, log_time=int(time), publish_time=int(time), sequence=step, data=message)
    writer.finish()


def _schema(field: Field) -> dict[str, Any]:
    """Return the JSON schema of a field's messages."""
    kinds = ["number", "null"] if field.optional else "number"
    value = {"type": "array", "items": {"type": kinds}} if field.shape else {"type": kinds}
    unit = f" ({field.unit})" if field.unit else ""
    return {"type": "object", "description": f"{field.meaning}{unit}", "properties": {"value": value}}
