"""Who drives: one page at a time, until it leaves or falls silent."""

from __future__ import annotations

KEPT = 10.0
"""How long the controls wait for a page whose connection was lost, or that sends nothing (s)."""


class Seat:
    """The operator's seat. Pages are told apart by the session that each draws when it is loaded."""

    def __init__(self) -> None:
        self._session: str | None = None
        self._seen = 0.0

    def take(self, session: str, now: float) -> str:
        """Give a page the controls; return why it does not get them, in words, or "".

        Args:
            session: of the page.
            now: the time (s).
        """
        if self._session not in (None, session) and now - self._seen < KEPT:
            return "another page has the controls; this one may watch, and can take them once that one has left"
        self._session, self._seen = session, now
        return ""

    def holds(self, session: str) -> bool:
        """Return whether a page has the controls."""
        return self._session == session

    def seen(self, now: float) -> None:
        """Note that the page that drives has sent something."""
        self._seen = now

    def leave(self, session: str) -> None:
        """Free the controls, since the page has said goodbye."""
        if self._session == session:
            self._session = None
