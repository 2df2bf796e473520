"""Kinematics of the UR5e: where the flange is, how it moves, and which joint positions put it somewhere.

Frames are the controller's: the base frame with z up from the mounting face, and the flange frame with z out of the
flange. A pose is (6,): position (m) and rotation vector (rad) of the flange in the base frame, as on the controller.
An arm's own calibration moves the flange by up to about 1 mm; it is not part of this.
"""

from __future__ import annotations

import mujoco
import numpy as np

from real.robot import RobotError, Vector

JOINTS = 6

# Denavit-Hartenberg parameters, standard (distal) convention. Source: UR's article "DH Parameters for calculations of
# kinematics and dynamics", row UR5e.
DH_A = np.array([0.0, -0.425, -0.3922, 0.0, 0.0, 0.0])
"""Link lengths (m)."""
DH_D = np.array([0.1625, 0.0, 0.0, 0.1333, 0.0997, 0.0996])
"""Link offsets (m)."""
DH_ALPHA = np.array([1, 0, 0, 1, -1, 0]) * np.pi / 2
"""Link twists (rad)."""

JOINT_LIMIT = np.array([2, 2, 1, 2, 2, 2]) * np.pi
"""Largest absolute joint positions (rad); beyond pi the elbow hits the arm itself."""

_COS_ALPHA, _SIN_ALPHA = np.cos(DH_ALPHA).round(15), np.sin(DH_ALPHA).round(15)


def check_joints(q: object, what: str = "joint positions") -> Vector:
    """Return `q` as a new array if it is six finite numbers.

    Args:
        q: what to check.
        what: what to call it in the message.

    Raises:
        ValueError: it is something else.
    """
    array = np.array(q, dtype=np.float64)
    if array.shape != (JOINTS,) or not np.isfinite(array).all():
        raise ValueError(f"{what} of the arm must be 6 finite numbers, base to wrist; got {q!r}")
    return array


def link_frames(q: Vector) -> Vector:
    """Return the frames (7, 4, 4) of base and links in the base frame at joint positions `q` (6,) (rad)."""
    frames = np.empty((JOINTS + 1, 4, 4))
    frames[0] = np.eye(4)
    for i, (cos, sin) in enumerate(zip(np.cos(q), np.sin(q), strict=True)):
        step = np.array([
            [cos, -sin * _COS_ALPHA[i], sin * _SIN_ALPHA[i], DH_A[i] * cos],
            [sin, cos * _COS_ALPHA[i], -cos * _SIN_ALPHA[i], DH_A[i] * sin],
            [0.0, _SIN_ALPHA[i], _COS_ALPHA[i], DH_D[i]],
            [0.0, 0.0, 0.0, 1.0],
        ])  # fmt: skip
        frames[i + 1] = frames[i] @ step
    return frames


def forward_matrix(q: Vector) -> Vector:
    """Return the flange frame (4, 4) in the base frame at joint positions `q` (6,) (rad)."""
    return link_frames(q)[-1]


def forward(q: Vector) -> Vector:
    """Return the flange pose (6,) at joint positions `q` (6,) (rad)."""
    return matrix_to_pose(forward_matrix(q))


def jacobian(q: Vector) -> Vector:
    """Return the Jacobian (6, 6) at joint positions `q` (6,) (rad).

    It maps joint velocities (rad/s) to the flange's linear (m/s) and angular (rad/s) velocity in the base frame.
    """
    return _jacobian(link_frames(q))


def _jacobian(frames: Vector) -> Vector:
    axes, origins = frames[:-1, :3, 2], frames[:-1, :3, 3]
    return np.vstack([np.cross(axes, frames[-1, :3, 3] - origins).T, axes.T])


def inverse(pose: Vector, near: Vector) -> Vector:
    """Return joint positions (6,) (rad) that put the flange at `pose`, on the same branch as `near` where there is one.

    Levenberg-Marquardt with the error itself as damping (Sugihara, "Solvability-unconcerned inverse kinematics by the
    Levenberg-Marquardt method", 2011), which also converges close to singularities.

    Args:
        pose: (6,) pose of the flange.
        near: (6,) joint positions to start from.

    Raises:
        RobotError: nothing near reaches the pose within 1 um and 1 urad, or only beyond the joint limits.
    """
    target, q = pose_to_matrix(check_joints(pose, "the pose")), check_joints(near)
    for _ in range(100):
        frames = link_frames(q)
        error = np.concatenate([
            target[:3, 3] - frames[-1, :3, 3], _rotation_vector(target[:3, :3] @ frames[-1, :3, :3].T)
        ])  # fmt: skip
        if np.abs(error).max() < 1e-6:
            break
        slope = _jacobian(frames)
        damping = error @ error / 2 + 1e-9
        q = q + np.linalg.solve(slope.T @ slope + damping * np.eye(JOINTS), slope.T @ error)
    else:
        raise RobotError(
            f"no joint positions near {np.round(near, 3)} put the flange at {np.round(pose, 4)}: the closest is "
            f"{np.linalg.norm(error[:3]) * 1000:.1f} mm and {np.degrees(np.linalg.norm(error[3:])):.1f} degrees off"
        )
    if (np.abs(q) > JOINT_LIMIT).any():
        raise RobotError(
            f"the flange would be at {np.round(pose, 4)} only beyond the joint limits, at {q.round(3)} rad"
        )
    return q


def pose_to_matrix(pose: Vector) -> Vector:
    """Return the frame (4, 4) of a pose (6,)."""
    angle = float(np.linalg.norm(pose[3:]))
    quat, rotation = np.empty(4), np.empty(9)
    mujoco.mju_axisAngle2Quat(quat, pose[3:] / angle if angle else np.array([0.0, 0.0, 1.0]), angle)
    mujoco.mju_quat2Mat(rotation, quat)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation.reshape(3, 3), pose[:3]
    return matrix


def matrix_to_pose(matrix: Vector) -> Vector:
    """Return the pose (6,) of a frame (4, 4); its rotation is at most pi."""
    return np.concatenate([matrix[:3, 3], _rotation_vector(matrix[:3, :3])])


def _rotation_vector(rotation: Vector) -> Vector:
    quat, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quat, rotation.flatten())
    mujoco.mju_quat2Vel(vector, quat, 1.0)
    return vector
