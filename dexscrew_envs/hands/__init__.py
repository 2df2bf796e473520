"""The hands that tasks are done with: those of this package, of others by entry point, and of a user's file."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path

from dexscrew_envs.hands.hand import Finger, Hand
from dexscrew_envs.hands.xhand import XHAND_LEFT

ENTRY_POINTS = "dexscrew.hands"
"""Group of entry points in which another package names its hands: name = "module:attribute"."""
_hands: dict[str, Hand] = {XHAND_LEFT.name: XHAND_LEFT}
_loaded: dict[tuple[Path, str], Hand] = {}


def register_hand(hand: Hand) -> Hand:
    """Make a hand known by its name; one of the same name is replaced by it.

    Raises:
        TypeError: it is no `Hand`.
        ValueError: its name is that of a hand of this package.
    """
    if not isinstance(hand, Hand):
        raise TypeError(f"a hand must be a Hand, got {type(hand).__name__}")
    if hand.name == XHAND_LEFT.name and hand is not XHAND_LEFT:
        raise ValueError(f"{hand.name!r} is a hand of this package; give the new one another name")
    _hands[hand.name] = hand
    return hand


def get_hand(name: str) -> Hand:
    """Return the hand of this name: one that is registered, or that an installed package brings.

    Raises:
        ValueError: no hand has this name; the message says how to load one.
    """
    if name not in _hands:
        for entry in entry_points(group=ENTRY_POINTS, name=str(name)):
            return register_hand(entry.load())
        known = sorted({*_hands, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
        raise ValueError(f"unknown hand {name!r}{hint}. A hand of your own is loaded by its file: --hand my_hand.py")
    return _hands[name]


def load_hand(reference: str) -> Hand:
    """Return a hand by its name, or from a Python file, which must make one `Hand`; the file is run.

    Raises:
        ValueError: there is no such hand, or the file fails, or makes none, or several.
        FileNotFoundError: there is no such file.
    """
    if not reference.endswith(".py"):
        return get_hand(reference)
    path = Path(reference)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {reference} to load a hand from")
    digest = fingerprint(reference)
    if (path.resolve(), digest) in _loaded:  # once, so that whoever asks gets the same hand
        return _loaded[path.resolve(), digest]
    name = f"dexscrew_hand_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ValueError(f"{reference} cannot be loaded: {type(error).__name__}: {error}") from error
    found = {id(value): value for value in vars(module).values() if isinstance(value, Hand)}
    own = [hand for hand in found.values() if hand is not XHAND_LEFT]
    if len(own) != 1:
        raise ValueError(f"{reference} must make one Hand, and makes {len(own) or 'none'}")
    _loaded[path.resolve(), digest] = register_hand(own[0])
    return own[0]


def fingerprint(reference: str) -> str:
    """Return a digest of a hand's file, or "" where it is given by name: a run goes on under the same hand only."""
    return hashlib.sha256(Path(reference).read_bytes()).hexdigest()[:16] if reference.endswith(".py") else ""


__all__ = ["XHAND_LEFT", "Finger", "Hand", "fingerprint", "get_hand", "load_hand", "register_hand"]
