"""A recorded session with an emulated Quest 2, played back: arm, press, move, skill on, cut, reconnect, discard."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import numpy as np

from real.teleop.web.inputs import Inputs
from real.teleop.web.link import LinkLimits
from real.teleop.web.message import Message

RECORDING = Path(__file__).with_name("quest2.jsonl.gz")
PATIENT = LinkLimits(silence=2.0, age=1.5)  # as when it was recorded, on a busy machine


def play(step: float = 0.05):
    """Return the orders of every control step, with their times (s)."""
    now = 0.0
    inputs = Inputs(PATIENT, lambda: now)
    orders, due = [], step
    with gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        for at, event, *content in map(json.loads, lines):
            while due <= at:
                now = due
                orders.append((now, inputs.orders()))
                due += step
            now = at
            getattr(inputs, event)(*(msgspec.convert(each, Message) for each in content))
    return orders


def spans(orders, name):
    """Return beginnings and ends of the time for which a field of the orders is true (s)."""
    on = np.array([False, *(bool(getattr(each, name)) for _, each in orders), False])
    times = [time for time, _ in orders]
    changes = np.flatnonzero(on[1:] != on[:-1])
    return [(times[a], times[b - 1]) for a, b in zip(changes[::2], changes[1::2], strict=True)]


def test_the_session_gives_the_same_orders_as_when_it_was_recorded():
    orders = play()
    assert np.allclose(spans(orders, "fresh"), [(1.95, 4.15), (4.65, 6.7)], atol=0.11)
    assert np.allclose(spans(orders, "clutch"), [(2.15, 4.15), (5.3, 6.0)], atol=0.11)
    assert len(spans(orders, "skill")) == 1 and spans(orders, "skill")[0][1] < 4.2
    assert [each.mark for _, each in orders if each.mark] == ["discard"]


def test_the_wrist_follows_what_the_hand_did_while_the_clutch_was_held():
    orders = play()
    moved = []
    for begin, end in spans(orders, "clutch"):
        x = [each.wrist[0, 3] for time, each in orders if begin <= time <= end]
        moved.append(x[-1] - x[0])
        assert np.abs(np.diff(x)).max() < 0.06
    assert np.allclose(moved, [0.1, 0.05], atol=1e-3)
