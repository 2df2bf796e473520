"""Working by strokes: turn for a moment, let go, take firm hold again; and all the while sweep slowly up and down.

A skill stands still on some nuts when its fingers meet them in the same way again and again. Each stroke of this meets
the nut elsewhere, so that it does not need to be seen whether something turns, which a clone could not feel. All that
decides what comes next is how the hand stands and has moved, so a clone with a memory can learn it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from real.robot import Vector
from real.teleop.operator import Orders, Scene
from real.teleop.scripted import GIVES_UP, LEAST_TURN, ScriptedOperator

_TURNING = 30
"""Control steps of a stroke in which the skill runs."""
_OPEN, _CLOSED = 0.03, 0.01
"""How much further from the thumb than at the start the other fingertips are when the hand has let go, and when it has
taken hold again (m)."""
MIDDLE, SWEEP = 0.004, 0.005
"""How much higher over the object than at the start the middle of the sweep is, and how far over and under it the wrist
goes (m). Triangles turn fastest there (docs/teleoperation.md)."""
_SPEED = 0.0024
"""Of the sweep (m/s): one takes 10 s."""
_TURNED_BACK = 0.0015
"""Motion against the sweep after which it goes that way, since something else has led the wrist there (m)."""


class Strokes:
    """What comes next in working by strokes. Whoever moves the hand, it goes on from where the hand is."""

    def __init__(self) -> None:
        self._phase, self._steps = "turn", 0
        self._down, self._farthest = True, 0.0

    def orders(self, over: float, apart: float) -> Orders:
        """Return the orders of a control step.

        Args:
            over: how much higher over the object than at the start the wrist is (m).
            apart: how much further from the thumb than at the start the other fingertips are (m).
        """
        if self._phase == "turn":
            self._steps += 1
            if self._steps > _TURNING or apart > (_OPEN + _CLOSED) / 2:
                self._phase = "open"
        if self._phase == "open" and apart > _OPEN:
            self._phase = "close"
        if self._phase == "close" and apart < _CLOSED:
            self._phase, self._steps = "turn", 1
        nudge = np.zeros(6)
        nudge[2] = self._sweep(over)
        if self._phase == "turn":
            return Orders(skill=True, nudge=nudge)
        return Orders(hand="release" if self._phase == "open" else "squeeze", nudge=nudge)

    def _sweep(self, over: float) -> float:
        """Return the vertical speed (m/s)."""
        sign, over = -1.0 if self._down else 1.0, over - MIDDLE
        self._farthest = max(self._farthest, sign * over)
        if sign * over > SWEEP or sign * over < self._farthest - _TURNED_BACK:
            self._down = not self._down
            sign = -sign
            self._farthest = sign * over
        return sign * _SPEED


def opening(scene: Scene) -> float:
    """Return how far the fingertips seem to be from the thumb's on average (m); 0 where nobody sees them."""
    if scene.sight is None:
        return 0.0
    tips = scene.sight.tips
    return float(np.linalg.norm(tips[1:] - tips[0], axis=-1).mean())


class StrokesOperator(ScriptedOperator):
    """A scripted operator that works by strokes, with the eyes and the delay of a person.

    It fits objects that stay where they are when the hand lets go.
    """

    name = "strokes"

    def __init__(self, seed: int = 0, *, hold: Vector | None = None) -> None:
        super().__init__(seed, stays=True, hold=hold)

    def _work(self) -> Iterator[Orders]:
        """Look, then work by strokes until the episode ends."""
        person, rng = self.person, self._rng
        yield from self._wait(rng.uniform(0.6, 1.2), skill=False)
        if self._hold is not None:
            yield from self._approach(self._hold)
        strokes, start, height = Strokes(), self._apart(), self._height()
        best, turned, seen, look = self._turns(), self._time, 0.0, 0.0
        while self._time - turned < GIVES_UP:
            if self._time >= look:  # it looks at the object now and then, and at the hand always
                seen, look = self._height() - self._wrist(), self._time + person.interval
                if self._turns() > best + LEAST_TURN:
                    best, turned = self._turns(), self._time
            yield strokes.orders(seen + self._wrist() - height, self._apart() - start)
        yield Orders(mark="failure")

    def _apart(self) -> float:
        """Return how far the fingertips seem to be from the thumb's (m)."""
        return 0.0 if self._scene is None else opening(self._scene)

    def _wrist(self) -> float:
        """Return the height of the wrist (m)."""
        return 0.0 if self._scene is None else float(self._scene.wrist[2])
