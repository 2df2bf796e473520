"""What the operator's page sends, as orders: between the server's thread and the session's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from real.teleop.operator import Orders
from real.teleop.web import gamepad, keyboard, webxr
from real.teleop.web.engagement import Engagement
from real.teleop.web.link import Link, LinkLimits
from real.teleop.web.message import Message
from real.teleop.web.wish import Wish


def decode(message: Message) -> Wish:
    """Return what a message asks for: motion from its source alone, buttons from the source and the keyboard."""
    if message.source == "keyboard":
        return keyboard.decode(message.keys)
    wish = gamepad.decode(message.gamepad) if message.source == "gamepad" else webxr.decode(message.hands)
    pressed = wish.pressed | keyboard.buttons(message.keys)
    return Wish(nudge=wish.nudge, pressed=pressed, clutch=wish.clutch, pose=wish.pose, problem=wish.problem)


class Inputs:
    """The input of whoever drives; safe to use from several threads.

    Args:
        limits: what counts as new.
        clock: gives seconds.
    """

    def __init__(self, limits: LinkLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits or LinkLimits()
        self._clock = clock
        self._lock = threading.Lock()
        self._link = Link(self.limits)
        self._engagement = Engagement()
        self._newest: Message | None = None
        self._wish = Wish()
        self._note = "nobody has the controls: open the page"

    def connected(self) -> None:
        """Begin anew with a connection: what it sends counts after fresh presses only."""
        with self._lock:
            self._link = Link(self.limits)
            self._newest, self._wish = None, Wish()
            self._hold("no input has arrived yet")

    def disconnected(self, reason: str = "the operator's page has disconnected") -> None:
        """Hold everything, since the page is gone.

        Args:
            reason: in words.
        """
        with self._lock:
            self._newest, self._wish = None, Wish()
            self._hold(reason)

    def state_sent(self, number: int) -> None:
        """Note that a state of this number was sent to the page."""
        with self._lock:
            self._link.sent(number, self._clock())

    def receive(self, message: Message) -> None:
        """Take a message of the page; one that is not newer than all before it is dropped."""
        with self._lock:
            if not self._link.is_next(message):
                return
            now = self._clock()
            late = self._link.accept(message, now)
            before, self._newest = self._newest, message
            self._wish = decode(message)
            if late:
                self._hold(late)
            elif message.hidden:
                self._hold("the page is hidden or out of focus")
            elif not message.armed:
                self._hold("the page is not armed")
            else:
                if before is not None and (before.source, before.space) != (message.source, message.space):
                    self._hold("the input has changed")
                self._engagement.feed(self._wish, message.t_ms / 1000, now)
                self._note = self._engagement.note

    def _hold(self, reason: str) -> None:
        self._note = reason
        self._engagement.hold(reason)

    def orders(self, *, over: bool = False) -> Orders:
        """Return the orders of a control step; see `Engagement.orders`."""
        with self._lock:
            now = self._clock()
            if self._newest is not None and (silence := self._link.silence(now)):
                self._hold(silence)
            return self._engagement.orders(now, over=over)

    def view(self) -> dict[str, Any]:
        """Return what arrives, for the page to show: JSON's types alone."""
        with self._lock:
            message, wish = self._newest, self._wish
            return {
                "source": message.source if message else None,
                "armed": bool(message and message.armed),
                "keys": list(message.keys) if message else [],
                "pressed": sorted(wish.pressed),
                "clutch": wish.clutch,
                "nudge": np.round(wish.nudge, 4).tolist(),
                "pose": None if wish.pose is None else np.round(wish.pose[:3, 3], 4).tolist(),
                "problem": wish.problem,
                "note": self._note,
                **self._link.quality(self._clock()),
            }
