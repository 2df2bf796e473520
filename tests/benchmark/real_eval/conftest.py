from __future__ import annotations

import sys
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from benchmark.real_eval import on_twin

sys.path.append(str(Path(__file__).parents[2] / "real"))  # robot_fakes


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def in_this_process(monkeypatch) -> list:
    """Let trials run here, where they are short; gives the jobs that ran."""
    ran = []

    class Pool:
        def submit(self, function, rules, job, logged):
            future: Future = Future()
            ran.append((job.entrant.label, job.shape, job.seed))
            future.set_result(function(rules, job, logged))
            return future

    @contextmanager
    def pool(count):
        yield Pool()

    monkeypatch.setattr(on_twin, "pool", pool)
    return ran
