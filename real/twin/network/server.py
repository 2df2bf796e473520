"""The twin on the network: RTDE, dashboard and script ports of its arm, at wall-clock speed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from real.robot import RobotError
from real.twin.controller import TIMESTEP
from real.twin.network import dashboard
from real.twin.network.addresses import DASHBOARD_PORT, RTDE_PORT, SCRIPT_PORT, cannot_serve
from real.twin.network.control_box import ControlBox, Plant
from real.twin.network.rtde import HEADER, MAX_PACKET, Session
from real.twin.network.script import MAX_SCRIPT

MAX_LINE = 1024
"""Longest line that the dashboard takes (bytes)."""

_MAX_UNSENT = 1 << 16  # what a client that does not read may hold up, here and in the kernel (bytes)
_MAX_CATCH_UP = 0.1  # time that the twin makes up for after it was held up; the rest is lost to it (s)
_START_TIMEOUT = 10.0
_END_TIMEOUT = 10.0
_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_log = logging.getLogger(__name__)


class TwinServer:
    """Serves a plant as a UR5e on one address, in a thread; a context manager.

    Several twins run side by side on different loopback addresses. At 127.0.0.1 ur_rtde omits its check of the remote
    control, so the default is another.

    Args:
        plant: what it serves; nothing else may step it meanwhile.
        host: address to bind to.
        version: of the controller's software, to report: major, minor, bugfix. From 10 on there is no dashboard.
        remote_control: whether programs may be sent over the network.

    Attributes:
        lock: held while the plant advances, by a step at a time; take it to look at the plant from another thread.
    """

    def __init__(
        self,
        plant: Plant,
        host: str = "127.0.0.2",
        *,
        version: tuple[int, int, int] = (5, 13, 0),
        remote_control: bool = True,
    ) -> None:
        self.host = host
        self.box = ControlBox(plant, version=version, remote_control=remote_control)
        self.lock = threading.Lock()
        self._owners: dict[str, Session] = {}
        self._sessions: dict[Session, asyncio.StreamWriter] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._silent_until = 0.0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"twin at {host}", daemon=True)

    def __enter__(self) -> Self:
        """Start to serve.

        Raises:
            RobotError: a port is in use, or the address is not one of this machine.
        """
        self._thread.start()
        started = self._ready.wait(_START_TIMEOUT)
        if self._error is not None:
            self._thread.join(_END_TIMEOUT)
            raise self._error
        if not started:
            self.__exit__(None, None, None)
            raise RobotError(f"the twin at {self.host} did not start within {_START_TIMEOUT:g} s; try again")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections and end."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_END_TIMEOUT)

    @property
    def error(self) -> BaseException | None:
        """What ended the server, if it did not end on request."""
        return self._error

    def silence(self, seconds: float) -> None:
        """A fault: let nothing pass over the network, in either direction, for some time; connections stay open."""
        self._silent_until = time.monotonic() + seconds

    def freeze_readings(self) -> None:
        """A fault: let readings stay as they are, their time stamps included, while everything else goes on."""
        with self.lock:
            self.box.freeze_readings()

    def thaw_readings(self) -> None:
        """End `freeze_readings`."""
        with self.lock:
            self.box.thaw_readings()

    def protective_stop(self) -> None:
        """A fault: stop the arm, as too large a force does."""
        with self.lock:
            self.box.plant.trigger_protective_stop()

    def emergency_stop(self) -> None:
        """A fault: press the emergency stop."""
        with self.lock:
            self.box.emergency_stop()

    def release_emergency_stop(self) -> None:
        """Pull the emergency stop out again."""
        with self.lock:
            self.box.release_emergency_stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # `error` tells whoever serves it
            self._error = error
            if self._ready.is_set():
                _log.exception("the twin at %s ended", self.host)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(await self._listen(self._serve_rtde, RTDE_PORT))
            await stack.enter_async_context(await self._listen(self._serve_script, SCRIPT_PORT))
            if self.box.version[0] < 10:
                await stack.enter_async_context(await self._listen(self._serve_dashboard, DASHBOARD_PORT))
            self._ready.set()
            try:
                await self._advance()
            finally:
                for connection in self._connections:
                    connection.cancel()
                await asyncio.gather(*self._connections, return_exceptions=True)

    async def _listen(self, serve: _Serve, port: int) -> asyncio.Server:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                await serve(reader, writer)
            except (asyncio.IncompleteReadError, OSError, asyncio.LimitOverrunError, asyncio.CancelledError):
                pass  # the client left, sent a line without end, or the twin ends
            except Exception:  # a fault of ours, which ends this connection alone, as a client's would
                _log.exception("a connection to port %d of %s ended", port, self.host)
            finally:
                self._connections.discard(task)
                writer.close()

        try:
            return await asyncio.start_server(connected, self.host, port, limit=MAX_LINE)
        except OSError as error:
            raise cannot_serve(self.host, port, error) from error

    async def _advance(self) -> None:
        """Advance the plant with the clock, and stream what is due, until the end."""
        assert self._stopping is not None
        due = time.monotonic()
        while not self._stopping.is_set():
            with self.lock:
                self.box.step()
                self._stream()
            now = time.monotonic()
            due = max(due + TIMESTEP, now - _MAX_CATCH_UP)
            await asyncio.sleep(max(0.0, due - now))  # also when late: what clients sent meanwhile comes first

    def _stream(self) -> None:
        if self._silent:
            return
        for session, writer in self._sessions.items():
            data = session.stream(self.box.tick)
            if data is not None and not writer.is_closing():
                writer.write(data)
                if writer.transport.get_write_buffer_size() > _MAX_UNSENT:
                    _log.warning("a client does not read; its connection is closed")
                    writer.transport.abort()

    @property
    def _silent(self) -> bool:
        return time.monotonic() < self._silent_until

    async def _pass_network(self) -> None:
        """Wait while the network is silent."""
        while self._silent:
            await asyncio.sleep(self._silent_until - time.monotonic())

    async def _serve_rtde(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MAX_UNSENT)
        session = Session(self.box, self._owners)
        self._sessions[session] = writer
        try:
            while True:
                size, kind = HEADER.unpack(await reader.readexactly(HEADER.size))
                if not HEADER.size <= size <= MAX_PACKET:
                    _log.warning("a packet of %d bytes was refused; its connection is closed", size)
                    return
                payload = await reader.readexactly(size - HEADER.size)
                await self._pass_network()
                reply = session.handle(kind, payload)
                if reply is not None:
                    writer.write(reply)
                    await writer.drain()
        finally:
            session.close()
            del self._sessions[session]

    async def _serve_dashboard(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = dashboard.BANNER
        while True:
            await self._pass_network()
            writer.write(answer.encode() + b"\n")
            await writer.drain()
            line = (await reader.readuntil()).decode(errors="replace")
            answer = dashboard.reply(self.box, line)

    async def _serve_script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take programs; one ends at a line `end` in the first column. What is no program is ignored."""
        lines: list[bytes] = []
        size = 0
        while size < MAX_SCRIPT:
            line = await reader.readuntil()
            if not lines and not line.startswith(b"def "):
                continue
            lines.append(line)
            size += len(line)
            if line.rstrip() == b"end":
                await self._pass_network()
                self.box.upload(b"".join(lines).decode(errors="replace"))
                lines, size = [], 0
        _log.warning("a program of more than %d bytes was refused; its connection is closed", MAX_SCRIPT)
