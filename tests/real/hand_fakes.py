"""A hand without physics behind the twin's port, and everything that serves it, for tests."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager

import numpy as np

from real.hardware.hand_device import HandDevice
from real.hardware.hand_server import HandServer, load_sdk
from real.twin.network.hand_port import HandPort

START = np.array([0.0, 0.8, 0.4, 0.8, 0.4, 0.1, 0.1, 0.15, 0.1, 1.3, 0.3, 0.4])
_hosts = (f"127.{60 + os.getpid() % 190}.{a}.{b}" for a in range(57, 60) for b in range(2, 250))


def free_host() -> str:
    """Return a loopback address that no other test of this process uses."""
    return next(_hosts)


def is_held(plant: FakeHandPlant, start: np.ndarray, commanded: np.ndarray) -> bool:
    """Return whether the hand's target is a position that it had on its way from the start to a command."""
    target = plant.target
    low, high = np.minimum(start, commanded) - 0.02, np.maximum(start, commanded) + 0.02
    return not np.allclose(target, commanded) and bool(((low <= target) & (target <= high)).all())


class FakeHandPlant:
    """Joints that follow their target at first order, with a time constant (s), and taxels with noise."""

    def __init__(self, lag: float = 0.05) -> None:
        self.lag = lag
        self.target = START.copy()
        self.q = START.copy()
        self.commands: list[tuple] = []
        self.zeroed = 0
        self.offset = 40.0
        self._rng = np.random.default_rng(0)
        self._time = time.monotonic()

    @property
    def hand_q(self) -> np.ndarray:
        now = time.monotonic()
        self.q = self.q + (1 - np.exp(-(now - self._time) / self.lag)) * (self.target - self.q)
        self._time = now
        return self.q

    @property
    def hand_current(self) -> np.ndarray:
        return np.round(-50 * (self.target - self.q))

    @property
    def tactile(self) -> np.ndarray:
        counts = self.offset + self._rng.normal(0, 0.5, (5, 120, 3))
        return np.clip(np.rint(counts), [-128, -128, 0], [127, 127, 255]).astype(np.int16)

    @property
    def resultant(self) -> np.ndarray:
        counts = 2 * self.offset + self._rng.normal(0, 0.5, (5, 3))
        return np.clip(np.rint(counts), [-128, -128, 0], [127, 127, 255]).astype(np.int16)

    def command_hand(self, position, kp=100, ki=0, kd=1, tor_max=100, mode=3) -> None:
        self.commands.append((np.array(position), kp, ki, kd, tor_max, mode))
        self.target = np.array(position)

    def zero_tactile(self) -> None:
        self.zeroed += 1
        self.offset = 3.0


class Rig:
    """A fake plant, its port, a device on it and a server."""

    def __init__(self, host: str, keys=None) -> None:
        self.plant, self.lock = FakeHandPlant(), threading.Lock()
        self.port = HandPort(self.plant, self.lock, host).start()
        self.faults = self.port.faults
        self.device = HandDevice(load_sdk(twin=True), f"twin://{host}:5560")
        self.device.start()
        self.address = f"tcp://{host}:5557"
        self.server = HandServer(self.device, self.address, keys)
        self.server.start()

    def close(self) -> None:
        self.server.close()
        self.device.close()
        self.port.close()


@contextmanager
def served_hand(keys=None):
    rig = Rig(free_host(), keys)
    try:
        yield rig
    finally:
        rig.close()


def wait_until(condition, seconds: float = 10.0) -> None:
    """Wait until a condition holds; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
