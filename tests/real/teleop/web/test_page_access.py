from __future__ import annotations

import pytest

from real.teleop.web.access import Pairing, PairingError, host_name
from real.teleop.web.config import PageConfig, invitation
from real.teleop.web.seat import KEPT, Seat


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pairing():
    clock, announced = Clock(), []
    pairing = Pairing(announced.append, clock)
    pairing.clock, pairing.announced = clock, announced
    return pairing


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def test_a_code_pairs_one_browser(pairing):
    code = pairing.code
    token = pairing.pair(code)
    assert pairing.knows(token) and not pairing.knows("another") and not pairing.knows(None)
    assert pairing.announced == [pairing.code]
    if pairing.code != code:
        with pytest.raises(PairingError, match="terminal"):
            pairing.pair(code)


def test_a_cookie_expires(pairing):
    token = pairing.pair(pairing.code)
    pairing.clock.now = 13 * 3600
    assert not pairing.knows(token)


def test_after_five_wrong_codes_none_is_taken_for_a_minute(pairing):
    first = pairing.code
    for _ in range(5):
        with pytest.raises(PairingError):
            pairing.pair(wrong(pairing.code))
    assert pairing.announced == [pairing.code]
    with pytest.raises(PairingError, match="wait 60 s"):
        pairing.pair(pairing.code)
    pairing.clock.now = 61
    assert pairing.knows(pairing.pair(pairing.code))
    assert first is not pairing.code


def test_signs_of_any_alphabet_are_a_wrong_code(pairing):
    with pytest.raises(PairingError, match="not the code"):
        pairing.pair("٣٤٥٦٧٨")


@pytest.mark.parametrize(
    ("header", "name"),
    [("localhost:8765", "localhost"), ("[::1]:8765", "::1"), ("Robot.:1", "robot"), ("", ""), ("[", "")],
)
def test_the_name_in_a_host_header(header, name):
    assert host_name(header) == name


def test_one_page_drives_at_a_time():
    seat = Seat()
    assert seat.take("first", 0) == ""
    assert "another page" in seat.take("second", KEPT - 1)
    assert seat.take("first", KEPT - 1) == ""


def test_the_controls_are_free_once_their_page_left_or_fell_silent():
    seat = Seat()
    seat.take("first", 0)
    seat.seen(5)
    assert seat.take("second", KEPT + 1) != ""
    assert seat.take("second", KEPT + 6) == ""
    seat.leave("first")  # it came late
    assert seat.holds("second")
    seat.leave("second")
    assert seat.take("third", KEPT + 6) == ""


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"host": "robot.example"}, "address"),
        ({"host": 5}, "address"),
        ({"port": 70000}, "65535"),
        ({"port": True}, "65535"),
        ({"host": "0.0.0.0"}, "folder"),
    ],
)
def test_a_wrong_configuration_is_told(wrong, words):
    with pytest.raises(ValueError, match=words):
        PageConfig(**wrong)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file"):
        PageConfig(host="0.0.0.0", folder=tmp_path / "file")
    with pytest.raises(TypeError, match="Path"):
        PageConfig(host="0.0.0.0", folder=str(tmp_path))


def test_addresses_name_what_can_be_reached(tmp_path):
    everywhere = PageConfig(host="0.0.0.0", folder=tmp_path)
    names = frozenset({"localhost", "127.0.0.1", "::1", "192.0.2.7", "2001:db8::1", "robot"})
    assert everywhere.addresses(1, names) == ["https://192.0.2.7:1/"]
    assert PageConfig(host="::", folder=tmp_path).addresses(1, names) == ["https://[2001:db8::1]:1/"]
    assert PageConfig().addresses(8765, names) == ["http://127.0.0.1:8765/"]


def test_the_terminal_shows_address_and_code():
    text = invitation(["https://192.0.2.7:8765/", "https://192.0.2.8:8765/"], "012345")
    assert "https://192.0.2.7:8765/" in text and "192.0.2.8" in text and "012 345" in text
    assert invitation(["http://127.0.0.1:8765/"], None) == "The operator's page: http://127.0.0.1:8765/"
