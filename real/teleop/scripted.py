"""A scripted operator: steers the wrist as a person would, with a person's delay, errors and lapses.

It sees the scene late and with error, and knows nothing that a person at the scene would not: no force, no friction.
It looks, switches the skill on and follows the object down. When nothing turns, it moves the hand a little, twists it,
or stops the skill, opens the fingers and begins again. Numbers are those of teleoperators in the literature where a
source is named, and assumed elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from real.robot import Vector
from real.teleop.operator import HandPose, Orders, Scene

TAP = 0.02
"""Speed of the wrist while a key is tapped (m/s): 1 mm in a control step."""
NUDGE = 0.004
"""Distance of a nudge (m)."""
_MOST_NUDGES = 3
UPRIGHT = np.radians(3.0)
"""Lean from which a person sees that a driver does not stand straight (rad); a bit's free play is less than that."""
_LEVER = 0.08
"""What a person takes for the height of the fingers over the tip of a driver (m)."""
TWIST_SPEED = 0.4
"""Turning speed of the wrist while a stick is pushed (rad/s)."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """How an operator sees and reacts. Drawn anew for every episode."""

    delay: float
    """From what happens to what the wrist does about it (s): a visual reaction of 0.25 s and the way of the command."""
    interval: float
    """Time between two decisions (s)."""
    error: float
    """Standard deviation of a perceived distance (m)."""
    bias: Vector
    """(3,) constant error of a perceived position (m)."""
    turn_error: float
    """Standard deviation of perceived turns, in turns."""
    dead_zone: float
    """Distance that is too small to act on (m)."""
    patience: float
    """Time without progress after which something is done (s)."""
    lapses: float
    """Lapses of one to two seconds per second."""
    slip: float
    """Share of taps in the wrong direction."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Person:
        """Draw a person. Delay, interval and slips: teleoperation studies; distances: pointing at 2 to 4 mm targets."""
        return cls(
            delay=float(np.clip(rng.normal(0.25, 0.04), 0.15, 0.4) + rng.uniform(0.02, 0.06)),
            interval=float(rng.uniform(0.4, 1.2)),
            error=float(rng.uniform(0.0006, 0.0018)),
            bias=0.0007 * rng.standard_normal(3),
            turn_error=float(rng.uniform(0.005, 0.02)),
            dead_zone=float(rng.uniform(0.001, 0.0025)),
            patience=float(rng.uniform(2.0, 4.0)),
            lapses=float(rng.uniform(0.0, 2.0)) / 60,
            slip=float(rng.uniform(0.0, 0.05)),
        )


