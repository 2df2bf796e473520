"""Addresses of twins: each has one of the loopback network to itself, since clients have the ports built in."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable, Iterator

from real.hand_protocol import ADDRESS, parse_address
from real.robot import SetupError

RTDE_PORT, DASHBOARD_PORT, SCRIPT_PORT = 30004, 29999, 30003
"""Ports of UR's controllers."""
HAND_PORT = 5560
"""Port of the hand's line."""
HAND_SERVER_PORT = parse_address(ADDRESS)[1]
"""Port of the hand server."""
PORTS = (RTDE_PORT, SCRIPT_PORT, DASHBOARD_PORT, HAND_PORT, HAND_SERVER_PORT)
"""All ports of a twin."""


def check_free(host: str, ports: Iterable[int] = PORTS) -> None:
    """Check that a twin can serve at an address.

    Raises:
        SetupError: the address is not of the loopback network, or a port is taken; the message then names a free
            address.
    """
    if not _is_loopback(host):
        raise SetupError(f"a twin is served at an address in 127.0.0.0/8, such as 127.0.0.2, not at {host!r}")
    for port in ports:
        error = _bind_error(host, port)
        if error is not None:
            raise cannot_serve(host, port, error)


def cannot_serve(host: str, port: int, error: OSError) -> SetupError:
    """Return why a port cannot be served, and what to do."""
    if error.errno != errno.EADDRINUSE:
        return SetupError(f"cannot serve at {host}:{port}: {error}")
    free = free_address()
    other = f", or choose another address, such as {free}" if free else "; no other address of 127.0.0.0/24 is free"
    return SetupError(f"port {port} of {host} is in use, perhaps by another twin; end that one{other}")


def free_address() -> str | None:
    """Return an address on which all ports of a twin are free now, or None; never 127.0.0.1, which ur_rtde trusts."""
    return next((host for host in _candidates() if all(_bind_error(host, port) is None for port in PORTS)), None)


def _candidates() -> Iterator[str]:
    return (f"127.0.0.{k}" for k in range(2, 255))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def _bind_error(host: str, port: int) -> OSError | None:
    """Return why a port cannot be listened at, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as those who then listen there
        try:
            listener.bind((host, port))
        except OSError as error:
            return error
    return None
