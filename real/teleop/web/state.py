"""What the page shows: one dictionary a control step, the same live and in a replay."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from dexscrew_envs.files import to_json
from real.robot import TAXELS


class Safety(TypedDict):
    """State of the safety layer."""

    trip: str
    """Why it stopped the robot, or ""."""
    limited: bool
    """Whether it cut the newest command."""


class State(TypedDict, total=False):
    """What the page shows of one step. What is not known is left out or None."""

    task: str
    shape: str
    operator: str
    """Name of the operator."""
    robot: str
    """Such as "twin, nominal"."""
    policy: str
    """Name of the finger skill."""
    time: float
    """Time since the episode began (s)."""
    turns: float | None
    needed: float | None
    """Turns after which it is fastened."""
    progress: float | None
    """Share of the task that is done (0 to 1)."""
    tcp_pose: Any
    """(6,) pose of the flange in the arm's base frame (m, rotation vector)."""
    tcp_force: Any
    """(6,) force and torque at the flange in the base frame (N, N m)."""
    fingers: Any
    """(F,) names of the fingers."""
    fingertip_force: Any
    """(F,) resultants that the safety layer checks (N)."""
    tactile: NDArray[np.uint8]
    """(F, 120) normal counts of the taxels above their rest."""
    limits: dict[str, float]
    """At which the robot stops: `wrist_force`, `wrist_torque`, and `fingertip_force` where it lasts (N, N m, N)."""
    period: float
    """Measured duration of the step (s)."""
    jitter: float
    """Its difference from the control period (s)."""
    age: Any
    """(3,) age of the readings of arm, hand joints and taxels (s)."""
    skill: bool
    """Whether the finger skill runs."""
    clutch: bool
    """Whether the wrist follows the operator."""
    safety: Safety
    recording: bool
    """Whether the step was recorded."""
    episode: int
    """Number of the episode, from 1."""
    kept: int
    """Episodes kept so far."""
    message: str
    """What the operator should know, in words."""


KEYS = frozenset(State.__annotations__)


def check_state(state: Mapping[str, Any]) -> State:
    """Return a copy of a state.

    Raises:
        TypeError: it is no mapping.
        ValueError: it has a key that the page does not know, or taxels of another shape or type.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"a state must be a dictionary, got {type(state).__name__}")
    if unknown := sorted(map(str, state.keys() - KEYS)):
        raise ValueError(f"unknown keys of a state: {', '.join(unknown)}; it may have {', '.join(sorted(KEYS))}")
    tactile = state.get("tactile")
    if tactile is not None:
        counts = np.asarray(tactile)
        if counts.dtype != np.uint8 or counts.ndim != 2 or counts.shape[1] != TAXELS:
            raise ValueError(
                f"tactile must be (fingers, {TAXELS}) counts of type uint8, got {counts.shape} of type {counts.dtype}"
            )
    return cast("State", dict(state))


def encode(kind: str, content: Mapping[str, Any]) -> str:
    """Return a message for the page: strict JSON with its kind; taxels of a state in it become base64.

    Args:
        kind: what it is, such as "state".
        content: what it carries.
    """
    state = content.get("state")
    if state is not None and state.get("tactile") is not None:
        counts = np.ascontiguousarray(state["tactile"], dtype=np.uint8)
        content = {**content, "state": {**state, "tactile": base64.b64encode(counts.tobytes()).decode()}}
    return to_json({"kind": kind, **content})


def picture_type(picture: bytes) -> str:
    """Return the media type of a picture.

    Raises:
        TypeError: it is not bytes.
        ValueError: it is neither JPEG nor PNG.
    """
    if not isinstance(picture, bytes):
        raise TypeError(f"a picture must be the bytes of a JPEG or PNG file, got {type(picture).__name__}")
    for start, kind in ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png")):
        if picture.startswith(start):
            return kind
    raise ValueError("a picture must be the bytes of a JPEG or PNG file")
