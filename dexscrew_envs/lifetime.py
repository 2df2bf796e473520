"""How an environment is copied, and that it is freed when it is dropped."""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Callable
from typing import Any

from dexscrew_envs import ambient


class Copyable:
    """Goes on as the original after `copy.deepcopy` and pickle.

    A subclass's `__getstate__` gives what can be pickled, and its `__setstate__` makes the rest anew. What can be is
    pickled by itself, so that its tensors come into being as ordinary ones, in any mode of the caller's.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _copy, (type(self), pickle.dumps(self.__getstate__()))


@ambient.plain()
def _copy(kind: Any, content: bytes) -> Any:
    made = kind.__new__(kind)
    made.__setstate__(pickle.loads(content))
    return made


def weak(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a bound method that does not keep its object: one that the object holds itself would make a cycle."""
    reference = weakref.WeakMethod(method)

    def call(*args: Any) -> Any:
        alive = reference()
        assert alive is not None
        return alive(*args)

    return call
