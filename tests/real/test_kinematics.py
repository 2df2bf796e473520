from __future__ import annotations

import numpy as np
import pytest

from real.kinematics import forward, forward_matrix, inverse, jacobian, matrix_to_pose, pose_to_matrix
from real.robot import RobotError

Q = np.array([0.3, -1.2, 1.6, -0.4, 1.2, 0.1])


def test_the_zero_pose_is_the_vendors():
    expected = [[1, 0, 0, -0.8172], [0, 0, -1, -0.2329], [0, 1, 0, 0.0628], [0, 0, 0, 1]]
    np.testing.assert_allclose(forward_matrix(np.zeros(6)), expected, atol=1e-12)


def test_the_base_turns_the_flange_about_the_vertical():
    turned = forward_matrix(Q + np.pi / 2 * np.eye(6)[0])
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(turned[:3], quarter @ forward_matrix(Q)[:3], atol=1e-12)


def test_the_jacobian_is_the_derivative():
    step = 1e-6
    slope = jacobian(Q)
    here = forward_matrix(Q)
    for joint in range(6):
        there = forward_matrix(Q + step * np.eye(6)[joint])
        turn = matrix_to_pose(np.block([[there[:3, :3] @ here[:3, :3].T, np.zeros((3, 1))], [np.zeros((1, 3)), 1.0]]))
        np.testing.assert_allclose((there[:3, 3] - here[:3, 3]) / step, slope[:3, joint], atol=1e-5)
        np.testing.assert_allclose(turn[3:] / step, slope[3:, joint], atol=1e-5)


def test_inverse_undoes_forward():
    rng = np.random.default_rng(0)
    for _ in range(100):
        q = rng.uniform(-2.5, 2.5, 6)
        found = inverse(forward(q), q + rng.normal(0, 0.1, 6))
        np.testing.assert_allclose(forward_matrix(found), forward_matrix(q), atol=3e-6)


def test_inverse_stays_near():
    found = inverse(forward(Q), Q + 0.05)
    np.testing.assert_allclose(found, Q, atol=1e-4)


def test_an_unreachable_pose_is_an_error():
    with pytest.raises(RobotError, match=r"no joint positions near .* mm and .* degrees off"):
        inverse(np.array([1.5, 0, 0.2, 0, 0, 0]), Q)


def test_a_pose_beyond_the_joint_limits_is_an_error():
    beyond = np.array([6.5, -1.2, 1.6, -0.4, 1.2, 0.1])
    with pytest.raises(RobotError, match="only beyond the joint limits"):
        inverse(forward(beyond), beyond)


@pytest.mark.parametrize("near", [np.zeros(5), np.full(6, np.nan)])
def test_inverse_refuses_what_are_no_joint_positions(near):
    with pytest.raises(ValueError, match="must be 6 finite numbers"):
        inverse(forward(Q), near)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, 3.1, np.pi])
def test_poses_and_matrices_convert(angle):
    axis = np.array([2.0, -1.0, 2.0]) / 3
    pose = np.concatenate([[0.1, 0.2, 0.3], angle * axis])
    matrix = pose_to_matrix(pose)
    np.testing.assert_allclose(matrix[:3, :3] @ axis, axis, atol=1e-12)
    np.testing.assert_allclose(np.trace(matrix[:3, :3]), 1 + 2 * np.cos(angle), atol=1e-12)
    np.testing.assert_allclose(pose_to_matrix(matrix_to_pose(matrix)), matrix, atol=1e-9)
