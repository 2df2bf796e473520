"""Small demonstrations: a hand of three joints and two fingers with two taxels each."""

from __future__ import annotations

import numpy as np

from baselines.data.header import Header, Outcome
from baselines.data.schema import Field, step_fields
from baselines.data.writer import Recorder

JOINTS, FINGERS, TAXELS, PERIOD = ("a", "b", "c"), ("thumb", "index"), 2, 0.05
FIELDS = step_fields(len(JOINTS), len(FINGERS), taxels=TAXELS)
TINY = {"time": FIELDS["time"], "x": Field("float32", (2,), "m", "a place"), "n": Field("int16", (), "", "a number")}


def header(**changes) -> Header:
    """A header of a demonstration."""
    bias = np.arange(len(FINGERS) * TAXELS * 3).reshape(len(FINGERS), TAXELS, 3)
    given = {"task": "nut", "shape": "square", "hand": "small", "joints": JOINTS, "fingers": FINGERS, "robot": "twin",
             "period": PERIOD, "tactile_bias": bias, "tactile_scale": 0.1}  # fmt: skip
    return Header(**given | changes)


def step(number: int, episode: int = 0, fields=FIELDS) -> dict:
    """A step whose values tell field, episode and step apart."""
    values = {}
    for k, (name, field) in enumerate(fields.items()):
        size = int(np.prod(field.shape))
        values[name] = (np.arange(size).reshape(field.shape) + 7 * k + 50 * episode + number).astype(field.dtype)
    return values | {"time": 100.0 * episode + number * PERIOD}


def record(folder, lengths, *, fields=FIELDS, changes=({},), **header_changes) -> None:
    """Record finished episodes of these lengths."""
    with Recorder(folder, header(**header_changes), fields) as recorder:
        for k, steps in enumerate(lengths):
            episode = recorder.begin(seed=k, **changes[k % len(changes)])
            for number in range(steps):
                recorder.append(step(number, episode, fields))
            recorder.finish(Outcome(mark=("success", "failure")[k % 2], turns=float(k), needed=4.0))


def cut_off(folder, steps, *, fields=TINY, outcome: Outcome | None = None):
    """Record an episode that is cut off; return the path of its log."""
    with Recorder(folder, header(), fields) as recorder:
        recorder.begin()
        for number in range(steps):
            recorder.append(step(number, fields=fields))
        path = recorder._log.path
        if outcome is not None:
            recorder._log.end(outcome)
    return path
