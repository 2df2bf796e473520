"""The state of the process that our code must neither depend on nor change: modes of torch, NumPy and the processor.

A caller may compute in float64, on another default device, within `torch.inference_mode`, with NumPy's errors raised,
and so on. `plain` sets all of that to what a fresh process has, and puts it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch.overrides import _len_torch_function_stack

_CPU = torch.device("cpu")
_SMALLEST = 5e-324  # not a literal below: the compiler would multiply it


@contextmanager
def plain(*, threads: int | None = None, grad: bool = False, deterministic: bool | None = False) -> Iterator[None]:
    """Give the body, or the decorated function, torch and NumPy as a fresh process has them; restore them afterwards.

    That is: by default tensors are float32 and on the CPU, and none are `torch.inference_mode`'s; no autocast, full
    precision of float32 products, no flushing of denormal numbers, and NumPy's own handling of floating-point errors.

    Args:
        threads: torch's threads meanwhile; None keeps the caller's.
        grad: whether gradients are recorded.
        deterministic: whether torch may use deterministic algorithms alone; None keeps the caller's wish.
    """
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(grad),
        np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
        ExitStack() as stack,
    ):
        # What is rarely there costs more to replace than to ask for.
        if threads is not None and torch.get_num_threads() != threads:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(threads)
        if torch.get_default_dtype() != torch.float32:
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(torch.float32)
        if _len_torch_function_stack():  # a default device is a mode on it; to ask torch for that device is slow
            stack.enter_context(_CPU)
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_float32_matmul_precision() != "highest":
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("highest")
        if deterministic is not None and torch.are_deterministic_algorithms_enabled() != deterministic:
            warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
            stack.callback(torch.use_deterministic_algorithms, not deterministic, warn_only=warn_only)
            torch.use_deterministic_algorithms(deterministic)
        if _SMALLEST * 1.0 == 0.0:  # torch sets this, but does not tell it
            stack.callback(torch.set_flush_denormal, True)
            torch.set_flush_denormal(False)
        yield
