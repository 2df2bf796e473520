"""What a terminal sends for keys, as the codes that the page sends for them.

Arrows and function keys arrive as escape sequences of bytes that are letters, too. One that means nothing here is
swallowed whole, or End would be an F, which marks a failure.

Sources: xterm's Control Sequences ("PC-Style Function Keys"), console_codes(4), and rxvt's reference.
"""

from __future__ import annotations

import re

_ARROWS = {b"A": "ArrowUp", b"B": "ArrowDown", b"C": "ArrowRight", b"D": "ArrowLeft"}
_OTHERS = {" ": "Space", "\r": "Enter", "\n": "Enter", "\x7f": "Backspace", "\x08": "Backspace"}
_TYPED = re.compile(
    rb"""\x1b\[\[.                                         # the Linux console's F1 to F5
    | (?P<escape>\x1b+)                                    # one more means Alt
      (?: (?P<mode>[\[O]) (?P<given>[0-?]*) [ -/]* (?P<key>[@-~])?   # arrows and others, O in application mode
        | [^\x1b] )?                                       # Alt and a key
    | (?P<plain>[^\x1b])""",
    re.VERBOSE | re.DOTALL,
)
_CUT = re.compile(rb"\x1b+(?:\[\[|[\[O][0-?]*[ -/]*)?\Z")
_MODIFIERS = re.compile(rb"(?:\d*;)?(\d+)")
_SHIFT = 2  # xterm numbers modifiers from 1, none


class TerminalKeys:
    """Reads keys from what a terminal sends, which may be cut anywhere."""

    def __init__(self) -> None:
        self._cut = b""

    def codes(self, typed: bytes) -> list[str]:
        """Return the codes of the keys that were pressed, as `KeyboardEvent.code` names them.

        Args:
            typed: what came since the last call. If nothing came, a sequence that was cut was the Esc key alone.
        """
        typed, self._cut = self._cut + typed if typed else b"", b""
        if cut := _CUT.search(typed):
            typed, self._cut = typed[: cut.start()], cut[0]
        return [code for match in _TYPED.finditer(typed) for code in _codes(match)]


def _codes(match: re.Match[bytes]) -> list[str]:
    if plain := match["plain"]:
        letter = plain.decode("ascii", "ignore")
        if letter.isalpha():
            return [f"Key{letter.upper()}"] + ["ShiftLeft"] * letter.isupper()
        return [_OTHERS[letter]] if letter in _OTHERS else []
    key, given = match["key"] or b"", match["given"] or b""
    if key.islower() and match["mode"] == b"[" and not given:  # rxvt's arrows with Shift
        key, given = key.upper(), b"%d" % _SHIFT
    modifiers = _MODIFIERS.fullmatch(given)
    modifier = int(modifiers[1]) if modifiers else 1
    if key not in _ARROWS or match["escape"] != b"\x1b" or modifier not in (1, _SHIFT) or (given and not modifiers):
        return []
    return [_ARROWS[key]] + ["ShiftLeft"] * (modifier == _SHIFT)
