"""A session without a robot: publishes states as a real one does, and notes the orders that it gets."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np

from dexscrew_envs.hands import XHAND_LEFT
from real.robot import TAXELS
from real.teleop.operator import Orders, Scene
from real.teleop.web.operator import WebOperator

FINGERS = [finger.name for finger in XHAND_LEFT.fingers]
PERIOD = 0.05


def state(step: int, orders: Orders | None = None) -> dict[str, Any]:
    """Return a state that looks like one of a nut being turned."""
    seconds = PERIOD * step
    generator = np.random.default_rng(step)
    rows, columns = np.mgrid[0:12, 0:10]
    tactile = generator.poisson(0.4, (len(FINGERS), TAXELS)).astype(np.uint8)
    for finger, strength in enumerate((34, 46, 20, 0, 3)):
        force = strength * (0.6 + 0.4 * math.sin(3 * seconds + finger))
        distance = (rows - 7 - math.sin(seconds)) ** 2 + (columns - 4.5 - math.cos(seconds + finger)) ** 2
        tactile[finger] += (force * np.exp(-distance / 5)).astype(np.uint8).ravel()
    turns = 0.09 * seconds
    return {
        "task": "nut", "shape": "hexagon", "operator": "web", "robot": "twin, nominal", "policy": "nut-student",
        "time": seconds, "turns": turns, "needed": 8.0, "progress": min(1.0, turns / 8),
        "tcp_pose": np.array([-0.1, -0.48, 0.31 - 0.001 * turns, math.pi, 0.02, 0.01]),
        "tcp_force": np.array([2.1, -1.2, 6.0 + math.sin(seconds), 0.2, 0.1, 0.3]),
        "fingers": FINGERS, "fingertip_force": np.array([4.1, 6.3, 2.4, 0.1, 0.4][: len(FINGERS)]),
        "tactile": tactile, "limits": {"wrist_force": 50.0, "wrist_torque": 8.0, "fingertip_force": 15.0},
        "period": PERIOD, "jitter": 0.0004, "age": np.array([0.004, 0.012, 0.012]),
        "skill": bool(orders and orders.skill), "clutch": bool(orders and orders.clutch),
        "safety": {"trip": "", "limited": False}, "recording": True, "episode": 3, "kept": 2, "message": "",
    }  # fmt: skip


class FakeSession:
    """Asks an operator for orders at 20 Hz in a thread, moves a wrist as a session would, and keeps the orders.

    Attributes:
        history: every order, with the position (3,) of the wrist after it (m).
    """

    def __init__(self, operator: WebOperator, picture: bytes | None = None, step: int = 0) -> None:
        self.operator = operator
        self.history: list[tuple[Orders, np.ndarray]] = []
        self._picture = picture
        self._step = step
        self._position = np.zeros(3)
        self._reference: tuple[np.ndarray, np.ndarray] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeSession:
        self.operator.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.operator.close()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD):
            orders = self.operator.orders(Scene(time=PERIOD * self._step, wrist=np.zeros(6)))
            if orders.clutch and self._reference is None:
                self._reference = self._position.copy(), orders.wrist[:3, 3].copy()
            if not orders.clutch:
                self._reference = None
            if self._reference is not None:
                start, reference = self._reference
                self._position = start + orders.wrist[:3, 3] - reference
            self._position = self._position + PERIOD * orders.nudge[:3]
            self.history.append((orders, self._position.copy()))
            self.operator.publish(state(self._step, orders), self._picture)
            self._step += 1

    @property
    def orders(self) -> Orders:
        """The newest orders."""
        return self.history[-1][0]

    @property
    def position(self) -> np.ndarray:
        """Position (3,) of the wrist (m)."""
        return self.history[-1][1]

    def until(self, condition: Any, seconds: float = 10.0) -> bool:
        """Wait until a condition of the session is true; return whether it became so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.history and condition(self):
                return True
            time.sleep(0.02)
        return False
