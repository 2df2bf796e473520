"""Whether a terminal can be read or written now. `select` would refuse files with high numbers."""

from __future__ import annotations

import selectors


def readable(file: int) -> bool:
    """Return whether a file has something to read, or has ended."""
    return _ready(file, selectors.EVENT_READ)


def writable(file: int) -> bool:
    """Return whether a file takes text now."""
    return _ready(file, selectors.EVENT_WRITE)


def _ready(file: int, event: int) -> bool:
    with selectors.PollSelector() as selector:
        selector.register(file, event)
        return bool(selector.select(0))
