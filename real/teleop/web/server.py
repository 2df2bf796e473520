"""The server of the operator's page: static files, one WebSocket a page, pairing and replay, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web

from dexscrew_envs import program
from real.robot import SetupError
from real.teleop.web import certificate, gamepad, keyboard, webxr
from real.teleop.web.access import COOKIE, Pairing, PairingError, refusal, set_cookie
from real.teleop.web.config import PageConfig, invitation
from real.teleop.web.inputs import Inputs
from real.teleop.web.pages import Pages
from real.teleop.web.replay import Replay, ReplayRoutes
from real.teleop.web.wish import ACTIONS

_RENEWAL = 60.0  # how often the addresses of this computer are looked at (s)
_START_TIMEOUT = 20.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "xr-spatial-tracking=(self), gamepad=(self), camera=(), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _Code(msgspec.Struct, forbid_unknown_fields=True):
    code: str


class PageServer:
    """Serves the operator's page. `publish` may be called from any thread and never waits.

    Args:
        config: where it listens.
        inputs: takes what the page that drives sends; None for a page that only shows.
        replay: recorded episodes to look at.
        tell: shows the operator the addresses and the pairing code.

    Raises:
        ModuleNotFoundError: a package of the extra `teleop` is missing.
    """

    def __init__(
        self,
        config: PageConfig,
        inputs: Inputs | None = None,
        replay: Replay | None = None,
        tell: Callable[[str], None] = program.say,
    ) -> None:
        self._config = config
        self._inputs = inputs
        self._replay = replay
        self._tell = tell
        self._names = _LOOPBACK
        self._pairing = None if config.local else Pairing(self._announce)
        self._tls: ssl.SSLContext | None = None
        self._static = {path.name: path.read_bytes() for path in (files(__package__) / "static").iterdir()}
        self._pages = Pages(inputs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.port = config.port
        """Where it listens."""

    # -- from the session's thread ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to serve, and tell the operator where.

        Raises:
            SetupError: the address or the port cannot be taken.
            ValueError: the certificate's folder cannot be written.
        """
        if self._thread is not None:
            raise RuntimeError("the page's server was started before")
        self._renew_names()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT) and self._error is None:
            raise SetupError("the page's server did not start in time")
        if self._error is not None:
            self._thread.join(timeout=5.0)
            raise self._error
        self._announce(self._pairing.code if self._pairing else None)

    def publish(self, state: Mapping[str, Any], picture: bytes | None = None) -> None:
        """Show a state on all pages; of several in a row, a slow page gets the newest.

        Args:
            state: see `State`; arrays in it must not be changed afterwards.
            picture: of the scene, JPEG or PNG.

        Raises:
            TypeError: the state is no dictionary, or the picture no bytes.
            ValueError: the state has unknown keys, or the picture another format.
        """
        self._pages.publish(state, picture)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._pages.wake)

    @property
    def addresses(self) -> list[str]:
        """The page's addresses, the most useful first."""
        return self._config.addresses(self.port, self._names)

    def close(self) -> None:
        """Stop serving; safe to call twice."""
        loop, stop, thread = self._loop, self._stop, self._thread
        if thread is None or loop is None or stop is None:
            return
        with contextlib.suppress(RuntimeError):  # it is closed
            loop.call_soon_threadsafe(stop.set)
        thread.join(_START_TIMEOUT)

    # -- in the server's thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
            if self._ready.is_set():  # else `start` raises it
                raise
        finally:
            if self._inputs is not None:
                self._inputs.disconnected("the page's server has ended")
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._config.host, self.port, ssl_context=self._tls)
            try:
                await site.start()
            except OSError as error:
                raise SetupError(_why_not(self._config, error)) from error
            self.port = runner.addresses[0][1]
            self._ready.set()
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _RENEWAL)
                try:
                    self._renew_names()
                except (OSError, ValueError) as error:  # no reason to end a session
                    self._tell(f"a new address of this computer is not served: {error}")
        finally:
            await self._pages.close()
            await runner.cleanup()

    def _renew_names(self) -> None:
        """Look up the addresses of this computer, and have a certificate for them."""
        if self._config.local:
            return
        names = certificate.own_names()
        if not self._config.everywhere:
            names |= {self._config.host}
        if names == self._names and self._tls is not None:
            return
        assert self._config.folder is not None
        path = certificate.ensure(self._config.folder, names)
        self._tls = self._tls or ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(path)  # connections from now on get it
        self._names = names

    def _announce(self, code: str | None) -> None:
        self._tell(invitation(self.addresses, code))

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/", self._file)
        app.router.add_get("/static/{name}", self._file)
        app.router.add_get("/about", self._about)
        app.router.add_post("/pair", self._pair)
        app.router.add_get("/live", self._pages.serve)
        if self._replay is not None:
            ReplayRoutes(self._replay).add_to(app)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if reason := refusal(request, self._names):
            return web.Response(status=403, text=reason)
        public = request.path in ("/", "/pair") or request.path.startswith("/static/")
        if self._pairing and not public and not self._pairing.knows(request.cookies.get(COOKIE)):
            return web.Response(status=401, text="this browser is not paired yet; the terminal shows a code")
        try:
            return await handler(request)
        except (ValueError, OSError) as error:
            return web.Response(status=422, text=str(error))

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", "index.html")
        suffix = name[name.rfind(".") :]
        if name not in self._static or suffix not in _TYPES:
            raise web.HTTPNotFound(text="there is no such file")
        return web.Response(body=self._static[name], content_type=_TYPES[suffix], charset="utf-8")

    async def _about(self, request: web.Request) -> web.Response:
        return web.json_response({
            "live": self._inputs is not None or self._replay is None,
            "drive": self._inputs is not None,
            "replay": self._replay is not None,
            "actions": ACTIONS,
            "keys": keyboard.BUTTONS,
            "codes": [*keyboard.MOTION, *keyboard.FAST, *keyboard.BUTTONS],
            "age_limit": None if self._inputs is None else self._inputs.limits.age,
            "help": {"keyboard": keyboard.HELP, "gamepad": gamepad.HELP, "xr": webxr.HELP},
        })  # fmt: skip

    async def _pair(self, request: web.Request) -> web.Response:
        try:
            code = msgspec.json.decode(await request.read(), type=_Code).code
            response = web.Response(status=204)
            if self._pairing:
                set_cookie(response, self._pairing.pair("".join(code.split())))
        except (msgspec.MsgspecError, PairingError) as error:
            return web.Response(status=403, text=str(error))
        return response


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _why_not(config: PageConfig, error: OSError) -> str:
    """Return why the server cannot listen, in words."""
    if error.errno == errno.EADDRINUSE:
        return f"port {config.port} is in use, perhaps by another session; end that, or give another port"
    if error.errno == errno.EACCES:
        return f"port {config.port} is for the system; give one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{config.host} is no address of this computer; give one of its own, or 0.0.0.0 for all"
    return f"cannot listen at {config.host}:{config.port}: {error.strerror or error}"
