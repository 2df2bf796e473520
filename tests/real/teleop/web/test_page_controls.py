"""What keys, sticks and controllers mean."""

from __future__ import annotations

import numpy as np
import pytest
from page_messages import controller, message, raw

from real.teleop.web import gamepad, keyboard, webxr
from real.teleop.web.inputs import decode
from real.teleop.web.message import MAX_BYTES, Controller, Gamepad, parse
from real.teleop.web.wish import ACTIONS, FAST, SLOW, TURN_SLOW


def pad(axes=(0, 0, 0, 0), **pressed: float) -> Gamepad:
    buttons = [0.0] * 17
    for name, value in pressed.items():
        buttons[int(name[1:])] = value
    return Gamepad(standard=True, buttons=buttons, axes=list(axes))


@pytest.mark.parametrize(
    ("key", "entry", "sign"),
    [("KeyW", 1, 1), ("KeyS", 1, -1), ("KeyA", 0, -1), ("KeyD", 0, 1), ("KeyE", 2, 1), ("KeyQ", 2, -1)],
)
def test_letters_move_the_wrist_in_the_room(key, entry, sign):
    expected = np.zeros(6)
    expected[entry] = sign * SLOW
    assert np.array_equal(keyboard.decode([key]).nudge, expected)


def test_arrows_turn_the_wrist_and_shift_is_faster():
    assert keyboard.decode(["ArrowLeft"]).nudge[5] == TURN_SLOW
    assert keyboard.decode(["KeyW", "ShiftLeft"]).nudge[1] == FAST
    assert not keyboard.decode(["KeyW", "KeyS"]).nudge.any()


def test_every_action_is_on_every_device():
    everywhere = set(ACTIONS)
    assert set(keyboard.BUTTONS.values()) == everywhere
    assert set(gamepad.BUTTONS.values()) == everywhere
    assert {action for side in webxr.BUTTONS.values() for action in side.values()} == everywhere


def test_sticks_move_nothing_without_the_bumper():
    assert not gamepad.decode(pad((1, 1, 1, 1))).nudge.any()
    assert gamepad.decode(pad((0, -1, 0, 0), b5=1)).nudge[1] == SLOW
    assert gamepad.decode(pad((0.1, 0.1, 0, 0), b5=1)).nudge.any() == False  # noqa: E712 - a NumPy bool
    assert gamepad.decode(pad(b5=1, b7=1)).nudge[2] == SLOW


def test_a_gamepad_that_is_missing_or_unknown_says_what_to_do():
    assert "plug it in" in gamepad.decode(None).problem
    assert "layout" in gamepad.decode(Gamepad(standard=False, buttons=[], axes=[])).problem


def test_a_short_gamepad_is_no_error():
    assert gamepad.decode(Gamepad(standard=True, buttons=[1.0], axes=[])).pressed == {"skill"}


def hands(**changes):
    return {"right": Controller(**{k: tuple(v) if k in "pq" else v for k, v in controller(**changes).items()})}


def test_a_controllers_pose_is_in_the_room_frame():
    # WebXR: right 1, up 2, ahead 3; turned by 90 degrees to the left, about WebXR's y axis.
    half = np.sqrt(0.5)
    pose = webxr.decode(hands(p=[1, 2, -3], q=[0, half, 0, half])).pose
    assert np.allclose(pose[:3, 3], [1, 3, 2])
    assert np.allclose(pose[:3, :3] @ [0, 0, -1], [-1, 0, 0])  # where it points: from ahead to the left


def test_a_quaternions_sign_means_nothing():
    one, other = (webxr.decode(hands(q=[s * 0.6, 0, 0, s * 0.8])).pose for s in (1, -1))
    assert np.allclose(one, other)


def test_the_trigger_is_the_clutch():
    assert webxr.decode(hands(trigger=0.9)).clutch
    assert not webxr.decode(hands(trigger=0.3)).clutch


def test_a_guessed_or_lost_controller_gives_no_pose():
    guessed, lost = webxr.decode(hands(trigger=1.0, emulated=True)), webxr.decode({})
    for wish in (guessed, lost):
        assert wish.pose is None and not wish.clutch and "into view" in wish.problem


def test_only_the_source_moves_but_keys_always_mark():
    wish = decode(message(0, source="gamepad", keys=["KeyW", "Backspace"]))
    assert not wish.nudge.any() and wish.pressed == {"discard"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "JSON|truncated"),
        ("[1]", "object"),
        (b"\x80\x04\x95binary", "JSON|malformed"),
        (raw(0, v=2), "version 2"),
        (raw(-1), "seq"),
        (raw("1"), "seq"),
        (raw(0, session="x"), "session"),
        (raw(0, source="mind"), "source"),
        (raw(0, keys=["Key W"]), "keys"),
        (raw(0, keys=["KeyW"] * 17), "keys"),
        (raw(0, surprise=1), "surprise"),
        (raw(0, hands={"tail": controller()}), "hands|tail"),
        (raw(0, hands={"right": controller(q=[0, 0, 0, 0.5])}), "length 1"),
        (raw(0, hands={"right": controller(p=[0, 1e9, 0])}), r"\.p"),
        (raw(0).replace("0.0", "1e999"), "t_ms|range"),
        (" " * (MAX_BYTES + 1), str(MAX_BYTES)),
    ],
)
def test_what_is_no_message_is_refused_in_words(data, words):
    with pytest.raises(ValueError, match=words):
        parse(data)
