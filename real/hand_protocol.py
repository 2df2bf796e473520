"""The hand's protocol: what a client and the hand server say to each other, and in which units.

MessagePack over ZeroMQ, one message in one frame, each with a schema that bounds every field; nothing is ever
unpickled. A client (DEALER) asks, the server (ROUTER) answers each message once. `Hello` opens a session; its key,
which the server draws, and a sequence number that only grows stand in every later message, so that neither a replayed
message nor one that was meant for an earlier server does anything. Vectors of the hand are in policy order, fingertips
in the order of `FINGERS`.

The hand server runs beside the vendor's SDK, so this module needs no more than Python 3.10, pyzmq, msgspec and NumPy.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Union

import numpy as np
import zmq.auth
from msgspec import Meta, MsgspecError, Struct, msgpack
from numpy.typing import NDArray

from real.robot import MAX_GAIN, TAXELS, SetupError

VERSION = 1
"""Version of the protocol; client and server must have the same."""
ADDRESS = "tcp://127.0.0.1:5557"
"""Where the hand server listens unless told otherwise."""
MAX_REQUEST, MAX_REPLY = 1024, 8192
"""Largest messages (bytes). A peer that sends more is disconnected."""

JOINTS = (
    "index_bend", "index_1", "index_2", "mid_1", "mid_2", "pinky_1",
    "pinky_2", "ring_1", "ring_2", "thumb_bend", "thumb_1", "thumb_2",
)  # fmt: skip
"""The hand's joints in policy order, as `dexscrew_envs.hands.xhand.JOINTS`."""
FINGERS = ("thumb", "index", "mid", "ring", "pinky")
"""The order of fingertips, as `dexscrew_envs.tasks.FINGERS`; it is that of the hardware too."""
HARDWARE_INDEX = np.array([3, 4, 5, 6, 7, 10, 11, 8, 9, 0, 1, 2])
"""Index of each joint, in policy order, in the vendor's order."""
LOWER = np.array([-0.175, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1.05, -0.175])
"""(12,) lower limits of targets (rad): the widest of those that users of the hand publish."""
UPPER = np.array([0.175, *[1.92] * 8, 1.833, 1.745, 1.833])
"""(12,) upper limits of targets (rad)."""

Text = Annotated[str, Meta(max_length=256)]
Gain = Annotated[int, Meta(ge=0, le=MAX_GAIN)]
Position = Annotated[list[float], Meta(min_length=len(JOINTS), max_length=len(JOINTS))]
Age = Annotated[float, Meta(ge=0)]


