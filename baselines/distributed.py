"""Data-parallel training: `torchrun --nproc-per-node N -m baselines.ppo_oracle`.

Each process (rank) has its share of the environments and of every minibatch; gradients, normalisation and the
divergence that steers the learning rate are those of all ranks together. Without torchrun there is one rank, and all of
this does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed


def is_launched() -> bool:
    """Return whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other ranks, if torchrun started this process."""
    if not is_launched():
        yield
        return
    distributed.init_process_group("gloo")  # between CPUs: the GPU engine trains in one process
    try:
        yield
    finally:
        distributed.destroy_process_group()


def size() -> int:
    """Return the number of ranks."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return the number of this rank; rank 0 writes the files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def average_(tensor: Tensor) -> Tensor:
    """Replace a tensor by its mean over ranks, in place, and return it."""
    if size() > 1:
        distributed.all_reduce(tensor)
        tensor /= size()
    return tensor


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace all gradients by their means over ranks."""
    if size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = average_(torch.cat([g.flatten() for g in gradients]))
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def moments(values: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return mean and variance (...) of values (B, ...) over the batches of all ranks, and their number.

    All ranks must bring batches of the same size.
    """
    if size() == 1:
        return values.mean(dim=0), values.var(dim=0, correction=0), len(values)
    mean = average_(values.mean(dim=0))
    return mean, average_((values - mean).square().mean(dim=0)), len(values) * size()


def share(state: dict[str, Tensor]) -> None:
    """Give every rank the tensors of rank 0, in place."""
    if size() > 1:
        for tensor in state.values():
            distributed.broadcast(tensor, src=0)


def any_rank(value: bool) -> bool:
    """Return whether the value is true on any rank, once every rank is here."""
    if size() == 1:
        return value
    flag = torch.tensor(int(value))
    distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
    return bool(flag)
