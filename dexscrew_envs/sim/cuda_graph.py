"""CUDA graphs of functions of torch tensors: recorded once, then launched without Python in between."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class CudaGraph:
    """A function that records itself as a CUDA graph in its second call, and from then on replays it.

    The first call runs as it is, so that libraries set themselves up outside of the graph. What the function returns is
    copied out of the graph at each call, so that no caller's tensors change later.

    Args:
        function: maps tensors to tensors, in tuples and dicts. It must read none on the host, change others only in
            place, and do the same whenever it is called.
        generator: what it draws from; the graph is one of its device.
    """

    def __init__(self, function: Callable[..., Any], generator: torch.Generator) -> None:
        self._function, self._generator = function, generator
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = False
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: Any = None

    def __call__(self, *inputs: Tensor) -> Any:
        """Call the function."""
        if not self._warm:
            self._warm = True
            return self._function(*inputs)
        if self._graph is None:
            self._record(inputs)
        assert self._graph is not None
        for static, tensor in zip(self._inputs, inputs, strict=True):
            static.copy_(tensor)
        self._graph.replay()
        return _clone(self._outputs)

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        # A stream of its own: torch's for captures belongs to the device of the process's first capture.
        stream = torch.cuda.Stream(self._generator.device)
        with without_garbage_collection(), torch.cuda.graph(graph, stream=stream):
            self._outputs = self._function(*self._inputs)
        self._graph = graph


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: to free device memory in the midst of a capture would end it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _clone(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clone(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_clone(item) for item in value)
    return value.clone()
