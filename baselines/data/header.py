"""What is known of an episode before it begins, and what came of it."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from baselines.data.schema import SchemaError
from dexscrew_envs.files import plain, to_json

_Record = TypeVar("_Record", "Header", "Outcome")

Mark = Literal["success", "failure", "none"]
MARKS: tuple[str, ...] = get_args(Mark)
"""What an operator says of an episode; none where nobody said anything."""

_PACKAGES = ("dexscrew", "numpy", "h5py", "mujoco")


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter to a recording."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Header:
    """An episode before it begins. What it shares with all others of its folder is named in `SHARED`.

    Raises:
        SchemaError: a value is not what it must be.
    """

    task: str
    """Name of the task, such as nut."""
    shape: str
    """Shape of the nut or of the handle."""
    hand: str
    """Name of the hand."""
    joints: tuple[str, ...]
    """Names of the hand's joints, in the order of every vector of joints."""
    fingers: tuple[str, ...]
    """Names of the fingers, in the order of all that is per fingertip."""
    robot: str
    """What moved, such as twin."""
    period: float
    """Control period (s)."""
    tactile_bias: NDArray[np.int16] = field(repr=False)
    """(fingers, taxels, 3) counts of the taxels at rest, to be subtracted."""
    tactile_scale: float | None = None
    """Force of a count (N), or None where it is not known."""
    seed: int | None = None
    """Seed of the episode, where one fixes it."""
    stratum: str = ""
    """Level of difficulty that the twin was drawn from."""
    operator: str = ""
    """Who or what moved the wrist."""
    policy: str = ""
    """Name of the skill's policy."""
    policy_sha256: str = ""
    """SHA-256 of the policy's file, in hexadecimal."""
    versions: Mapping[str, str] = field(default_factory=library_versions)
    """Versions of Python and of packages."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What else there is to say, as JSON holds it."""
    id: str = ""
    """Tells the episode from all others; the recorder sets it."""
    recorded: str = ""
    """When the episode began, in UTC; the recorder sets it."""

    def __post_init__(self) -> None:
        for name in ("task", "hand", "robot"):
            _check_text(name, getattr(self, name), empty=False)
        for name in ("shape", "stratum", "operator", "policy", "policy_sha256", "id", "recorded"):
            _check_text(name, getattr(self, name))
        for name in ("joints", "fingers"):
            names = getattr(self, name)
            if isinstance(names, str) or not names or not all(isinstance(n, str) and n for n in names):
                raise SchemaError(f"{name} must be a tuple of names, got {names!r}")
            if len(set(names)) < len(names):
                raise SchemaError(f"{name} must be different names, got {', '.join(names)}")
            object.__setattr__(self, name, tuple(names))
        _check_number("period", self.period, above=0.0)
        if self.tactile_scale is not None:
            _check_number("tactile_scale", self.tactile_scale, above=0.0)
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer))):
            raise SchemaError(f"seed must be an integer or None, got {self.seed!r}")
        for name in ("versions", "extras"):
            if not isinstance(getattr(self, name), Mapping):
                raise SchemaError(f"{name} must be a mapping, got {type(getattr(self, name)).__name__}")
            try:
                to_json(getattr(self, name))
            except (TypeError, RecursionError) as error:
                raise SchemaError(f"{name} must hold what JSON holds: {error}") from error
            object.__setattr__(self, name, plain(getattr(self, name)))
        object.__setattr__(self, "tactile_bias", _counts(self.tactile_bias, len(self.fingers)))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an episode.

    Raises:
        SchemaError: a value is not what it must be.
    """

    mark: Mark = "none"
    """What the operator said of it."""
    reason: str = ""
    """Why it ended, in words."""
    turns: float | None = None
    """Turns of the nut or screw, where that is known."""
    needed: float | None = None
    """Turns after which it would be fastened, where that is known."""
    seconds: float | None = None
    """How long it took (s); None takes the time from the first step to the end of the last."""

    def __post_init__(self) -> None:
        if self.mark not in MARKS:
            raise SchemaError(f"mark must be one of {', '.join(MARKS)}, got {self.mark!r}")
        _check_text("reason", self.reason)
        if self.turns is not None:
            _check_number("turns", self.turns)
        for name in ("needed", "seconds"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name), above=0.0)

    @property
    def progress(self) -> float | None:
        """Turns made by turns needed, from 0 to 1, or None where either is not known."""
        if self.turns is None or self.needed is None:
            return None
        return min(max(self.turns / self.needed, 0.0), 1.0)


SHARED = ("task", "hand", "joints", "fingers", "period")
"""Fields of the header in which all episodes of a folder agree."""


def record_to_json(record: Header | Outcome) -> dict[str, Any]:
    """Return a header or an outcome as JSON holds it."""
    return {f.name: plain(getattr(record, f.name)) for f in fields(record)}


def record_from_json(kind: type[_Record], content: Any) -> _Record:
    """Return the header or outcome from what `record_to_json` gave.

    Raises:
        SchemaError: it was not written by it.
    """
    what = kind.__name__.lower()
    names = {f.name for f in fields(kind)}
    if not isinstance(content, Mapping) or content.keys() != names:
        differing = sorted(names ^ set(content)) if isinstance(content, Mapping) else [type(content).__name__]
        raise SchemaError(f"the {what} is damaged, or of another version: {', '.join(map(str, differing))}")
    try:
        return kind(**content)
    except (TypeError, SchemaError) as error:
        raise SchemaError(f"the {what} is damaged: {error}") from error


def _check_text(name: str, value: object, *, empty: bool = True) -> None:
    if not isinstance(value, str) or not (empty or value):
        raise SchemaError(f"{name} must be a string{'' if empty else ' that is not empty'}, got {value!r}")


def _check_number(name: str, value: Any, above: float = -math.inf) -> None:
    number = not isinstance(value, bool) and isinstance(value, (int, float, np.integer, np.floating))
    if not number or not above < value < math.inf:
        raise SchemaError(f"{name} must be a {'positive' if above == 0 else 'finite'} number, got {value!r}")


def _counts(value: Any, fingers: int) -> NDArray[np.int16]:
    """Return a tactile bias as an array that nobody changes."""
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise SchemaError(f"tactile_bias must be an array (fingers, taxels, 3): {error}") from error
    if given.ndim != 3 or given.shape[0] != fingers or given.shape[2] != 3:
        raise SchemaError(f"tactile_bias must have the shape ({fingers}, taxels, 3), got {given.shape}")
    if given.dtype.kind not in "iu" or not np.array_equal(given, given.astype(np.int16)):
        raise SchemaError("tactile_bias must be of counts, integers that int16 holds")
    counts = given.astype(np.int16)
    counts.setflags(write=False)
    return counts
