from __future__ import annotations

import pytest
from hand_fakes import served_hand

from real.xhand import XHand


@pytest.fixture
def rig():
    """A fake hand behind the twin's port, served to clients."""
    with served_hand() as rig:
        yield rig


@pytest.fixture
def hand(rig):
    """A client of it."""
    hand = XHand(rig.address)
    hand.connect()
    yield hand
    hand.close()
