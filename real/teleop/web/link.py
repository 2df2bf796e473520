"""Whether input is new: its order, its age, and how regularly it comes."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from real.teleop.web.message import Message

_DRIFT = 2e-4  # two quartz clocks part by less (s/s)
_LONGEST_STALE = 2.0  # then the page's clock has jumped, as after a sleep, and its age is measured anew (s)
_WINDOW = 1.0  # of rate and jitter (s)


@dataclass(frozen=True, kw_only=True)
class LinkLimits:
    """What counts as new.

    Raises:
        ValueError: a limit is not positive and finite.
    """

    silence: float = 0.3
    """Longest time without a message (s)."""
    age: float = 0.25
    """Oldest message that is acted on (s)."""

    def __post_init__(self) -> None:
        for name in ("silence", "age"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ValueError(f"{name} must be a positive number of seconds, got {value!r}")


class Link:
    """The connection to one page, from its opening to its end.

    The clocks of page and server differ by an unknown offset. The message that came fastest so far gives it, up to half
    of the shortest round trip; how much later another one came is its age. So one that a stalled network held back is
    old although it has just arrived.

    Args:
        limits: what counts as new.
    """

    def __init__(self, limits: LinkLimits) -> None:
        self._limits = limits
        self._sequence = -1
        self._offset = math.inf
        self._arrived: float | None = None
        self._age = 0.0
        self._stale_since: float | None = None
        self._sent: dict[int, float] = {}
        self._round_trip = math.inf
        self._arrivals: deque[float] = deque()

    def sent(self, number: int, now: float) -> None:
        """Note that a state was sent to the page, for its round trip."""
        self._sent[number] = now
        if len(self._sent) > 100:
            del self._sent[next(iter(self._sent))]

    def is_next(self, message: Message) -> bool:
        """Return whether a message is newer than all before it."""
        return message.seq > self._sequence

    def accept(self, message: Message, now: float) -> str:
        """Take the next message; return why it is too late to act on, in words, or "".

        Args:
            message: what arrived.
            now: when (s).
        """
        self._sequence = message.seq
        if (sent := self._sent.pop(message.ack, None)) is not None:
            self._round_trip = min(self._round_trip, now - sent)
        offset = now - message.t_ms / 1000
        if self._arrived is not None:
            self._offset += _DRIFT * (now - self._arrived)
        self._offset = min(self._offset, offset)
        self._arrived = now
        self._age = offset - self._offset + (self._round_trip / 2 if self._round_trip < math.inf else 0.0)
        self._arrivals.append(now)
        while self._arrivals[0] < now - _WINDOW:
            self._arrivals.popleft()
        if self._age <= self._limits.age:
            self._stale_since = None
            return ""
        self._stale_since = now if self._stale_since is None else self._stale_since
        if now - self._stale_since > _LONGEST_STALE:
            self._offset, self._round_trip, self._stale_since = math.inf, math.inf, None
        return f"the input is {1000 * self._age:.0f} ms late, more than {1000 * self._limits.age:.0f} ms"

    def silence(self, now: float) -> str:
        """Return that nothing has come for too long, in words, or ""."""
        if self._arrived is None:
            return "no input has arrived yet"
        silent = now - self._arrived
        return f"no input for {silent:.1f} s" if silent > self._limits.silence else ""

    def quality(self, now: float) -> dict[str, float | None]:
        """Return age, round trip (s), rate (Hz) and jitter (standard deviation of the intervals, s) of the input."""
        intervals = np.diff(self._arrivals)
        fresh = self._arrived is not None and len(intervals) > 1 and not self.silence(now)
        return {
            "age": None if self._arrived is None else self._age + now - self._arrived,
            "round_trip": self._round_trip if self._round_trip < math.inf else None,
            "rate": float(1 / intervals.mean()) if fresh and intervals.mean() > 0 else None,
            "jitter": float(intervals.std()) if fresh else None,
        }
