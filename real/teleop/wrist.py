"""The wrist: from an operator's orders to joint targets of the arm.

The wrist follows the motion of what the operator holds while the clutch is down, and velocities from keys and sticks at
any time. It turns about the point between the fingertips, so that yaw and pitch leave the object in the fingers.
"""

from __future__ import annotations

import math

import numpy as np

from real.kinematics import forward, inverse, matrix_to_pose, pose_to_matrix
from real.robot import RobotError, Vector
from real.teleop.operator import Orders

SPEED = 0.1
"""Largest speed of the wrist (m/s)."""
TURN_SPEED = 0.5
"""Largest turning speed of the wrist (rad/s); the safety layer's limit for every joint of the arm."""
MARGIN = 0.005
"""Distance that the wrist keeps from the end of the workspace (m): at the end itself the safety layer stops it."""


class Wrist:
    """Moves the flange as an operator wants.

    Args:
        workspace: (3, 2) where the flange may go: ranges of x, y and z in the arm's base frame (m).
        pivot: (3,) point in the flange's frame about which it turns (m).
        room_yaw: angle from the arm's base frame to the operator's room frame, about z (rad).
    """

    def __init__(self, workspace: Vector, pivot: Vector, room_yaw: float = 0.0) -> None:
        self._low, self._high = np.asarray(workspace, float).T + np.array([[MARGIN], [-MARGIN]])
        self._pivot = np.asarray(pivot, float)
        cos, sin = math.cos(room_yaw), math.sin(room_yaw)
        self._room = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        self.note = ""
        """Why the wrist does not go where the operator wants, in words, or ""."""

    def reset(self, arm: Vector) -> None:
        """Begin from joint positions (6,) (rad) of the arm."""
        self.target = np.array(arm, float)
        """(6,) joint targets of the arm (rad)."""
        self._flange = pose_to_matrix(forward(self.target))
        self._reference: tuple[Vector, Vector] | None = None
        self._released = False  # the clutch was seen open since the input was there
        self.note = ""

    def follow(self, orders: Orders, dt: float) -> Vector:
        """Return joint targets of the arm (6,) (rad) for a control step.

        A clutch that is down when the input appears, or appears again, does nothing: only a fresh press takes a new
        reference. So the wrist never jumps, and never makes up for what it missed.

        Args:
            orders: of the operator.
            dt: duration of the step (s).
        """
        self.note = ""
        if not orders.fresh:
            self._reference, self._released = None, False
            return self.target
        if not orders.clutch:
            self._reference, self._released = None, True
        elif self._released and self._reference is None:
            self._reference = (self._grip_frame(), np.asarray(orders.wrist, float))
        wanted, held = self._reference or (self._grip_frame(), None)
        wanted = wanted.copy()
        wanted[:3, 3] += self._room @ orders.nudge[:3] * dt
        wanted[:3, :3] = _rotation(self._room @ orders.nudge[3:] * dt) @ wanted[:3, :3]
        if held is not None:
            self._reference = wanted.copy(), held  # nudges add up under the clutch, too
            wanted[:3, 3] += self._room @ (orders.wrist[:3, 3] - held[:3, 3])
            turned = orders.wrist[:3, :3] @ held[:3, :3].T
            wanted[:3, :3] = self._room @ turned @ self._room.T @ wanted[:3, :3]
        self._move(wanted, dt)
        if self._reference is not None and self.note:  # what is out of reach now is no debt for later
            self._reference = (self._grip_frame(), np.asarray(orders.wrist, float))
        return self.target

    def beside(self, offset: Vector) -> Vector:
        """Return joint targets (6,) (rad) that put the wrist beside where it is; it does not move by that.

        Args:
            offset: (3,) in the base frame (m).
        """
        flange = self._flange.copy()
        flange[:3, 3] = (flange[:3, 3] + offset).clip(self._low, self._high)
        try:
            return inverse(matrix_to_pose(flange), self.target)
        except RobotError:
            return self.target

    def _grip_frame(self) -> Vector:
        """Return the frame (4, 4) of the pivot, in the base frame."""
        frame = self._flange.copy()
        frame[:3, 3] += frame[:3, :3] @ self._pivot
        return frame

    def _move(self, wanted: Vector, dt: float) -> None:
        """Go towards a frame of the pivot as far as speed, workspace and the arm's reach allow."""
        here = self._grip_frame()
        step = _limited(wanted[:3, 3] - here[:3, 3], SPEED * dt)
        turn = _limited(matrix_to_pose(_homogeneous(wanted[:3, :3] @ here[:3, :3].T))[3:], TURN_SPEED * dt)
        flange = _homogeneous(_rotation(turn) @ self._flange[:3, :3])
        goal = here[:3, 3] + step - flange[:3, :3] @ self._pivot
        flange[:3, 3] = goal.clip(self._low, self._high)
        if not np.allclose(flange[:3, 3], goal, rtol=0, atol=1e-9):
            self.note = "the wrist is at the end of its workspace"
        try:
            joints = inverse(matrix_to_pose(flange), self.target)
        except RobotError:
            self.note = "the arm does not reach further"
            return
        if np.abs(joints - self.target).max() > 2 * TURN_SPEED * dt:
            self.note = "the arm would have to swing round; go back"
            return
        self.target, self._flange = joints, flange


def _limited(vector: Vector, largest: float) -> Vector:
    length = float(np.linalg.norm(vector))
    return vector if length <= largest else vector * (largest / length)


def _rotation(vector: Vector) -> Vector:
    """Return the matrix (3, 3) of a rotation vector (3,) (rad)."""
    return pose_to_matrix(np.concatenate([np.zeros(3), vector]))[:3, :3]


def _homogeneous(rotation: Vector) -> Vector:
    frame = np.eye(4)
    frame[:3, :3] = rotation
    return frame
