"""The hand's driver: a client of the hand server (`real.hardware.hand_server`).

Two connections: one for a thread that asks for the newest reading all the time, so that `read` never waits, and one
for what the caller commands. A reading's time is that of this computer, and never later than the truth: the moment when
it was asked for, less its age at the answer. What is lost stays lost until `connect` is called again.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from numpy.typing import ArrayLike
from zmq.utils.monitor import recv_monitor_message

from real import hand_protocol as protocol
from real.robot import TAXELS, HandState, RobotError, SetupError

FRESH = 0.1
"""`recover` wants readings that are not older (s)."""
_PERIOD = 0.006  # Half of the hand's own period.
_RECOVERY = 1.0  # How long `recover` waits for a fresh reading (s).
_LOST = 0.5  # Without an answer for this time the server is taken for lost.
_ANSWER = 0.02  # A command waits no longer than this for its answer (s), so that a control loop goes on.
_ZERO_TIMEOUT = 10.0
_END_TIMEOUT = 2.0  # Of the reading thread, which waits for less.


class _Keys:
    """The server's public key, and the client's own pair."""

    def __init__(self, server_key: Path, client_key: Path) -> None:
        self.server = protocol.load_public_key(server_key)
        self.public, self.secret = protocol.load_key_pair(client_key)


class _Connection:
    """A session with the hand server, for one thread at a time."""

    def __init__(self, context: zmq.Context[Any], address: str, keys: _Keys | None, timeout: float) -> None:
        self._address = address
        self._sequence = 0
        self._key = b""
        try:
            self._socket = context.socket(zmq.DEALER)
        except zmq.ZMQError as error:
            raise RobotError(f"cannot connect to {address}: {error}") from error
        try:
            self._connect(keys, timeout)
        except zmq.ZMQError as error:
            raise RobotError(f"cannot connect to {address}: {error}") from error
        finally:
            if not self._key:
                self._socket.close()

    def _connect(self, keys: _Keys | None, timeout: float) -> None:
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # What cannot be sent now must not be sent later.
        self._socket.setsockopt(zmq.SNDHWM, 4)
        self._socket.setsockopt(zmq.MAXMSGSIZE, protocol.MAX_REPLY)
        if keys is not None:
            self._socket.curve_serverkey = keys.server
            self._socket.curve_publickey, self._socket.curve_secretkey = keys.public, keys.secret
        monitor = self._socket.get_monitor_socket(zmq.EVENT_ALL)
        try:
            self._socket.connect(self._address)
            self._open(timeout, monitor)
        finally:
            self._socket.disable_monitor()

    def _open(self, timeout: float, monitor: zmq.Socket[Any]) -> None:
        end = time.monotonic() + timeout
        connected = False
        while True:
            left = end - time.monotonic()
            if left <= 0:
                break
            if not monitor.poll(math.ceil(1000 * left)):
                continue
            event = recv_monitor_message(monitor)["event"]
            connected |= event == zmq.EVENT_CONNECTED
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                hello = protocol.Hello(protocol.VERSION, f"{socket.gethostname()[:40]}, process {os.getpid()}")
                welcome = self._exchange(hello, max(end - time.monotonic(), 0.1))
                if isinstance(welcome, protocol.Welcome):
                    self._key = welcome.session
                    return
                if isinstance(welcome, protocol.Refused):
                    raise RobotError(f"{self._address}: {welcome.reason}")
                raise RobotError(f"what answers at {self._address} is no hand server of version {protocol.VERSION}")
        if connected:
            raise RobotError(
                f"{self._address} accepts the connection but not the handshake: the keys are wrong or missing, or "
                "it is no hand server"
            )
        raise RobotError(f"nothing answers at {self._address}; start the hand server, and check address and network")

    def ask(self, kind: type[Any], timeout: float, *fields: Any) -> protocol.Reply | None:
        """Send a request of a kind with its fields; return the answer, or None if none comes in time.

        Raises:
            RobotError: the connection cannot be used any more.
        """
        self._sequence += 1
        try:
            return self._exchange(kind(self._key, self._sequence, *fields), timeout)
        except zmq.ZMQError as error:
            raise RobotError(f"the connection to {self._address} is broken: {error}") from error

    def _exchange(self, request: protocol.Request, timeout: float) -> protocol.Reply | None:
        sequence = 0 if isinstance(request, protocol.Hello) else request.sequence
        end = time.monotonic() + timeout
        if not self._socket.poll(math.ceil(1000 * timeout), zmq.POLLOUT):
            return None
        try:
            self._socket.send(protocol.encode(request), zmq.DONTWAIT)
        except zmq.Again:  # The connection broke in between.
            return None
        while self._socket.poll(max(0, math.ceil(1000 * (end - time.monotonic())))):
            try:
                reply = protocol.decode_reply(self._socket.recv())
            except ValueError:
                return None
            # A late answer to an earlier request does not answer this one.
            if isinstance(reply, protocol.Welcome) or reply.sequence == sequence or reply.sequence == 0:
                return reply
        return None

    def close(self) -> None:
        """Say goodbye, and close."""
        if self._key:
            with contextlib.suppress(RobotError):
                self.ask(protocol.Bye, 0.1)
        self._socket.close()


class XHand:
    """An XHand behind a hand server.

    Args:
        address: of the server, such as tcp://127.0.0.1:5557.
        server_key: file with the server's public key; needed beyond this machine.
        client_key: file with this client's own key pair; needed beyond this machine.

    Raises:
        RobotError: the address cannot be one, or needs keys.
    """

    def __init__(
        self, address: str = protocol.ADDRESS, *, server_key: Path | None = None, client_key: Path | None = None
    ) -> None:
        host, _ = protocol.parse_address(address)
        if (server_key is None) != (client_key is None):
            raise SetupError("give both the server's key and the client's, or neither")
        if server_key is None and not protocol.is_loopback(host):
            raise SetupError(
                f"{address} is on another machine, which needs keys: give server.key and client.key_secret of "
                "`python -m real.hand_server keys`"
            )
        self.address = address
        self._keys = _Keys(server_key, client_key) if server_key is not None and client_key is not None else None
        self._state: HandState | None = None
        self._numbers = (0, 0)
        self._lost: str | None = "it is not connected; call connect()"
        self._commands: _Connection | None = None
        self._unanswered: float | None = None  # Since when.
        # A watching thread may hold the hand while another one commands; an answer is waited for meanwhile, no longer.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def connect(self, timeout: float = 5.0) -> None:
        """Connect, or connect again, and wait for the first reading.

        Raises:
            RobotError: nothing answers, it is no hand server of this version, the keys do not match, or the hand gives
                no reading; the message says which.
        """
        self.close()
        try:
            self._connect(timeout)
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    def _connect(self, timeout: float) -> None:
        context: zmq.Context[Any] = zmq.Context.instance()
        end = time.monotonic() + timeout
        self._commands = _Connection(context, self.address, self._keys, timeout)
        readings = _Connection(context, self.address, self._keys, timeout)
        self._state, self._numbers, self._lost, self._unanswered = None, (0, 0), None, None
        self._closing.clear()
        self._thread = threading.Thread(target=self._read_all_the_time, args=(readings,), name="XHand", daemon=True)
        self._thread.start()
        while self._lost is None and not all(self._numbers):
            if time.monotonic() > end:
                errors = "; ".join(self._state.errors) if self._state is not None else ""
                raise RobotError(
                    f"the hand server at {self.address} has no reading of the hand: {errors or 'no error'}"
                )
            time.sleep(0.01)
        if self._lost is not None:
            raise RobotError(self._lost)

    def read(self) -> HandState:
        """Return the newest reading, however old; never wait.

        Raises:
            RobotError: it was never connected.
        """
        state, lost = self._state, self._lost
        if state is None:
            raise RobotError(f"the hand has no reading: {lost}")
        return state if lost is None else replace(state, errors=(*state.errors, lost))

    def command(self, q: ArrayLike, *, kp: int = 100, ki: int = 0, kd: int = 1, tor_max: int = 100) -> None:
        """Send joint targets. The hand holds its position if no command follows within half a second.

        Args:
            q: (12,) joint targets, policy order (rad).
            kp: proportional gain in the vendor's units.
            ki: integral gain.
            kd: derivative gain.
            tor_max: limit of the motors' current (mA).

        Raises:
            ValueError: a target or gain is out of its range.
            RobotError: the server is lost, another client commands, or the server refuses. What the server says late,
                on a busy machine, is raised by a later call.
        """
        position = np.asarray(q, dtype=np.float64)
        if position.shape != (len(protocol.JOINTS),):
            raise ValueError(f"the hand needs {len(protocol.JOINTS)} joint targets, got shape {position.shape}")
        protocol.check_target(position)
        for name, gain in {"kp": kp, "ki": ki, "kd": kd, "tor_max": tor_max}.items():
            if not isinstance(gain, int) or not 0 <= gain <= protocol.MAX_GAIN:
                raise ValueError(f"{name} must be an integer from 0 to {protocol.MAX_GAIN}, got {gain!r}")
        self._ask(protocol.Command, _ANSWER, position.tolist(), kp, ki, kd, tor_max)

    def hold(self) -> None:
        """Make the hand hold its present joint positions.

        Safe in any state: a server that cannot be reached does so by itself, half a second after the last command.
        """
        with contextlib.suppress(RobotError), self._lock:
            if self._commands is not None:  # even if readings are lost
                self._commands.ask(protocol.Hold, _ANSWER)

    def zero_tactile(self) -> None:
        """Zero the tactile sensors, which nothing may touch; takes about a second.

        Raises:
            RobotError: it did not succeed; the message says why.
        """
        self._ask(protocol.Zero, _ZERO_TIMEOUT)

    def recover(self) -> None:
        """Make the hand ready after a stop: connect again if the server was lost.

        Raises:
            RobotError: the server is lost still, or the hand gives no fresh readings.
        """
        if self._lost is not None:
            self.connect()
        end = time.monotonic() + _RECOVERY
        while True:
            state = self.read()
            age = time.monotonic() - min(state.time, state.tactile_time)
            if age <= FRESH:
                return
            if time.monotonic() > end:
                raise RobotError(
                    f"the hand's readings are {age:.2f} s old: {'; '.join(state.errors) or 'no error reported'}"
                )
            time.sleep(_PERIOD)

    def close(self) -> None:
        """Close; the server makes the hand hold its present joint positions if this client commanded it."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(_END_TIMEOUT)
        with self._lock:
            commands, self._commands = self._commands, None
            if commands is not None:
                commands.close()
        self._thread = None
        if self._lost is None:
            self._lost = "it is closed; call connect()"

    def _ask(self, kind: type[Any], timeout: float, *fields: Any) -> None:
        asked = time.monotonic()
        with self._lock:
            if self._lost is not None or self._commands is None:
                raise RobotError(f"cannot command the hand: {self._lost}")
            reply = self._commands.ask(kind, timeout, *fields)
            self._unanswered = None if reply is not None else self._unanswered or asked
            silence = 0.0 if self._unanswered is None else time.monotonic() - self._unanswered
        if silence > _LOST:
            raise RobotError(f"the hand server at {self.address} has not answered for {silence:.1f} s")
        if isinstance(reply, protocol.Refused):
            raise RobotError(f"the hand server refuses: {reply.reason}")

    def _read_all_the_time(self, connection: _Connection) -> None:
        try:
            while not self._closing.wait(_PERIOD):
                asked = time.monotonic()
                reply = connection.ask(protocol.Read, _LOST)
                if not isinstance(reply, protocol.State):
                    raise RobotError(
                        reply.reason if isinstance(reply, protocol.Refused) else f"no answer for {_LOST:g} s"
                    )
                self._take(reply, asked)
        except BaseException as error:  # any error: a reader must know
            reason = str(error) if isinstance(error, RobotError) else repr(error)
            self._lost = f"the hand server at {self.address} is lost ({reason}); connect again"
        finally:
            connection.close()

    def _take(self, reply: protocol.State, asked: float) -> None:
        old, (number, tactile_number) = self._state, self._numbers
        state = HandState(
            time=asked - reply.age,
            q=np.array(reply.position),
            current=np.array(reply.current, dtype=np.float64),
            tactile=protocol.unpack_counts(reply.tactile).reshape(len(protocol.FINGERS), TAXELS, 3),
            resultant=protocol.unpack_counts(reply.resultant),
            tactile_time=asked - reply.tactile_age,
            errors=tuple(reply.errors),
        )
        if old is not None and reply.number == number:
            state = replace(state, time=old.time)
        if old is not None and reply.tactile_number == tactile_number:
            state = replace(state, tactile_time=old.tactile_time)
        self._state, self._numbers = state, (reply.number, reply.tactile_number)
