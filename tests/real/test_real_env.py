from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from robot_fakes import ARM_Q, HAND_Q, FakeRobot

import dexscrew_envs  # noqa: F401 - registers the environments
from baselines import policies
from dexscrew_envs.hands import XHAND_LEFT
from dexscrew_envs.tasks import make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv
from real.env import ALL_OBSERVE, DexScrewRealEnv
from real.robot import ArmMode, RobotError
from real.safety import SafetyLimits

IDS = ("DexScrew-NutReal-v0", "DexScrew-ScrewdriverReal-v0")


@pytest.fixture
def robot():
    return FakeRobot()


@pytest.fixture
def make():
    """Build environments and close them after the test."""
    built = []

    def build(task="nut", **kwargs):
        env = DexScrewRealEnv(task, **kwargs)
        built.append(env)
        return env

    yield build
    for env in built:
        env.close()


# -- on the twin ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("action", ["hand", "full"])
@pytest.mark.filterwarnings("error::UserWarning", "ignore:.*recommend using a symmetric")  # joint targets are in rad
def test_the_checker_passes_on_the_twin(name, action):
    env = gymnasium.make(name, action=action, disable_env_checker=True)
    try:
        check_env(env.unwrapped, skip_render_check=True)
    finally:
        env.close()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_the_interface_is_that_of_the_simplified_task(task, make):
    env, simple = make(task), DexScrewVectorEnv(task, 1, observe=("proprio", "history"), num_threads=1)
    for key in ("proprio", "history"):
        assert env.observation_space[key] == simple.single_observation_space[key]
    assert env.action_space == simple.single_action_space
    assert env.task.control_dt == simple.task.control_dt
    simple.close()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_a_student_acts_on_the_twin_unchanged(task, make):
    env, policy = make(task), policies.load(f"{task}-student")
    observation, _ = env.reset(seed=0)
    for _ in range(20):
        action = policy.act({key: torch.from_numpy(observation[key])[None] for key in policy.observe})[0].numpy()
        observation, _, terminated, _, info = env.step(action)
        assert not info["trip"]
        if terminated:
            break
    assert env.observation_space.contains(observation)


def test_the_same_seed_gives_the_same_episode(make):
    def rollout():
        env = make("nut")
        rng = np.random.default_rng(3)
        observation, _ = env.reset(seed=7)
        actions = rng.uniform(-1, 1, (15, 12)).astype(np.float32)
        return [observation, *(env.step(action)[0] for action in actions)]

    for a, b in zip(rollout(), rollout(), strict=True):
        for key in ALL_OBSERVE:
            np.testing.assert_array_equal(a[key], b[key])


def test_two_episodes_of_one_environment_differ(make):
    env = make("nut", observe=("tactile", "hand_q"))
    first, _ = env.reset(seed=0)
    second, _ = env.reset()
    assert any((first[key] != second[key]).any() for key in first)


def test_a_protective_stop_of_the_twin_ends_the_episode_and_reset_recovers(make):
    env = make("nut")
    env.reset(seed=0)
    env.step(np.zeros(12, np.float32))
    env.robot.plant.trigger_protective_stop()
    _, _, terminated, _, info = env.step(np.zeros(12, np.float32))
    assert terminated and "protective stop" in info["trip"]
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros(12, np.float32))
    env.reset()
    assert not env.step(np.zeros(12, np.float32))[4]["trip"]


@pytest.mark.slow
def test_the_twin_is_drawn(make, opengl):
    env = make("nut", render_mode="rgb_array", render_size=(60, 80))
    env.reset(seed=0)
    frame = env.render()
    assert frame.shape == (60, 80, 3) and frame.std() > 5


# -- whatever the robot -----------------------------------------------------------------------------------------------


def test_hand_actions_move_targets_and_hold_the_arm(robot, make):
    env = make("nut", robot=robot)
    env.reset()
    start = env._target.copy()
    action = np.ones(12, np.float32)
    *_, info = env.step(action)
    task = make_task("nut")
    moved = info["sent_hand"] - start
    free = [k for k in range(12) if k not in task.locked_joints]
    assert np.abs(moved[list(task.locked_joints)]).max() == 0
    assert (np.isclose(moved[free], task.action_scale) | (moved[free] < task.action_scale)).all()
    np.testing.assert_array_equal(info["sent_arm"], ARM_Q)


