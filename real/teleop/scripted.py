"""A scripted operator: steers the wrist as a person would, with a person's delay, errors and lapses.

It sees the scene late and with error, and knows nothing that a person at the scene would not: no force, no friction.
It looks, comes to the object where it does not begin there, switches the skill on and follows the object down. Around
an object that stays where it is, such as a nut, it opens the hand when nothing turns and begins again, and waits less
when that happens again soon. An object that could fall, such as a driver, it rights where it leans, and moves the hand
about before it opens it. It gives up when nothing helps. Numbers are those of teleoperators in the literature where a
source is named, and assumed elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from real.robot import Vector
from real.teleop.operator import PERIOD, HandPose, Orders, Scene

TAP = 0.02
"""Speed of the wrist while a key is tapped (m/s): 1 mm in a control step."""
ASIDE = 0.004
"""How far from where it began it tries elsewhere (m)."""
FARTHEST = 0.01
"""How far it moves the hand to the side to right a driver (m)."""
LEAST_TURN = 0.05
"""Turns that count as progress, beyond what the person sees wrongly."""
_HURRY = 240.0
"""Time in which it wants to be ready (s): what turns more slowly stands still."""
_WARNED = 0.25
"""Share of the patience that is left after a standstill, until the object has turned for `_TRUST`."""
_TRUST = 5.0
"""See `_WARNED` (s)."""
GIVES_UP = 120.0
"""Time after which it gives up if nothing turns, whatever it does (s)."""
_FARTHEST_BACK = 0.7
"""Angle from which the hand is turned forward again (rad)."""
UPRIGHT = np.radians(3.0)
"""Lean from which a person sees that a driver does not stand straight (rad); a bit's free play is less than that."""
_LOOKS = 8
"""How often it corrects where the hand is, over the object and then around it."""
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
        stays: whether the object stays where it is when the hand lets go of it.
        hold: where the wrist is when the hand holds the object, (3,) over its grip point (m); None where the hand
            begins at the object.
    """

    name = "scripted"

    def __init__(self, seed: int = 0, *, stays: bool = False, hold: Vector | None = None) -> None:
        self._stays, self._hold = stays, hold
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Become the person of an episode."""
        self._rng = np.random.default_rng([seed, 0x0B5E])
        self.person = Person.draw(self._rng)
        self._sights: deque[tuple[float, Scene]] = deque()
        self._plan: Iterator[Orders] = self._work()
        self._time = 0.0
        self._aside, self._yaw = np.zeros(3), 0.0
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
        if self._hold is not None:
            yield from self._approach(self._hold)
        reference = self._height()
        best, progressed = self._turns(), self._time
        warned, helped, turned = False, 0.0, self._time
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
                yield from self._right(lean)
            turns = self._turns()
            patience = person.patience * (_WARNED if warned else 1.0)
            if turns > best + max(LEAST_TURN, self._needed() / _HURRY * patience) + 2 * person.turn_error:
                best, progressed = turns, self._time
                warned = warned and self._time - helped < _TRUST
                turned = self._time
            elif self._time - turned > GIVES_UP:
                yield Orders(mark="failure")
            elif self._time - progressed > patience:
                self.remedies += 1
                yield from next(remedies)
                warned, helped, progressed = self._stays, self._time, self._time

    def _approach(self, hold: Vector) -> Iterator[Orders]:
        """Bring the open hand over the object, then down around it, and close the fingers."""
        person = self.person
        for way in (np.array([1.0, 1.0, 0.0]), np.ones(3)):
            for _ in range(_LOOKS):
                yield from self._wait(person.delay + 0.5 * person.interval, skill=False)
                off = way * (hold - self._over())
                if np.linalg.norm(off) < person.dead_zone + person.error:
                    break
                yield from self._move(off, skill=False)
        yield from self._wait(person.delay + self._rng.uniform(0.5, 0.7), skill=False, hand="grasp")

    def _remedies(self) -> Iterator[Iterator[Orders]]:
        """Give one remedy after another against a standstill."""
        while self._stays:
            yield self._begin_again()
            yield self._begin_again()
            yield self._begin_again(elsewhere=True)
            yield self._begin_again()
            yield self._reach_back()
        while True:
            yield self._go_aside(self._elsewhere(), skill=True)
            yield self._go_aside(np.array([0.0, 0.0, ASIDE]), skill=True)
            yield self._twist()
            yield self._go_aside(self._elsewhere(), skill=True)
            yield self._begin_again()

    def _elsewhere(self) -> Vector:
        """Return a place (3,) to try beside where the episode began (m)."""
        direction = self._rng.standard_normal(3) * (1.0, 1.0, 0.3)
        return ASIDE * direction / np.linalg.norm(direction)

    def _begin_again(self, *, elsewhere: bool = False) -> Iterator[Orders]:
        """Stop the skill, open the fingers, close them and go on; elsewhere, open them wide and move the hand.

        The open hand also turns back, against the object's turn, to get hold of it anew, or far forward again.
        """
        rng, back = self._rng, self._stays and self._yaw < _FARTHEST_BACK
        turned = TWIST_SPEED * rng.uniform(0.3, 0.4) if back else -self._yaw
        self._yaw += turned
        opens = rng.uniform(0.8, 1.0) if elsewhere else rng.uniform(0.3, 0.4)
        yield from self._turn(turned, skill=False, hand="release", least=opens)
        if elsewhere:
            yield from self._go_aside(self._elsewhere(), skill=False)
        yield from self._wait(rng.uniform(0.5, 0.7) if elsewhere else rng.uniform(0.2, 0.3), skill=False, hand="grasp")

    def _right(self, lean: Vector) -> Iterator[Orders]:
        """Move the hand against the lean (2,) (rad) of what it holds, but not away from the object."""
        aside = self._aside.copy()
        aside[:2] -= _LEVER * lean
        aside[:2] *= min(1.0, FARTHEST / max(float(np.linalg.norm(aside[:2])), 1e-9))
        yield from self._go_aside(aside, skill=True)

    def _go_aside(self, aside: Vector, *, skill: bool) -> Iterator[Orders]:
        offset, self._aside = aside - self._aside, aside
        if np.linalg.norm(offset) > TAP * PERIOD / 2:
            yield from self._move(offset, skill=skill)

    def _reach_back(self) -> Iterator[Orders]:
        """Turn the hand back, against the object's turn, while the skill runs."""
        if self._yaw < _FARTHEST_BACK:
            angle = self._rng.uniform(0.2, 0.4)
            self._yaw += angle
            yield from self._turn(angle, skill=True)
        else:
            yield from self._begin_again()

    def _twist(self) -> Iterator[Orders]:
        """Turn the hand with what it holds, and back."""
        angle = self._rng.uniform(0.2, 0.4)
        yield from self._turn(-angle, skill=True)
        yield from self._wait(0.3, skill=True)
        yield from self._turn(angle, skill=True)

    def _wait(self, seconds: float, *, skill: bool, hand: HandPose = "hold") -> Iterator[Orders]:
        end = self._time + seconds
        while self._time < end:
            yield Orders(skill=skill, hand=hand)

    def _move(self, offset: Vector, *, skill: bool) -> Iterator[Orders]:
        """Tap the wrist by an offset (3,) in the room frame (m); now and then a tap goes the wrong way."""
        length = float(np.linalg.norm(offset))
        taps = max(1, round(length / (TAP * PERIOD)))
        nudge = np.concatenate([TAP * offset / max(length, 1e-9), np.zeros(3)])
        for _ in range(taps):
            yield Orders(skill=skill, nudge=-nudge if self._rng.random() < self.person.slip else nudge)

    def _turn(self, angle: float, *, skill: bool, hand: HandPose = "hold", least: float = 0.0) -> Iterator[Orders]:
        """Turn the wrist about the vertical (rad), for at least some time (s)."""
        steps = max(1, round(max(abs(angle) / TWIST_SPEED, least) / PERIOD))
        nudge = np.array([0.0, 0.0, 0.0, 0.0, 0.0, angle / (steps * PERIOD)])
        for _ in range(steps):
            yield Orders(skill=skill, hand=hand, nudge=nudge)

    # -- what it sees -------------------------------------------------------------------------------------------------

    def _over(self) -> Vector:
        """Return where the wrist seems to be over the object's grip point (3,) (m)."""
        scene = self._scene
        if scene is None or scene.sight is None:
            return np.zeros(3)
        error = self.person.error * self._rng.standard_normal(3)
        return scene.wrist[:3] - scene.sight.grip + self.person.bias + error

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

    def _needed(self) -> float:
        """Return the turns that are needed, or 0 where that is not known."""
        return 0.0 if self._scene is None or self._scene.needed is None else self._scene.needed
