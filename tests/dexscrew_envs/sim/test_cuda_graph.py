from __future__ import annotations

import gc
from contextlib import contextmanager

import pytest
import torch

from dexscrew_envs.sim.cuda_graph import CudaGraph, without_garbage_collection


class Recorder:
    """Stands in for torch's graphs where there is no GPU: what is called while it records, `replay` calls again."""

    def __init__(self, monkeypatch):
        self.recording = False
        self.streams: list[torch.device] = []
        self.generators: list[torch.Generator] = []
        recorder = self

        class Graph:
            def register_generator_state(self, generator):
                recorder.generators.append(generator)

            def replay(self):
                recorder.replay()

        @contextmanager
        def graph(_, *, stream):
            assert not gc.isenabled()
            recorder.streams.append(stream)
            recorder.recording = True
            yield
            recorder.recording = False

        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", graph)
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: device)

    def function(self, calls):
        """Return a function that counts up a total by its input, and notes in which way it is called."""
        total = torch.zeros(2)

        def work(value):
            calls.append("recorded" if self.recording else "called")
            if not self.recording:  # recording changes nothing
                total.add_(value)
            out = {"total": total.clone(), "pair": (total * 2,)}

            def replay():
                calls.append("replayed")
                total.add_(value)
                out["total"].copy_(total)
                out["pair"][0].copy_(total * 2)

            self.replay = replay
            return out

        return work


@pytest.fixture
def recorder(monkeypatch):
    return Recorder(monkeypatch)


def test_first_call_runs_second_records_and_all_later_ones_replay(recorder):
    calls: list[str] = []
    generator = torch.Generator()
    graph = CudaGraph(recorder.function(calls), generator)
    totals = [graph(torch.tensor([step, 10.0 * step]))["total"].tolist() for step in (1.0, 2.0, 3.0)]
    assert calls == ["called", "recorded", "replayed", "replayed"]
    assert totals == [[1.0, 10.0], [3.0, 30.0], [6.0, 60.0]]
    assert recorder.generators == [generator] and recorder.streams == [generator.device]
    assert gc.isenabled()


def test_what_a_call_returned_stays_as_it_was(recorder):
    graph = CudaGraph(recorder.function([]), torch.Generator())
    one = torch.ones(2)
    graph(one)
    second = graph(one)
    graph(one)
    assert second["total"].tolist() == [2.0, 2.0] and second["pair"][0].tolist() == [4.0, 4.0]


def test_garbage_collection_is_left_as_it_was():
    with without_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with without_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