def test_history_holds_what_was_read_and_what_was_sent(robot, make):
    env = make("nut", robot=robot)
    env.reset()
    observation, *_, info = env.step(np.full(12, 0.5, np.float32))
    pair = np.concatenate([robot.q, info["sent_hand"]]).astype(np.float32)
    np.testing.assert_array_equal(observation["history"][-1], pair)
    np.testing.assert_array_equal(observation["proprio"], observation["history"][-3:])


def test_full_actions_are_joint_targets_of_hand_and_arm(robot, make):
    env = make("nut", robot=robot, action="full")
    env.reset()
    hand = env.safety.hand_target + 0.01
    *_, info = env.step(np.concatenate([hand, ARM_Q + 0.001]))
    np.testing.assert_allclose(info["sent_arm"], ARM_Q + 0.001)
    np.testing.assert_allclose(info["sent_hand"], hand)


def test_reset_takes_the_hand_to_the_start_pose_and_leaves_the_arm(robot, make):
    env = make("nut", robot=robot)
    env.reset()
    np.testing.assert_allclose(robot.q, make_task("nut").start_pose)
    steps = np.abs(np.diff([hand for hand, _ in robot.commands], axis=0))
    assert steps.max() <= env.limits.hand_velocity * 0.05 + 1e-9
    assert all((arm == ARM_Q).all() for _, arm in robot.commands)
    assert robot.recoveries == 1


def test_the_start_pose_is_cut_to_the_ranges_of_task_and_model(robot, make, monkeypatch):
    joints = XHAND_LEFT.joints
    beyond = dict.fromkeys(joints, 0.5) | {"index_bend": -0.3, "thumb_bend": 0.1, "thumb_2": 1.8}
    task = make_task("screwdriver", start_pose=tuple(beyond.values()))
    monkeypatch.setattr("real.env.make_task", lambda name: task)
    make("screwdriver", robot=robot).reset()
    reached = dict(zip(joints, robot.q, strict=True))
    expected = beyond | {"index_bend": -0.174, "thumb_bend": 0.6, "thumb_2": 1.745}
    assert reached == pytest.approx(expected)


def test_a_hand_that_does_not_reach_the_start_pose_is_reported(robot, make):
    env = make("nut", robot=robot)
    robot.overrides["hand"] = {"q": HAND_Q - 0.7}
    with pytest.raises(RobotError, match=r"did not reach its start pose within 5 s: .* clear the hand"):
        env.reset()


def test_a_trip_ends_the_episode_and_names_the_limit(robot, make):
    env = make("nut", robot=robot)
    env.reset()
    robot.overrides["arm"] = {"mode": ArmMode.LOST}
    stops = robot.stops
    observation, _, terminated, truncated, info = env.step(np.zeros(12, np.float32))
    assert terminated and not truncated
    assert "connection lost" in info["trip"] and robot.stops == stops + 1
    assert env.observation_space.contains(observation)


def test_turns_are_unknown_on_hardware(robot, make):
    env = make("nut", robot=robot)
    env.reset()
    _, reward, *_, info = env.step(np.zeros(12, np.float32))
    assert reward == 0.0 and np.isnan(info["rotations"]) and "finished" not in info


def test_turns_are_the_reward_where_they_are_known(robot, make):
    robot.turns = 2.0
    env = make("nut", robot=robot)
    env.reset()
    robot.turns = 2.25
    _, reward, *_, info = env.step(np.zeros(12, np.float32))
    assert reward == 0.25 and info["rotations"] == 0.25


def test_the_time_limit_truncates(robot, make):
    env = make("nut", robot=robot, episode_steps=2)
    env.reset()
    assert env.step(np.zeros(12, np.float32))[2:4] == (False, False)
    assert env.step(np.zeros(12, np.float32))[2:4] == (False, True)


def test_ages_are_those_of_the_readings(robot, make):
    env = make("nut", robot=robot)
    env.reset()
    robot.lag = {"arm": 0.01, "hand": 0.02, "tactile": 0.03}
    observation, *_ = env.step(np.zeros(12, np.float32))
    np.testing.assert_allclose(observation["age"], [0.01, 0.02, 0.03], atol=1e-9)


BAD_ACTIONS = {
    "shape": (np.zeros(11, np.float32), ValueError, r"shape \(12,\), got \(11,\)"),
    "type": (np.zeros(12, int), TypeError, "floating point"),
    "nan": (np.full(12, np.nan, np.float32), ValueError, "finite"),
}


@pytest.mark.parametrize("case", BAD_ACTIONS)
def test_a_bad_action_is_refused_and_nothing_is_sent(robot, make, case):
    action, error, words = BAD_ACTIONS[case]
    env = make("nut", robot=robot)
    env.reset()
    sent = len(robot.commands)
    with pytest.raises(error, match=words):
        env.step(action)
    assert len(robot.commands) == sent
    env.step(np.zeros(12, np.float32))


