from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from robot_fakes import ARM_Q, FakeRobot

from baselines import policies
from baselines.bc.design import Design
from baselines.bc.policy import ClonePolicy, build, save
from dexscrew_envs.hands import XHAND_LEFT
from real.autonomous import run_trial
from real.env import DexScrewRealEnv
from real.robot_policies import load_robot_policy

SHAPES = {"hand_q": [12], "arm_q": [6], "held_hand": [12], "held_arm": [6], "tactile": [5, 120, 3],
          "resultant": [5, 3]}  # fmt: skip


@pytest.fixture
def env():
    robot = FakeRobot()
    robot.real_time = False
    with closing(DexScrewRealEnv("nut", robot=robot, action="full", episode_steps=15)) as env:
        yield env


def clone(folder, **changes):
    """A clone that lowers each joint of hand and arm by a thousandth of a radian at each step."""
    interface = {"task": "nut", "hand": XHAND_LEFT.name, "joints": list(XHAND_LEFT.joints), "rate_hz": 20.0,
                 "fingers": list(XHAND_LEFT.finger_names), "observations": SHAPES}  # fmt: skip
    network = build(Design(encoder=(8,), widths=(8,)), interface)
    torch.nn.init.zeros_(network.decoder[1].weight)
    torch.nn.init.zeros_(network.decoder[1].bias)
    network.action_center.fill_(-0.001)
    path = folder / "policy.pt"
    save(ClonePolicy(network, interface | changes, {}), path)
    return str(path)


def test_a_clone_rests_then_moves_hand_and_arm(env, tmp_path):
    found = run_trial(env, load_robot_policy(clone(tmp_path / "mine"), "nut"), 0)
    assert found.policy == "mine" and found.ended_by == "time"
    arms = np.array([arm for _, arm in env.robot.commands][-15:])
    np.testing.assert_allclose(arms[:8], ARM_Q[None].repeat(8, 0))
    np.testing.assert_allclose(arms[-1], ARM_Q - 0.007, atol=1e-5)


def test_a_skill_with_the_arm_still_moves_the_hand_as_in_the_simplified_task(env):
    policy, skill = load_robot_policy("direct", "nut"), policies.load("nut-student")
    observation, _ = env.reset(seed=0)
    policy.reset(env)
    hand, arm = policy.act(env, observation)
    action = skill.act({key: torch.from_numpy(observation[key])[None] for key in skill.observe})[0].numpy()
    np.testing.assert_array_equal(hand, env.skill_targets(action))
    np.testing.assert_array_equal(arm, ARM_Q)
    assert np.abs(action).max() > 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hand": "another"}, "made for the hand another, and here it is xhand"),
        ({"rate_hz": 10.0}, "a rate .Hz. of 10, and here it is 20"),
    ],
)
def test_a_clone_of_another_robot_is_refused_before_anything_moves(env, tmp_path, changes, words):
    policy = load_robot_policy(clone(tmp_path, **changes), "nut")
    env.reset(seed=0)
    sent = len(env.robot.commands)
    with pytest.raises(ValueError, match=words):
        policy.reset(env)
    assert len(env.robot.commands) == sent


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("direct", "bolt", "unknown task 'bolt'; choose from"),
        ("direct:nut-student", "screwdriver", "made for the task 'nut', not 'screwdriver'"),
        ("direct:nut-oracle", "nut", "which only a simulation knows"),
        ("replay:demos", "nut", "replay:FOLDER:NUMBER"),
        ("nut-oracle", "nut", "which only a simulation knows"),
        ("nut-bcc", "nut", "unknown policy 'nut-bcc'; did you mean 'nut-bc'"),
        ("driect", "nut", "did you mean 'direct'"),
        ("nut-studnet", "nut", "did you mean 'nut-student'"),
    ],
)
def test_unknown_policies_are_refused(name, task, words):
    with pytest.raises(ValueError, match=words):
        load_robot_policy(name, task)


def test_a_student_given_as_a_clone_is_named_as_such():
    path = Path(policies.__file__).parent / "checkpoints" / "nut-student.pt"
    with pytest.raises(ValueError, match=r"it is a policy of the fingers alone: .* takes it as direct:FILE"):
        load_robot_policy(str(path), "nut")


def test_a_task_without_a_student_says_so():
    with pytest.raises(ValueError, match="no student of the task 'cap' is shipped; give one of your own"):
        load_robot_policy("direct", "cap")
