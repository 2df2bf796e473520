"""The hand server: it owns the hand, and serves it to clients over ZeroMQ (`real.hand_protocol`).

`python -m real.hand_server --port /dev/ttyUSB0`                  a hand on RS485
`python -m real.hand_server --ethercat eth0`                      a hand on EtherCAT
`python -m real.hand_server --twin 127.0.0.2`                     the hand of a twin
`python -m real.hand_server keys --folder keys`                   keys for clients on other computers
`python -m real.hand_server --port /dev/ttyUSB0 --bind tcp://192.168.1.5:5557 --keys keys`

It runs where the vendor's SDK is installed, whose wheels are for Python 3.10 and 3.12; besides it needs pyzmq, msgspec
and NumPy. One client commands at a time, others may read. The hand holds its present joint positions when its client
is silent or gone, and when the server ends; if it is killed, its guard holds the hand (`real.hardware.hand_guard`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from dexscrew_envs import program
from real import hand_protocol as protocol
from real.hardware.hand_device import DEAD_MAN, HandDevice
from real.hardware.hand_guard import HandGuard
from real.hardware.hand_sdk import load_sdk
from real.robot import RobotError, SetupError

SESSIONS = 16
"""Most sessions at a time."""
IDLE = 10.0
"""A session ends after this time without a message (s)."""
_POLL = 5  # ms
_BURST = 1000  # messages that are taken before anything else is looked after
_CLOSE_TIMEOUT = 2.0
_REPORT = 10.0


@dataclass
class _Session:
    """What the server knows of a client."""

    key: bytes
    client: str
    sequence: int = 0
    seen: float = 0.0
    connection: int = -1
    """File descriptor of the connection that its last message came through."""


class HandServer:
    """Serves one hand.

    Args:
        device: the hand, started.
        address: where to listen.
        keys: folder that `create_keys` made; needed if other machines reach the address.

    Raises:
        SetupError: the address is not free, none, or needs keys.
    """

    def __init__(self, device: HandDevice, address: str = protocol.ADDRESS, keys: Path | None = None) -> None:
        host, port = protocol.parse_address(address)
        if keys is None and not protocol.is_loopback(host):
            raise SetupError(
                f"{address} can be reached from other machines, which needs keys: make them with "
                "`python -m real.hand_server keys --folder keys`, and give --keys keys"
            )
        self.device, self.address = device, address
        self._sessions: dict[bytes, _Session] = {}
        self._commander: bytes | None = None
        self._commanded = 0.0
        self._zeroing: list[tuple[bytes, int, Future[None]]] = []
        self._context = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None
        self._socket = self._context.socket(zmq.ROUTER)
        try:
            self._configure(keys)
            self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            self._poller = zmq.Poller()
            for source in (self._socket, self._monitor):
                self._poller.register(source, zmq.POLLIN)
            self._socket.bind(address)
        except (zmq.ZMQError, RobotError) as error:
            self._release()
            if isinstance(error, RobotError):
                raise
            in_use = error.errno == zmq.EADDRINUSE
            reason = f"port {port} is in use; another hand server may run" if in_use else str(error)
            raise SetupError(f"the hand server cannot listen at {address}: {reason}") from None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="hand server", daemon=True)

    def start(self) -> None:
        """Serve from now on, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving; the hand holds its present joint positions if a client commanded it."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_TIMEOUT)
        self._hold()
        self._release()

    def _configure(self, keys: Path | None) -> None:
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, protocol.MAX_REQUEST)
        self._socket.setsockopt(zmq.RCVHWM, 100)
        self._socket.setsockopt(zmq.SNDHWM, 10)
        if keys is None:
            return
        public, secret = protocol.load_key_pair(keys / "server.key_secret")
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve(domain="*", location=keys / "clients")
        self._socket.curve_publickey, self._socket.curve_secretkey = public, secret
        self._socket.curve_server = True

    def _release(self) -> None:
        if self._authenticator is not None:
            if self._authenticator.is_alive():
                self._authenticator.stop()
            else:  # it failed, and would wait for its thread for ever
                self._authenticator.pipe = None  # type: ignore[assignment]
        self._context.destroy(linger=0)

    # -- the server's thread ------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while not self._closing.is_set():
                self._poller.poll(_POLL)
                gone = self._disconnected()  # before the messages, of which some may be from those that are gone
                for _ in range(_BURST):
                    if not self._take_message():
                        break
                self._hold_if_gone(gone)
                self._answer_zeroing()
                now = time.monotonic()
                if self._commander is not None and now - self._commanded > DEAD_MAN:
                    self._commander = None  # The device holds the hand by itself.
                for client in [c for c, session in self._sessions.items() if now - session.seen > IDLE]:
                    del self._sessions[client]
        finally:  # However it ends, by a fault of ours too, which `threading.excepthook` then tells the program.
            self._hold()

    def _hold(self) -> None:
        """Let the hand hold, if a client commands it."""
        if self._commander is not None:
            self._commander = None
            self.device.hold()

    def _disconnected(self) -> set[int]:
        """Return the file descriptors of connections that ended since the last call."""
        gone = set()
        while self._monitor.poll(0):
            gone.add(int(recv_monitor_message(self._monitor)["value"]))
        return gone

    def _hold_if_gone(self, connections: set[int]) -> None:
        """Let the hand hold if the client that commands it came through one of the connections that ended.

        A new connection may have the descriptor of an old one by now. Holding once too often is harmless, so the
        session stays, and its next command moves the hand again.
        """
        session = self._sessions.get(self._commander or b"")
        if session is not None and session.connection in connections:
            self._hold()

    def _take_message(self) -> bool:
        """Take a message, if there is one; return whether there was."""
        try:
            parts = self._socket.recv_multipart(zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return False
        client, *frames = (part.bytes for part in parts)
        try:
            connection = int(parts[-1].get(zmq.SRCFD))
        except zmq.ZMQError:  # what a peer of another protocol sends has no connection, and is no message of ours
            return True
        if len(frames) == 1:
            reply = self._answer(client, frames[0], connection)
            if reply is not None:
                self._send(client, reply)
        return True

    def _answer(self, client: bytes, frame: bytes, connection: int) -> protocol.Reply | None:
        """Carry out a message that came through a connection; return the answer, or None if it comes later."""
        try:
            request = protocol.decode_request(frame)
        except ValueError as error:
            return protocol.Refused(0, str(error)[:256])
        if isinstance(request, protocol.Hello):
            return self._open_session(client, request, connection)
        session = self._sessions.get(client)
        if session is None or not secrets.compare_digest(session.key, request.session):
            return protocol.Refused(request.sequence, "no such session; connect again")
        if request.sequence <= session.sequence:
            return protocol.Refused(request.sequence, "this message came before")
        session.sequence, session.seen, session.connection = request.sequence, time.monotonic(), connection
        return self._carry_out(client, request)

    def _send(self, client: bytes, message: protocol.Reply) -> None:
        self._socket.send_multipart([client, protocol.encode(message)])

    def _open_session(
        self, client: bytes, hello: protocol.Hello, connection: int
    ) -> protocol.Welcome | protocol.Refused:
        if hello.version != protocol.VERSION:
            return protocol.Refused(
                0, f"the hand server speaks version {protocol.VERSION} of the protocol, the client {hello.version}; "
                "update the older one",
            )  # fmt: skip
        if client not in self._sessions and len(self._sessions) >= SESSIONS:
            return protocol.Refused(0, f"the hand server has {SESSIONS} clients already; close one")
        if client == self._commander:
            self._hold()
        session = _Session(secrets.token_bytes(16), hello.client, seen=time.monotonic(), connection=connection)
        self._sessions[client] = session
        return protocol.Welcome(protocol.VERSION, session.key, self.device.name[:256])

    def _carry_out(self, client: bytes, request: protocol.SessionRequest) -> protocol.Reply | None:
        sequence = request.sequence
        if isinstance(request, protocol.Read):
            return self._state(sequence)
        if isinstance(request, protocol.Bye):
            del self._sessions[client]
            if client == self._commander:
                self._hold()
            return protocol.Done(sequence)
        if self._commander not in (None, client):
            owner = self._sessions.get(self._commander or b"")
            name = owner.client if owner else "unknown"
            return protocol.Refused(sequence, f"another client commands the hand ({name}); end that one first")
        if isinstance(request, protocol.Zero):
            self._zeroing.append((client, sequence, self.device.zero_tactile()))
            return None
        if isinstance(request, protocol.Command):
            position = np.array(request.position)
            try:
                protocol.check_target(position)
            except ValueError as error:
                return protocol.Refused(sequence, str(error)[:256])
            self.device.command(
                position.clip(protocol.LOWER, protocol.UPPER),
                (request.kp, request.ki, request.kd, request.tor_max),
            )
        else:
            self.device.hold()
        self._commander, self._commanded = client, time.monotonic()
        return protocol.Done(sequence)

    def _state(self, sequence: int) -> protocol.State:
        reading, now = self.device.reading, time.monotonic()
        return protocol.State(
            sequence,
            reading.number,
            min(now - reading.time, 1e9),
            reading.q.tolist(),
            reading.current.tolist(),
            reading.tactile_number,
            min(now - reading.tactile_time, 1e9),
            protocol.pack_counts(reading.tactile),
            protocol.pack_counts(reading.resultant),
            [error[:256] for error in reading.errors[:8]],
        )

    def _answer_zeroing(self) -> None:
        for entry in [entry for entry in self._zeroing if entry[2].done()]:
            self._zeroing.remove(entry)
            client, sequence, future = entry
            error = future.exception()
            self._send(
                client,
                protocol.Done(sequence) if error is None else protocol.Refused(sequence, str(error)[:256]),
            )


def create_keys(folder: Path) -> None:
    """Make a key pair for the server and one for a client.

    Raises:
        SetupError: the folder has keys already, or other files, or it cannot be made.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise SetupError(
            f"{folder} has keys already, or other files; give another folder, or delete it if no client needs its keys"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as temporary:  # half a set is of no use
            beside = Path(temporary) / "keys"
            (beside / "clients").mkdir(parents=True, mode=0o700)
            previous = os.umask(0o077)
            try:
                for name in ("server", "client"):
                    zmq.auth.create_certificates(beside, name)
            finally:
                os.umask(previous)
            (beside / "client.key").rename(beside / "clients" / "client.key")
            beside.rename(folder)
    except OSError as error:
        raise SetupError(f"{folder} cannot be a folder of keys: {error.strerror}; give another --folder") from error
    print(
        f"keys are in {folder}. Start the server with --keys {folder}, and copy server.key and client.key_secret, "
        "which is secret, to the client's computer."
    )


def _report(device: HandDevice, guard: HandGuard) -> None:
    """Print errors when they change, and the rate every ten seconds, for as long as the guard is there.

    Raises:
        RobotError: it is not.
    """
    errors: tuple[str, ...] = ()
    number, since = device.reading.number, time.monotonic()
    while True:
        time.sleep(0.5)
        guard.check()
        reading, now = device.reading, time.monotonic()
        if reading.errors != errors and reading.errors:
            _print(f"hand: {'; '.join(reading.errors)}")
        errors = reading.errors
        if now - since > _REPORT:
            _print(f"{(reading.number - number) / (now - since):.0f} readings a second")
            number, since = reading.number, now


def _print(line: str) -> None:
    """Print a line; the server goes on without its terminal, and with a full disk."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until a signal ends it, or make keys; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m real.hand_server", description="Serves an XHand to clients.")
    parser.add_argument(
        "action", nargs="?", choices=["serve", "keys"], default="serve",
        help="serve: serve a hand until Ctrl-C (default); keys: make keys for the server and a client, and end",
    )  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", default="/dev/ttyUSB0", help="serial port of the hand (default %(default)s)")
    where.add_argument("--ethercat", metavar="INTERFACE", help="network interface of the hand, such as eth0")
    where.add_argument(
        "--twin", metavar="HOST", help="serve the hand of a twin instead, at this address, such as 127.0.0.2"
    )
    parser.add_argument(
        "--bind",
        metavar="ADDRESS",
        default=protocol.ADDRESS,
        help="where to listen for clients (default %(default)s)",
    )
    parser.add_argument(
        "--keys", type=Path, metavar="FOLDER",
        help="folder that `keys` wrote; needed if other machines reach the address (default: clients need no keys)",
    )  # fmt: skip
    parser.add_argument(
        "--folder", type=Path, default=Path("keys"), help="with `keys`: where to write them (default %(default)s)"
    )
    args = parser.parse_args(arguments)
    return program.run(lambda: create_keys(args.folder) if args.action == "keys" else _serve_until_told(args))


def _serve_until_told(args: argparse.Namespace) -> None:
    """Serve until an exception comes, as by a signal; then the hand holds."""
    twin, ethercat = args.twin is not None, args.ethercat is not None
    sdk = load_sdk(twin)
    port = f"twin://{args.twin}:5560" if twin else args.ethercat or args.port
    guard = HandGuard(port, ethercat=ethercat, twin=twin)
    device = HandDevice(sdk, port, ethercat=ethercat, tell=guard.tell)
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: guard.close(goodbye=device.close()))
        guard.wait_until_ready()
        server = HandServer(device, args.bind, args.keys)
        stack.callback(server.close)
        device.start()
        server.start()
        _print(f"{device.name} at {port} is served at {args.bind}")
        _report(device, guard)