@pytest.mark.parametrize("seed", [-1, 1.0, True, "0", 2**63])
def test_a_bad_seed_is_refused(seed, robot, make):
    env = make("nut", robot=robot)
    with pytest.raises(ValueError, match="seed must be a non-negative integer"):
        env.reset(seed=seed)
    with pytest.raises(ValueError, match="unknown option 'speed'"):
        env.reset(options={"speed": 2})
    assert robot.recoveries == 0


class FailingRobot(FakeRobot):
    """One of its methods fails."""

    def __init__(self, method, error):
        super().__init__()

        def fail():
            raise error

        setattr(self, method, fail)


@pytest.mark.parametrize("error", [RobotError("no"), KeyboardInterrupt(), ValueError("odd")], ids=repr)
def test_a_robot_that_did_not_connect_wholly_is_closed(error):
    robot = FailingRobot("connect", error)
    with pytest.raises(type(error)):
        DexScrewRealEnv("nut", robot=robot)
    assert robot.closed


def test_a_connected_robot_is_closed_if_construction_fails(robot, monkeypatch):
    monkeypatch.setattr("real.env.SafetyLayer", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        DexScrewRealEnv("nut", robot=robot)
    assert robot.closed


@pytest.mark.parametrize("method", ["stop", "close"])
def test_everything_is_closed_even_if_a_part_fails(method):
    robot = FailingRobot(method, RobotError("broken"))
    env = DexScrewRealEnv("nut", robot=robot)
    freed = []
    env._renderer = type("Renderer", (), {"close": lambda self: freed.append(True)})()
    with pytest.raises(RobotError, match="broken"):
        env.close()
    assert freed and env.closed and (robot.closed or method == "close") and (robot.stops or method == "stop")
    env.close()


def test_a_closed_environment_stops_the_robot_and_refuses_steps(robot):
    env = DexScrewRealEnv("nut", robot=robot)
    env.reset()
    env.close()
    assert robot.closed and robot.stops >= 1
    with pytest.raises(RuntimeError, match="closed"):
        env.step(np.zeros(12, np.float32))


@pytest.mark.slow
def test_with_a_robot_config_no_module_of_the_twin_is_loaded():
    """Nor with a robot of one's own: the environment does not know whether it drives a twin."""
    code = (
        "import sys; import real.env, real.hardware.robot\n"
        "from real.robot import RobotError\n"
        "config = real.hardware.robot.RobotConfig(arm='127.0.0.9', hand='tcp://127.0.0.1:9')\n"
        "try: real.env.DexScrewRealEnv('nut', robot=config)\n"
        "except RobotError: pass\n"
        "print([name for name in sys.modules if name.startswith('real.twin')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_robot_of_ones_own_says_how_far_the_task_is():
    robot = FakeRobot()
    robot.turns = 2.0
    env = DexScrewRealEnv("nut", robot=robot)
    env.reset(seed=0)
    robot.turns = 2.5
    _, reward, terminated, _, info = env.step(np.zeros(12, np.float32))
    assert (reward, info["rotations"], terminated) == (0.5, 0.5, False)
    assert (info["turns_needed"], info["finished"], info["lost"]) == (None, False, "")
    env.close()


def test_limits_of_ones_own_narrow_the_range_of_the_task(robot, make):
    upper = list(SafetyLimits().hand_upper)
    upper[XHAND_LEFT.joints.index("thumb_bend")] = 1.0
    env = make("nut", robot=robot, limits=SafetyLimits(hand_upper=tuple(upper)))
    env.reset()
    assert robot.q[XHAND_LEFT.joints.index("thumb_bend")] == pytest.approx(1.0)
    upper[XHAND_LEFT.joints.index("thumb_bend")] = 0.5
    with pytest.raises(ValueError, match=r"the limits of thumb_bend leave nothing of the task's range, 0\.6 to"):
        make("screwdriver", robot=robot, limits=SafetyLimits(hand_upper=tuple(upper)))


def test_a_reset_that_fails_ends_the_episode_before_it(robot, make):
    env = make("nut", robot=robot)
    env.reset()
    env.step(np.zeros(12, np.float32))
    robot.overrides["hand"] = {"q": HAND_Q - 0.7}
    with pytest.raises(RobotError, match="did not reach its start pose"):
        env.reset()
    with pytest.raises(RuntimeError, match=r"call reset\(\)"):
        env.step(np.zeros(12, np.float32))