class _Message(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A message; its type's name goes with it."""


class Hello(_Message, frozen=True):
    """Opens a session; the only request without a key."""

    version: int
    client: Annotated[str, Meta(max_length=64)]
    """Who asks, for messages to people."""


class _Request(_Message, frozen=True):
    session: Annotated[bytes, Meta(min_length=16, max_length=16)]
    sequence: Annotated[int, Meta(ge=1, le=2**53)]


class Read(_Request, frozen=True):
    """Asks for the newest reading; any session may."""


class Command(_Request, frozen=True):
    """Sets joint targets. The first session that commands keeps the others from it until it has been silent."""

    position: Position
    """Joint targets, policy order (rad)."""
    kp: Gain
    ki: Gain
    kd: Gain
    tor_max: Gain
    """Limit of the motors' current (mA)."""


class Hold(_Request, frozen=True):
    """Makes the hand hold its present joint positions."""


class Zero(_Request, frozen=True):
    """Zeroes the tactile sensors, which nothing may touch; answered when it is done."""


class Bye(_Request, frozen=True):
    """Ends the session; if it commanded, the hand holds its present joint positions."""


SessionRequest = Union[Read, Command, Hold, Zero, Bye]  # noqa: UP007
Request = Union[Hello, SessionRequest]  # noqa: UP007


class Welcome(_Message, frozen=True):
    """Answers Hello."""

    version: int
    session: bytes
    hand: Text
    """Which hand it is, for people."""


class Done(_Message, frozen=True):
    """The request was carried out."""

    sequence: int


class Refused(_Message, frozen=True):
    """The request was not carried out; the reason says why and what to do."""

    sequence: int
    """Of the request; 0 where that is not known."""
    reason: Text


class State(_Message, frozen=True):
    """Answers Read. Numbers count readings, so that the same reading can be told from another one like it."""

    sequence: int
    number: int
    """Counts readings of the joints; 0 before the first."""
    age: Age
    """Time since that reading (s)."""
    position: Position
    """Joint positions, policy order (rad)."""
    current: Annotated[list[int], Meta(min_length=len(JOINTS), max_length=len(JOINTS))]
    """Motor currents, policy order (mA)."""
    tactile_number: int
    """Counts tactile frames; 0 before the first."""
    tactile_age: Age
    """Time since that frame (s)."""
    tactile: Annotated[bytes, Meta(min_length=15 * TAXELS, max_length=15 * TAXELS)]
    """Counts of the taxels, as `pack_counts` writes them."""
    resultant: Annotated[bytes, Meta(min_length=15, max_length=15)]
    """Counts of the forces on the fingertips, written likewise."""
    errors: Annotated[list[Text], Meta(max_length=8)]
    """What went wrong in the newest exchange with the hand."""


Reply = Union[Welcome, Done, Refused, State]  # noqa: UP007

_encoder = msgpack.Encoder()
_requests = msgpack.Decoder(Request)
_replies = msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Return a message as bytes."""
    return _encoder.encode(message)


def decode_request(frame: bytes) -> Request:
    """Return a client's message.

    Raises:
        ValueError: the bytes are none, or a field is out of bounds.
    """
    return _decode(_requests, frame)


def decode_reply(frame: bytes) -> Reply:
    """Return a server's message.

    Raises:
        ValueError: the bytes are none, or a field is out of bounds.
    """
    return _decode(_replies, frame)


def _decode(decoder: msgpack.Decoder[Any], frame: bytes) -> Any:
    try:
        return decoder.decode(frame)
    except (MsgspecError, RecursionError) as error:
        raise ValueError(f"not a message of the hand's protocol, version {VERSION}: {error}") from None


def check_target(position: NDArray[np.float64]) -> None:
    """Check joint targets (12,) in policy order.

    Raises:
        ValueError: one is not finite, or beyond `LOWER` or `UPPER`.
    """
    if not np.isfinite(position).all():
        raise ValueError(f"joint targets must be finite, got {position.tolist()}")
    outside = (position < LOWER - 1e-3) | (position > UPPER + 1e-3)
    if outside.any():
        k = int(outside.argmax())
        raise ValueError(
            f"the target {position[k]:.3f} rad of {JOINTS[k]} is outside its range {LOWER[k]:g} to {UPPER[k]:g}"
        )


def pack_counts(counts: NDArray[np.int16]) -> bytes:
    """Write counts (..., 3) as the hardware does: two shear axes as signed bytes, then the normal one unsigned."""
    return counts.astype(np.uint8).tobytes()


def unpack_counts(packed: bytes) -> NDArray[np.int16]:
    """Read counts (n, 3) that `pack_counts` wrote."""
    raw = np.frombuffer(packed, np.uint8).reshape(-1, 3)
    return np.concatenate([raw[:, :2].view(np.int8), raw[:, 2:]], axis=1, dtype=np.int16)


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port of an address such as tcp://127.0.0.1:5557.

    Raises:
        SetupError: the address has another form.
    """
    match = re.fullmatch(r"tcp://([\w.*-]+):(\d{1,5})", address)
    if match is None or not 0 < int(match[2]) < 65536:
        raise SetupError(f"{address!r} is no address of a hand server; write it as {ADDRESS}")
    return match[1], int(match[2])


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host: 127.0.0.0/8 or localhost."""
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_public_key(path: Path) -> bytes:
    """Return the public key of a file that `python -m real.hand_server keys` wrote.

    Raises:
        SetupError: the file holds no key.
    """
    try:
        return zmq.auth.load_certificate(path)[0]
    except (OSError, ValueError) as error:
        raise SetupError(f"no key in {path}: {error}") from None


def load_key_pair(path: Path) -> tuple[bytes, bytes]:
    """Return the public and the secret key of such a file.

    Raises:
        SetupError: the file holds no key pair.
    """
    public = load_public_key(path)
    secret = zmq.auth.load_certificate(path)[1]
    if secret is None:
        raise SetupError(f"{path} has no secret key; give the file that ends in key_secret")
    return public, secret