class ScriptedOperator:
    """See the module.

    Args:
        seed: of everything that it draws; `begin` sets it for each episode.
    """

    name = "scripted"

    def __init__(self, seed: int = 0) -> None:
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Become the person of an episode."""
        self._rng = np.random.default_rng([seed, 0x0B5E])
        self.person = Person.draw(self._rng)
        self._sights: deque[tuple[float, Scene]] = deque()
        self._plan: Iterator[Orders] = self._work()
        self._time = 0.0
        self._aside = np.zeros(3)
        self._lean_error = np.radians(0.5) * np.random.default_rng([seed, 0x1EA4]).standard_normal(2)
        self._scene: Scene | None = None
        self.remedies = 0
        """How often it did something about a standstill."""

    def start(self) -> None:
        """See `Operator.start`."""

    def close(self) -> None:
        """See `Operator.close`."""

    def orders(self, scene: Scene) -> Orders:
        """See `Operator.orders`."""
        self._time = scene.time
        if scene.ended:
            return Orders(mark="success" if scene.finished else "failure")
        self._sights.append((scene.time, scene))
        while len(self._sights) > 1 and self._sights[1][0] <= scene.time - self.person.delay:
            self._sights.popleft()
        self._scene = self._sights[0][1]
        return next(self._plan)

    # -- what it does, a control step at a time -----------------------------------------------------------------------

    def _work(self) -> Iterator[Orders]:
        """Look, switch the skill on, then follow and help until the episode ends."""
        person, rng = self.person, self._rng
        yield from self._wait(rng.uniform(0.6, 1.2), skill=False)
        reference = self._height()
        best, progressed = self._turns(), self._time
        remedies = self._remedies()
        while True:
            yield from self._wait(person.interval, skill=True)
            if rng.random() < person.lapses * person.interval:
                yield from self._wait(rng.uniform(1.0, 2.0), skill=True)
            error = reference + self._aside[2] - self._height()
            if abs(error) > person.dead_zone:
                yield from self._move(np.array([0.0, 0.0, error]), skill=True)
            lean = self._lean()
            if np.hypot(*lean) > UPRIGHT:
                yield from self._move(np.array([*(-_LEVER * lean), 0.0]), skill=True)
            turns = self._turns()
            if turns > best + 0.02 + 2 * person.turn_error:
                best, progressed = turns, self._time
            elif self._time - progressed > person.patience:
                self.remedies += 1
                yield from next(remedies)
                progressed = self._time

    def _remedies(self) -> Iterator[Iterator[Orders]]:
        """Give one remedy after another against a standstill."""
        while True:
            yield self._nudge(self._rng.standard_normal(3) * (1.0, 1.0, 0.5))
            yield self._nudge(np.array([0.0, 0.0, 1.0]))
            yield self._twist()
            yield self._nudge(self._rng.standard_normal(3) * (1.0, 1.0, 0.5))
            yield self._begin_again()

    def _nudge(self, direction: Vector) -> Iterator[Orders]:
        """Move the hand a little from where it follows the object, and further as long as that helps."""
        step = NUDGE * direction / np.linalg.norm(direction)
        yield from self._go_aside(step)
        for _ in range(_MOST_NUDGES - 1):
            before = self._turns()
            yield from self._wait(self.person.patience / 2, skill=True)
            if self._turns() < before + 0.05 + 2 * self.person.turn_error:
                return
            yield from self._go_aside(self._aside + step)

    def _go_aside(self, aside: Vector) -> Iterator[Orders]:
        offset, self._aside = aside - self._aside, aside
        yield from self._move(offset, skill=True)

    def _twist(self) -> Iterator[Orders]:
        """Turn the hand with what it holds, and back."""
        angle = self._rng.uniform(0.2, 0.4)
        yield from self._turn(-angle, skill=True)
        yield from self._wait(0.3, skill=True)
        yield from self._turn(angle, skill=True)

    def _begin_again(self) -> Iterator[Orders]:
        """Stop the skill, open the fingers, close them and go on."""
        yield from self._wait(self._rng.uniform(0.4, 0.6), skill=False, hand="release")
        yield from self._wait(self._rng.uniform(0.6, 0.9), skill=False, hand="grasp")

    def _wait(self, seconds: float, *, skill: bool, hand: HandPose = "hold") -> Iterator[Orders]:
        end = self._time + seconds
        while self._time < end:
            yield Orders(skill=skill, hand=hand)

    def _move(self, offset: Vector, *, skill: bool) -> Iterator[Orders]:
        """Tap the wrist by an offset (3,) in the room frame (m); now and then a tap goes the wrong way."""
        length = float(np.linalg.norm(offset))
        taps = max(1, round(length / (TAP * 0.05)))
        nudge = np.concatenate([TAP * offset / max(length, 1e-9), np.zeros(3)])
        for _ in range(taps):
            yield Orders(skill=skill, nudge=-nudge if self._rng.random() < self.person.slip else nudge)

    def _turn(self, angle: float, *, skill: bool) -> Iterator[Orders]:
        nudge = np.array([0.0, 0.0, 0.0, 0.0, 0.0, np.copysign(TWIST_SPEED, angle)])
        for _ in range(max(1, round(abs(angle) / (TWIST_SPEED * 0.05)))):
            yield Orders(skill=skill, nudge=nudge)

    # -- what it sees -------------------------------------------------------------------------------------------------

    def _height(self) -> float:
        """Return how high the wrist seems to stand over the object (m)."""
        scene = self._scene
        if scene is None or scene.sight is None:
            return 0.0
        error = self.person.error * self._rng.standard_normal()
        return float(scene.wrist[2] - scene.sight.grip[2] + self.person.bias[2] + error)

    def _lean(self) -> Vector:
        """Return how far the object seems to lean along x and y (2,) (rad)."""
        if self._scene is None or self._scene.sight is None:
            return np.zeros(2)
        return np.arcsin(self._scene.sight.axis[:2].clip(-1, 1)) + self._lean_error

    def _turns(self) -> float:
        """Return how far the object seems to have turned, in turns."""
        scene = self._scene
        if scene is None or scene.turns is None:
            return 0.0
        return scene.turns + self.person.turn_error * float(self._rng.standard_normal())
