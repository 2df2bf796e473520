"""What the page sends: one JSON message a frame, checked before anything else looks at it."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

VERSION = 1
"""Of the protocol; page and server come from the same place, so another one is an old tab."""
MAX_BYTES = 8192
"""Largest message of a page."""

Source = Literal["keyboard", "gamepad", "xr"]
Side = Literal["left", "right"]
Code = Annotated[str, Meta(max_length=24, pattern=r"^[A-Za-z0-9]+$")]
Position = Annotated[float, Meta(ge=-100, le=100)]
Unit = Annotated[float, Meta(ge=-1, le=1)]
Buttons = Annotated[list[Unit], Meta(max_length=32)]
Axes = Annotated[list[Unit], Meta(max_length=16)]

_NORM_ERROR = 0.02


class Gamepad(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A gamepad, as the browser's Gamepad API reports it."""

    standard: bool
    """Whether the browser knows its layout ("standard" mapping)."""
    buttons: Buttons
    axes: Axes


class Controller(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tracked WebXR controller."""

    p: tuple[Position, Position, Position]
    """Position in WebXR's local-floor space: x right, y up, z backward (m)."""
    q: tuple[Unit, Unit, Unit, Unit]
    """Orientation in it, a unit quaternion (x, y, z, w)."""
    emulated: bool
    """Whether the position is a guess, since the headset does not see the controller."""
    buttons: Buttons
    axes: Axes

    def __post_init__(self) -> None:
        if abs(math.hypot(*self.q) - 1) > _NORM_ERROR:
            raise ValueError("a quaternion must have length 1")


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All input of one frame."""

    v: int
    session: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{8,64}$")]
    """Drawn anew when the page is loaded."""
    seq: Annotated[int, Meta(ge=0, lt=2**53)]
    """Counts the messages of a session."""
    t_ms: Annotated[float, Meta(ge=0, lt=1e12)]
    """When it was sent, in the page's clock (ms)."""
    hidden: bool
    """Whether the page, or the WebXR session, is hidden or out of focus."""
    armed: bool
    """Whether the operator has checked the input and armed the page."""
    source: Source
    """What moves the wrist. Keys and buttons on the page count with every source, but for motion."""
    keys: Annotated[list[Code], Meta(max_length=16)]
    """Codes of the keys that are down (`KeyboardEvent.code`); buttons on the page send the code of their key."""
    gamepad: Gamepad | None = None
    hands: Annotated[dict[Side, Controller], Meta(max_length=2)] = {}
    space: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    """Changes when the headset moves the origin of its space, as when the user recentres it."""
    ack: Annotated[int, Meta(ge=0, lt=2**53)] = 0
    """Number of the newest state that the page has received, 0 for none."""


_decoder = msgspec.json.Decoder(Message)


def parse(data: str | bytes) -> Message:
    """Return a message.

    Raises:
        ValueError: it is too long, no JSON, of another version, or something in it has a wrong type or range.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"a message may have {MAX_BYTES} bytes, got {len(data)}")
    try:
        message = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(f"not a message of the page: {error}") from None
    if message.v != VERSION:
        raise ValueError(f"the page is of version {message.v}, the server of version {VERSION}; reload the page")
    return message
