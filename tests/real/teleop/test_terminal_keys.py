"""Keys from the bytes that terminals send for them."""

from __future__ import annotations

import pytest

from real.teleop.terminal_keys import TerminalKeys


def codes(*typed: bytes) -> list[str]:
    keys = TerminalKeys()
    return [code for part in typed for code in keys.codes(part)]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (b"d", ["KeyD"]),
        (b"D", ["KeyD", "ShiftLeft"]),
        (b" \r\n\x7f\x08", ["Space", "Enter", "Enter", "Backspace", "Backspace"]),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", ["ArrowUp", "ArrowDown", "ArrowRight", "ArrowLeft"]),
        (b"\x1bOA\x1bOD", ["ArrowUp", "ArrowLeft"]),  # application mode
        (b"\x1b[1;2A", ["ArrowUp", "ShiftLeft"]),
        (b"\x1bO1;2C", ["ArrowRight", "ShiftLeft"]),
        (b"\x1b[2B", ["ArrowDown", "ShiftLeft"]),  # old xterm
        (b"\x1b[d", ["ArrowLeft", "ShiftLeft"]),  # rxvt
        (b"q\x1b[Fq", ["KeyQ", "KeyQ"]),
        (b"7.\t\x01\xc3\xa4", []),
    ],
)
def test_keys_that_are_known(typed, expected):
    assert codes(typed) == expected


@pytest.mark.parametrize(
    "typed",
    [
        b"\x1b[F", b"\x1b[H", b"\x1bOF", b"\x1b[4~", b"\x1b[3~", b"\x1b[Z",  # End, Home, Delete, Shift+Tab
        b"\x1bOP", b"\x1bOQ", b"\x1b[11~", b"\x1b[[B", b"\x1b[24;2~", b"\x1b[1;2Q",  # F1 and others
        b"\x1b[1;3A", b"\x1b[1;5D", b"\x1b[1;6A", b"\x1b\x1b[A", b"\x1bOa",  # arrows with Alt or Control
        b"\x1bn", b"\x1b ", b"\x1b\r", b"\x1b\x7f", b"\x1bN",  # Alt and a key that marks or moves
        b"\x1b[200~", b"\x1b[27;2;13~", b"\x1b[13;2u", b"\x1b[?1;2c", b"\x1b[I", b"\x1b[<0;1;1M",
    ],
)  # fmt: skip
def test_other_sequences_are_swallowed_whole(typed):
    assert codes(typed) == []
    assert codes(typed + b"n") == ["KeyN"]


@pytest.mark.parametrize("typed", [b"\x1b[1;2A", b"\x1bOA", b"\x1b[[B", b"\x1b[F", b"\x1bn", b"\x1b\x1b[A"])
def test_a_sequence_may_be_cut_anywhere(typed):
    for place in range(1, len(typed)):
        assert codes(typed[:place], typed[place:]) == codes(typed)


def test_escape_alone_does_not_swallow_a_later_key():
    assert codes(b"\x1b", b"", b"n") == ["KeyN"]
    assert codes(b"\x1b[", b"", b"A") == ["KeyA", "ShiftLeft"]
