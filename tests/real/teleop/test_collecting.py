"""Episodes are recorded in their order, whatever ends first."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from test_resuming import FIELDS, HEADER, SETUP

from baselines.data.header import Outcome
from baselines.data.reader import Demonstrations
from baselines.data.writer import Recorder
from real.teleop import collect
from real.teleop.collect import Collected
from real.teleop.finger_skill import Noise

JOBS = [(shape, seed) for shape in ("cross", "square") for seed in range(5)]


@pytest.fixture
def in_threads(monkeypatch):
    @contextmanager
    def pool(count):
        with ThreadPoolExecutor(count) as workers:
            yield workers

    monkeypatch.setattr(collect, "pool", pool)


def episode(setup, seed):
    """The first ends last."""
    time.sleep(0.1 if seed == 0 else 0.0)
    rows = [{"time": 0.05 * k, "x": [seed, k]} for k in range(2)]
    return Collected(Noise(), np.zeros((1, 1, 3), np.int16), rows, Outcome(mark="success"))


def test_the_same_call_gives_the_same_data_set(tmp_path, in_threads):
    with Recorder(tmp_path, HEADER, FIELDS) as recorder:
        done = list(collect.collect(SETUP, recorder, JOBS, episode, processes=2))
    assert [job for job, _ in done] == JOBS
    assert [(found.header.shape, found.header.seed) for found in Demonstrations(tmp_path)] == JOBS


def test_what_fails_leaves_the_episodes_before_it(tmp_path, in_threads):
    def fails(setup, seed):
        if seed == 3:
            raise RuntimeError("no")
        return episode(setup, seed)

    with Recorder(tmp_path, HEADER, FIELDS) as recorder, pytest.raises(RuntimeError, match="no"):
        list(collect.collect(SETUP, recorder, JOBS, fails, processes=2))
    assert [(found.header.shape, found.header.seed) for found in Demonstrations(tmp_path)] == JOBS[:3]
