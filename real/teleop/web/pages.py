"""The pages that are open, one WebSocket each: who drives, what they are shown, and what they send."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from real.teleop.web.inputs import Inputs
from real.teleop.web.message import MAX_BYTES, parse
from real.teleop.web.seat import Seat
from real.teleop.web.state import State, check_state, encode, picture_type

MAX_PAGES = 8
"""Pages that may be open at once."""
_HEARTBEAT = 5.0  # seconds without an answer, after which a page is gone
_REPEAT = 0.5  # a page gets a state at least that often (s)
_BEHIND = 4  # states that a page has not acknowledged, from which on it gets no pictures


class _Page:
    """One page that is open."""

    def __init__(self, socket: web.WebSocketResponse, session: str) -> None:
        self.socket = socket
        self.session = session
        self.wake = asyncio.Event()
        self.sent = self.acknowledged = 0


class Pages:
    """All pages that are open. All but `publish` is called in the server's event loop.

    Args:
        inputs: takes what the page that drives sends; None where nothing can be driven.
    """

    def __init__(self, inputs: Inputs | None) -> None:
        self._inputs = inputs
        self._open: set[_Page] = set()
        self._seat = Seat()
        self._newest: tuple[State, bytes | None, float] | None = None

    def publish(self, state: Mapping[str, Any], picture: bytes | None) -> None:
        """Put down what the pages show next; `wake` makes them show it."""
        if picture is not None:
            picture_type(picture)
        self._newest = check_state(state), picture, time.monotonic()

    def wake(self) -> None:
        """Show all pages what was put down last."""
        for page in self._open:
            page.wake.set()

    async def close(self) -> None:
        """Close all pages."""
        for page in [page for page in self._open if page.socket.prepared]:
            await page.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the session has ended")

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one page until it is gone."""
        session = request.query.get("session", "")
        if not 8 <= len(session) <= 64 or not session.isascii():
            raise ValueError("the page must name its session, 8 to 64 letters or digits")
        if len(self._open) >= MAX_PAGES:
            raise web.HTTPServiceUnavailable(text=f"{MAX_PAGES} pages are open already; close one")
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT, max_msg_size=MAX_BYTES, compress=False)
        page = _Page(socket, session)
        self._open.add(page)
        sender = None
        try:
            await socket.prepare(request)
            await self._welcome(page, wants=request.query.get("drive") == "1")
            sender = asyncio.create_task(self._show(page))
            await self._listen(page)
        finally:
            self._open.discard(page)
            if sender is not None:
                sender.cancel()
            self._part(page)
        return socket

    async def _welcome(self, page: _Page, *, wants: bool) -> None:
        """Tell a page whether it drives; one that comes back replaces its own former connection."""
        reason = "nothing can be driven here" if self._inputs is None else "it asked to watch"
        if self._inputs is not None and wants:
            reason = self._seat.take(page.session, time.monotonic())
        for other in [
            other
            for other in self._open
            if other is not page and other.session == page.session and other.socket.prepared
        ]:
            await other.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the page has connected anew")
        if self._drives(page) and self._inputs is not None:
            self._inputs.connected()
        await page.socket.send_str(encode("hello", {"drives": self._drives(page), "reason": reason}))

    def _drives(self, page: _Page) -> bool:
        return self._inputs is not None and self._seat.holds(page.session)

    async def _listen(self, page: _Page) -> None:
        """Take what a page sends until it is gone, which is no error."""
        async for received in page.socket:
            if received.type is not WSMsgType.TEXT:
                await page.socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"only text is understood")
                return
            try:
                message = parse(received.data)
                if message.session != page.session:
                    raise ValueError("a message of another session")
            except ValueError as error:
                await page.socket.close(code=WSCloseCode.POLICY_VIOLATION, message=str(error).encode()[:120])
                return
            page.acknowledged = message.ack
            if self._inputs is not None and self._drives(page):
                self._seat.seen(time.monotonic())
                self._inputs.receive(message)

    def _part(self, page: _Page) -> None:
        """Hold, if the page that is gone drove; one that closed in order gives the controls back at once."""
        if self._inputs is None or not self._drives(page) or any(p.session == page.session for p in self._open):
            return
        self._inputs.disconnected()
        if page.socket.close_code in (WSCloseCode.OK, WSCloseCode.GOING_AWAY):
            self._seat.leave(page.session)

    async def _show(self, page: _Page) -> None:
        """Send a page the newest state whenever there is one, and pictures as fast as it acknowledges."""
        shown: bytes | None = None
        while not page.socket.closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(page.wake.wait(), _REPEAT)
            page.wake.clear()
            state, picture, when = self._newest or ({}, None, None)
            page.sent += 1
            content = {
                "number": page.sent,
                "drives": self._drives(page),
                "state_age": None if when is None else time.monotonic() - when,
                "state": state,
                "input": None if self._inputs is None else self._inputs.view(),
            }
            try:
                await page.socket.send_str(encode("state", content))
                if self._inputs is not None and self._drives(page):
                    self._inputs.state_sent(page.sent)
                if picture is not None and picture is not shown and page.sent - page.acknowledged <= _BEHIND:
                    await page.socket.send_bytes(picture)
                    shown = picture
            except ConnectionError:
                return
