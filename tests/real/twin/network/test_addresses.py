from __future__ import annotations

import itertools
import re
import socket
from contextlib import ExitStack

import pytest
from ur_fakes import KinematicPlant, new_host

from real.robot import RobotError
from real.twin.network import addresses
from real.twin.network.addresses import PORTS, RTDE_PORT, check_free, free_address
from real.twin.network.hand_port import HandServerProcess
from real.twin.network.server import TwinServer


@pytest.fixture
def listen():
    """Listen at an address until the test ends, as a server does."""
    with ExitStack() as stack:

        def listen(host, port):
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()

        yield listen


@pytest.fixture
def network(monkeypatch):
    """A small loopback network of this test's own: the addresses that are suggested are among these."""
    hosts = [new_host() for _ in range(4)]
    monkeypatch.setattr(addresses, "_candidates", lambda: iter(hosts))
    return hosts


@pytest.mark.parametrize("port", PORTS)
def test_an_address_with_one_port_taken_is_not_suggested(network, listen, port):
    listen(network[0], port)
    listen(network[1], RTDE_PORT)
    with pytest.raises(RobotError, match=rf"port {port} of {network[0]} is in use.* such as {network[2]}$"):
        check_free(network[0])
    check_free(network[2])


def test_with_several_twins_the_suggested_address_can_be_served(network):
    with ExitStack() as stack:
        for host in network[:2]:
            stack.enter_context(TwinServer(KinematicPlant(), host))
        with pytest.raises(RobotError) as raised, TwinServer(KinematicPlant(), network[0]):
            pass
        suggested = re.search(r"such as ([\d.]+)", str(raised.value))[1]
        assert suggested == network[2]
        stack.enter_context(TwinServer(KinematicPlant(), suggested))


def test_no_address_is_invented_when_none_is_free(network, listen):
    for host in network:
        listen(host, PORTS[-1])
    assert free_address() is None
    with pytest.raises(RobotError, match=r"in use, perhaps by another twin; end that one; no other address"):
        check_free(network[0])


def test_a_service_on_every_address_is_seen(network, listen):
    free = next(port for port in itertools.count(47000) if addresses._bind_error("127.0.0.1", port) is None)
    listen("0.0.0.0", free)
    with pytest.raises(RobotError, match=rf"port {free} of {network[0]} is in use"):
        check_free(network[0], [free])


def test_the_first_candidates_leave_out_the_address_without_a_check():
    hosts = list(addresses._candidates())
    assert hosts[:2] == ["127.0.0.2", "127.0.0.3"] and "127.0.0.1" not in hosts


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "localhost", "::1", "", "127.0.0.256", "robot"])
def test_only_the_loopback_network_is_served(host):
    with pytest.raises(RobotError, match=r"a twin is served at an address in 127.0.0.0/8, such as 127.0.0.2, not at"):
        check_free(host)


def test_a_hand_server_does_not_take_another_one_for_itself(network, listen):
    listen(network[0], addresses.HAND_SERVER_PORT)
    with pytest.raises(RobotError, match=rf"port 5557 of {network[0]} is in use"):
        HandServerProcess(network[0])
