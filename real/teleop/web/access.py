"""Who may talk to the page's server: pairing of browsers, and refusal of foreign web sites.

On loopback nobody has to pair. Beyond it a browser pairs once with a code from the terminal and then has a cookie.
A web site in another tab can reach this server through the operator's browser: by its address, which the check of
`Origin` refuses, or by a name of its own that it lets point here (DNS rebinding), which the check of `Host` refuses.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web

COOKIE = "__Host-dexscrew"
"""Name of the cookie; browsers take one of such a name over HTTPS alone, and give it to no other host."""
_DIGITS = 6
_TRIES = 5
_LOCKED = 60.0  # seconds after so many wrong codes
_COOKIE_SECONDS = 12 * 3600


class PairingError(ValueError):
    """A browser was not paired; the message says why."""


class Pairing:
    """One-time codes for browsers, and what paired browsers hold.

    A code is used up by the browser that gives it. After five wrong ones none is taken for a minute, and a new one is
    drawn, so guessing takes four months on average.

    Args:
        announce: called with every new code.
        clock: gives seconds.
    """

    def __init__(self, announce: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._announce = announce
        self._clock = clock
        self._wrong = 0
        self._locked_until = -float("inf")
        self._tokens: dict[str, float] = {}
        self.code = self._draw()

    @staticmethod
    def _draw() -> str:
        return f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}}"

    def _renew(self) -> None:
        self.code, self._wrong = self._draw(), 0
        self._announce(self.code)

    def pair(self, code: str) -> str:
        """Return a token for the browser that gave the right code.

        Raises:
            PairingError: the code is wrong, or there were too many wrong ones.
        """
        now = self._clock()
        if now < self._locked_until:
            seconds = self._locked_until - now
            raise PairingError(f"too many wrong codes; wait {seconds:.0f} s and take the new code from the terminal")
        if not hmac.compare_digest(code.encode(), self.code.encode()):
            self._wrong += 1
            if self._wrong >= _TRIES:
                self._locked_until = now + _LOCKED
                self._renew()
            raise PairingError("this is not the code; the terminal shows it, and each code pairs one browser")
        token = secrets.token_urlsafe(32)
        self._tokens[token] = now + _COOKIE_SECONDS
        self._renew()
        return token

    def knows(self, token: str | None) -> bool:
        """Return whether a browser with this token is paired."""
        return token is not None and self._clock() < self._tokens.get(token, -float("inf"))


def set_cookie(response: web.StreamResponse, token: str) -> None:
    """Give a browser its token, out of reach of scripts and of other sites."""
    response.set_cookie(
        COOKIE, token, max_age=_COOKIE_SECONDS, path="/", secure=True, httponly=True, samesite="Strict"
    )  # fmt: skip


def host_name(host: str) -> str:
    """Return the name or address in a Host header, without port and brackets; "" if there is none."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def refusal(request: web.Request, names: frozenset[str]) -> str:
    """Return why a request may come from a foreign web site, in words, or "".

    Args:
        request: a request; one that is not a plain GET must name its origin.
        names: names and addresses by which this server may be called.
    """
    host = request.headers.get("Host", "")
    if host_name(host) not in names:
        return f"this server is not called {host[:100]!r}; use the address that the terminal shows"
    origin = request.headers.get("Origin")
    plain = request.method in ("GET", "HEAD") and "Upgrade" not in request.headers
    if origin is None and plain:
        return ""
    return "" if origin == f"{request.scheme}://{host}" else "only this server's own page may do this"
