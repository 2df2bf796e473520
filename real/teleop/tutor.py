"""The tutor: an operator whose answers label what a clone does, for the wrist.

A label needs no person's delay and no person's errors.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np

from baselines.bc.features import REST_STEPS
from real.kinematics import matrix_to_pose, pose_to_matrix
from real.robot import Vector
from real.teleop.operator import PERIOD, Orders, Scene
from real.teleop.strokes import MIDDLE, SWEEP, Strokes, opening

LATE = 6
"""Control steps after which the tutor acts on how far the hand is open, about a person's delay. Without it a stroke
would open the hand by 3 cm, where those of the demonstrations open it by 9, and some nuts turn by wide strokes only."""
_GAIN = 2.0
"""Speed of the tutor's wrist for its distance from where it should be (1/s)."""
_SPEED = 0.02
"""Its largest speed (m/s), that of the scripted operator."""
_TURN_GAIN, _TURN_SPEED = 1.0, 0.1
"""The same of its turning (1/s, rad/s)."""
_RETURN = 0.5
"""What its vertical speed grows by for each distance beyond the sweep of its strokes (1/s)."""
_STANDSTILL = 0.05
"""Turns in `_WATCHED` below which it searches for a place where the fingers turn the object again."""
_WATCHED = 40
"""Control steps."""
_RADIUS = 0.004
"""Radius of the circle in which it searches (m), the largest of the scripted operator's nudges."""
_CIRCLING = 1.0
"""Angular speed on that circle (rad/s)."""


class Tutor:
    """An operator that sees at once and exactly, and answers from wherever the wrist is.

    An object that stays where it is, such as a nut, it works by strokes, over the place where the episode began. Only
    how far the hand is open it sees late, as a person does.
    Another, such as a driver, it follows down and never lets go of: when nothing turns it leads the wrist in a circle
    beside where the episode began, and stays where things turn again. The circle goes on from wherever the wrist is, so
    what it does can be told from what a clone sees.

    Args:
        stays: whether the object stays where it is when the hand lets go of it.
    """

    name = "tutor"

    def __init__(self, *, stays: bool = False) -> None:
        self._strokes = Strokes() if stays else None
        self._reference: Vector | None = None
        """(3,) of the wrist as the episode began, its height over the grip point of the object (m)."""
        self._rotation: Vector = np.eye(3)
        """(3, 3) of the wrist then."""
        self._apart: deque[float] = deque(maxlen=LATE + 1)
        """Distances of the fingertips from the thumb's, the newest last (m)."""
        self._closed = 0.0
        """That distance as the episode began (m)."""
        self._turns: deque[float] = deque(maxlen=_WATCHED)

    def start(self) -> None:
        """See `Operator.start`."""

    def close(self) -> None:
        """See `Operator.close`."""

    def orders(self, scene: Scene) -> Orders:
        """See `Operator.orders`."""
        if scene.ended:
            return Orders(mark="success" if scene.finished else "failure")
        skill = scene.time >= REST_STEPS * PERIOD
        if scene.sight is None:
            return Orders(skill=skill)
        # Over the object as it goes down, but not to where a driver leans: that would make it lean further.
        here = scene.wrist[:3] - (0.0, 0.0, scene.sight.grip[2])
        if self._reference is None:
            self._reference, self._rotation = here, pose_to_matrix(scene.wrist)[:3, :3]
            self._closed = opening(scene)
        self._apart.append(opening(scene))
        away = here - self._reference
        if self._strokes is not None:
            return self._by_strokes(self._strokes, scene, away) if skill else Orders()
        speed = -_GAIN * away
        if self._stands_still(scene, skill):
            speed[:2] = _circle(away[:2])
        else:  # inside of the circle one place is as good as another, as long as something turns there
            speed[:2] *= max(0.0, 1.0 - _RADIUS / max(float(np.linalg.norm(away[:2])), 1e-9))
        return Orders(skill=skill, nudge=np.concatenate([speed.clip(-_SPEED, _SPEED), np.zeros(3)]))

    def _by_strokes(self, strokes: Strokes, scene: Scene, away: Vector) -> Orders:
        """Return what working by strokes wants, with the wrist brought back to its place and direction of the start."""
        orders = strokes.orders(float(away[2]), self._apart[0] - self._closed)
        turned = np.eye(4)
        turned[:3, :3] = self._rotation @ pose_to_matrix(scene.wrist)[:3, :3].T
        nudge = orders.nudge.copy()
        nudge[:2] = -_GAIN * away[:2]
        nudge[2] -= _RETURN * (away[2] - away[2].clip(MIDDLE - SWEEP, MIDDLE + SWEEP))
        nudge[:3] = nudge[:3].clip(-_SPEED, _SPEED)
        nudge[3:] = (_TURN_GAIN * matrix_to_pose(turned)[3:]).clip(-_TURN_SPEED, _TURN_SPEED)
        return replace(orders, nudge=nudge)

    def _stands_still(self, scene: Scene, skill: bool) -> bool:
        """Return whether the skill ran for long enough and nothing turned."""
        if not skill or scene.turns is None:
            return False
        self._turns.append(scene.turns)
        return len(self._turns) == _WATCHED and self._turns[-1] - self._turns[0] < _STANDSTILL


def _circle(away: Vector) -> Vector:
    """Return the velocity (2,) (m/s) that leads from beside the start (2,) (m) onto the circle and around."""
    distance = float(np.linalg.norm(away))
    outward = away / distance if distance > 1e-4 else np.array([1.0, 0.0])
    around = np.array([-outward[1], outward[0]])
    return _CIRCLING * (max(distance, 0.001) * around + (_RADIUS - distance) * outward)
