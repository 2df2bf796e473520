"""Messages of a page, as tests need them."""

from __future__ import annotations

import json
from typing import Any

from real.teleop.web.message import Message, parse

SESSION = "test-session"


def raw(seq: object, **changes: Any) -> str:
    """Return a message as JSON: armed, with nothing pressed."""
    fields = {
        "v": 1, "session": SESSION, "seq": seq, "t_ms": 0.0, "hidden": False, "armed": True,
        "source": "keyboard", "keys": [], "ack": 0,
    }  # fmt: skip
    return json.dumps(fields | changes)


def message(seq: int, **changes: Any) -> Message:
    """Return a message."""
    return parse(raw(seq, **changes))


def controller(x: float = 0.3, trigger: float = 0.0, **changes: Any) -> dict[str, Any]:
    """Return a tracked right controller at a place to the right of the middle (m)."""
    fields = {
        "p": [x, 1.2, -0.4], "q": [0.0, 0.0, 0.0, 1.0], "emulated": False,
        "buttons": [trigger, 0, 0, 0, 0, 0, 0], "axes": [0, 0, 0, 0],
    }  # fmt: skip
    return fields | changes


def xr(seq: int, x: float = 0.3, trigger: float = 0.0, t_ms: float = 0.0, **changes: Any) -> Message:
    """Return a message of a headset."""
    return message(seq, source="xr", t_ms=t_ms, hands={"right": controller(x, trigger, **changes)})
