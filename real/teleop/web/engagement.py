"""From wishes to orders: nothing moves before a fresh press, and nothing waits to be done later."""

from __future__ import annotations

from collections import deque
from typing import cast

import numpy as np

from real.kinematics import matrix_to_pose
from real.robot import Vector
from real.teleop.operator import HandPose, Mark, Orders
from real.teleop.web.wish import Action, Wish

_EVENT_AGE = 0.5
"""A press that the session has not seen for so long is forgotten (s)."""
STILL, STILL_TURN = 0.15, 1.0
"""The clutch engages below these speeds of the controller (m/s, rad/s)."""
LEAP, LEAP_TURN = 3.0, 15.0
"""No hand is faster (m/s, rad/s): above it the tracking has jumped."""
_SHORTEST = 0.005  # frames are further apart than this (s)
_MARKS = ("success", "failure", "discard", "next")


class Engagement:
    """Follows one operator's wishes, message by message; control steps ask for the orders in between.

    After input was lost, and after a mark, whatever is pressed counts only once it was let go and pressed anew: the
    clutch, sticks and keys that move the wrist, and all buttons. So no episode begins by itself.
    """

    def __init__(self) -> None:
        self._reason = "no input has arrived yet"
        self._pressed: frozenset[Action] | None = None
        self._stale: frozenset[Action] = frozenset()  # pressed since before it could count
        self._events: deque[tuple[float, Action]] = deque()
        self._clutch_free = self._nudge_free = False
        self._engaged = self._let_go = False
        self._pose: tuple[float, Vector] | None = None
        self._wish = Wish()
        self.note = ""
        """What the operator should do, in words."""
        self._skill = False

    def hold(self, reason: str) -> None:
        """Hold everything, and ask for fresh presses.

        Args:
            reason: why, in words.
        """
        self._reason = reason
        self._pressed = None
        self._events = deque(event for event in self._events if event[1] in _MARKS)
        self._let_go_of_all()

    def _let_go_of_all(self) -> None:
        self._skill = False
        self._stale = self._wish.pressed
        self._nudge_free = False
        self._pose = None
        self._release()

    def feed(self, wish: Wish, sent: float, now: float) -> None:
        """Take the wish of a new message.

        Args:
            wish: what it asks for.
            sent: when it was sent, in the page's clock (s).
            now: when it arrived (s).
        """
        self._reason = ""
        if self._pressed is not None:
            self._events.extend((now, action) for action in sorted(wish.pressed - self._pressed))
        self._stale = wish.pressed if self._pressed is None else self._stale & wish.pressed
        self._pressed = wish.pressed
        self._wish = wish
        self._nudge_free = self._nudge_free or not wish.nudge.any()
        self.note = wish.problem
        if wish.problem:
            self._let_go_of_all()
        else:
            self._follow_clutch(wish, sent)

    def _follow_clutch(self, wish: Wish, sent: float) -> None:
        speed, turning = self._speed(wish.pose, sent)
        self._pose = None if wish.pose is None else (sent, wish.pose)
        if not wish.clutch:
            self._release(free=True)
        elif self._engaged and (speed > LEAP or turning > LEAP_TURN):
            self._release()
            self.note = "the controller's pose jumped: let go of the clutch and press it again"
        elif not self._engaged:
            if not self._clutch_free:
                self.note = "let go of the clutch and press it again"
            elif speed > STILL or turning > STILL_TURN:
                self.note = "hold the controller still to engage the clutch"
            else:
                self._engaged = True

    def _release(self, *, free: bool = False) -> None:
        """Let go of the wrist; `free` says that the next press may take it again."""
        self._let_go = self._let_go or self._engaged
        self._engaged = False
        self._clutch_free = free

    def _speed(self, pose: Vector | None, sent: float) -> tuple[float, float]:
        """Return the controller's speed since the last message (m/s, rad/s)."""
        if pose is None or self._pose is None:
            return 0.0, 0.0
        before, old = self._pose
        seconds = max(_SHORTEST, sent - before)
        turn = matrix_to_pose(pose @ np.linalg.inv(old))[3:]
        return float(np.linalg.norm(pose[:3, 3] - old[:3, 3])) / seconds, float(np.linalg.norm(turn)) / seconds

    def orders(self, now: float, *, over: bool = False) -> Orders:
        """Return the orders of a control step.

        Args:
            now: the time (s), in the clock of `feed`.
            over: whether the episode is over, so that the skill stays off.
        """
        mark = self._take_events(now)
        if mark:
            self._let_go_of_all()
        if over:
            self._skill = False
        let_go, self._let_go = self._let_go, False
        if self._reason or self._wish.problem:
            return Orders.hold(self._reason or self._wish.problem, mark)
        wish = self._wish
        hand = next((pose for pose in ("release", "grasp") if pose in wish.pressed - self._stale), "hold")
        return Orders(
            clutch=self._engaged and not let_go,  # a step without it in between makes a new reference
            wrist=np.eye(4) if wish.pose is None else wish.pose,
            nudge=wish.nudge if self._nudge_free else np.zeros(6),
            skill=self._skill,
            hand=cast("HandPose", hand),
            mark=mark,
            note=self.note,
        )

    def _take_events(self, now: float) -> Mark:
        """Act on the presses since the last step; return the first mark, and leave others for the next steps."""
        mark: Mark = ""
        later: deque[tuple[float, Action]] = deque()
        for time, action in self._events:
            if now - time > _EVENT_AGE:
                continue
            if action == "skill":
                self._skill = not self._skill and not self._reason
            elif action in _MARKS and not mark:
                mark = cast("Mark", action)
            elif action in _MARKS:
                later.append((time, action))
        self._events = later
        return mark
