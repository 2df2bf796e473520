"""Odd states of the process in which our code must do what it does in a fresh one."""

from __future__ import annotations

import locale
import os
import warnings
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch.overrides import TorchFunctionMode


class Watching(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


def _set(stack, setter, value, before):
    setter(value)
    stack.callback(setter, before)


def _locale(stack):
    stack.callback(locale.setlocale, locale.LC_ALL, locale.setlocale(locale.LC_ALL))
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C"):
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            continue
        return


def _no_folder(stack):
    import tempfile

    stack.callback(os.chdir, os.getcwd())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)


SURROUNDINGS = {
    "float64": lambda s: _set(s, torch.set_default_dtype, torch.float64, torch.float32),
    "float16": lambda s: _set(s, torch.set_default_dtype, torch.float16, torch.float32),
    "meta device": lambda s: _set(s, torch.set_default_device, "meta", None),
    "device of a with": lambda s: s.enter_context(torch.device("meta")),
    "function mode": lambda s: s.enter_context(Watching()),
    "no_grad": lambda s: s.enter_context(torch.no_grad()),
    "inference_mode": lambda s: s.enter_context(torch.inference_mode()),
    "anomaly": lambda s: s.enter_context(torch.autograd.set_detect_anomaly(True, check_nan=True)),
    "autocast": lambda s: s.enter_context(torch.autocast("cpu", dtype=torch.bfloat16)),
    "deterministic": lambda s: _set(s, torch.use_deterministic_algorithms, True, False),
    "matmul precision": lambda s: _set(s, torch.set_float32_matmul_precision, "medium", "highest"),
    "denormals": lambda s: _set(s, torch.set_flush_denormal, True, False),
    "threads": lambda s: _set(s, torch.set_num_threads, 3, torch.get_num_threads()),
    "NumPy raises": lambda s: s.enter_context(np.errstate(all="raise")),
    "warnings are errors": lambda s: (s.enter_context(warnings.catch_warnings()), warnings.simplefilter("error")),
    "random numbers": lambda s: (torch.manual_seed(5), np.random.seed(5)),  # noqa: NPY002 - that is the one in question
    "locale": _locale,
    "no folder": _no_folder,
    "umask": lambda s: _set(s, os.umask, 0o777, os.umask(0o022)),
}  # fmt: skip


def state():
    """Return what of the process must be as it was."""
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "denormal": float(np.float64(5e-324)) * float(np.float64(1.0)),
        "errors": np.geterr(),
        "torch generator": torch.get_rng_state().tolist(),
        "NumPy generator": str(np.random.get_state(legacy=False)),  # noqa: NPY002
        "filters": list(warnings.filters),
        "locale": locale.setlocale(locale.LC_ALL),
    }


@contextmanager
def surrounded(name, but_for=()):
    """Run the body in a state of the process, and see to it that the body leaves that as it is, `but_for` some."""

    def kept():
        return {key: value for key, value in state().items() if key not in but_for}

    with ExitStack() as stack:
        SURROUNDINGS[name](stack)
        before = kept()
        yield
        assert kept() == before
