"""What is added to the fingers' targets for a firmer grip, and taken back where a tip is pressed hard."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from episode_fakes import DONE, JOINTS, ON, Half, Script, run, stacked
from robot_fakes import FakeRobot

from dexscrew_envs.hands import XHAND_LEFT
from dexscrew_envs.mdp.observations import HISTORY_STEPS, PROPRIO_STEPS
from real.env import DexScrewRealEnv
from real.hand_poses import inward, opened
from real.safety import NEWTON_PER_COUNT
from real.teleop.episode import Episode
from real.teleop.finger_skill import POSE_SPEED, FingerSkill, Noise
from real.teleop.grip import GIVES_WAY, THUMB_AHEAD, Grip
from real.teleop.operator import Orders
from real.teleop.setup import GRIP_POINT, Setup
from real.teleop.wrist import Wrist

HAND, PRESS = XHAND_LEFT, 0.075
FINGERS = len(HAND.fingers)
LIGHT = np.full(FINGERS, 1.0)


def of_finger(added, number):
    """How far a finger is closed by what was added (rad)."""
    joint, direction = next(iter(HAND.fingers[number].opening.items()))
    return -added[HAND.joints.index(joint)] / direction


def hard(number, force):
    forces = LIGHT.copy()
    forces[number] = force
    return forces


def test_the_fingers_close_further_while_the_skill_runs_and_no_longer():
    grip = Grip(HAND, PRESS)
    assert not grip.added.any() and not grip.step(LIGHT, on=False, pose="grasp").any()
    first = of_finger(grip.step(LIGHT, on=True, pose="hold"), 0)
    added = grip.step(LIGHT, on=True, pose="hold")
    assert first == pytest.approx(0.05)  # no faster than the safety layer lets it
    assert [of_finger(added, k) for k in range(FINGERS)] == pytest.approx([PRESS] * FINGERS)
    moved = {joint for finger in HAND.fingers for joint in finger.opening}
    assert {joint for joint, value in zip(HAND.joints, added, strict=True) if value} == moved
    np.testing.assert_array_equal(grip.step(LIGHT, on=False, pose="hold"), added)  # off, the targets stay as they are
    assert of_finger(grip.step(LIGHT, on=False, pose="squeeze"), 0) == pytest.approx(PRESS - 0.05)
    assert not grip.step(LIGHT, on=False, pose="squeeze").any()
    grip.step(LIGHT, on=True, pose="hold")
    grip.reset()
    assert not grip.added.any()


def test_a_finger_gives_way_where_its_tip_is_pressed_hard_and_comes_back():
    grip = Grip(HAND, PRESS)
    for _ in range(2):
        grip.step(LIGHT, on=True, pose="hold")
    way = [of_finger(grip.step(hard(1, GIVES_WAY + 3), on=True, pose="hold"), 1) for _ in range(3)]
    assert way == pytest.approx([PRESS - 0.03, PRESS - 0.06, PRESS - 0.09])
    assert of_finger(grip.added, 0) == pytest.approx(PRESS)  # the others hold on
    back = [of_finger(grip.step(LIGHT, on=True, pose="hold"), 1) for _ in range(12)]
    assert back[0] == pytest.approx(PRESS - 0.08) and back[-1] == pytest.approx(PRESS) and max(back) <= PRESS
    fast = of_finger(grip.step(hard(1, 100.0), on=True, pose="hold"), 1)
    assert fast == pytest.approx(PRESS - 0.05)
    for _ in range(20):
        grip.step(hard(1, 100.0), on=True, pose="hold")
    assert of_finger(grip.added, 1) == pytest.approx(PRESS - 0.3)


def test_it_gives_way_in_a_squeeze_and_not_where_a_tip_is_caught_as_it_leaves():
    grip = Grip(HAND, PRESS)
    assert of_finger(grip.step(hard(0, GIVES_WAY + 2), on=False, pose="squeeze"), 0) == pytest.approx(-0.02)
    assert of_finger(grip.step(hard(0, GIVES_WAY + 2), on=False, pose="release"), 0) == pytest.approx(-0.01)


def test_without_a_press_nothing_is_ever_added():
    grip, pairs = Grip(HAND, 0.0), np.ones((HISTORY_STEPS, 2 * JOINTS), np.float32)
    for on in (True, False):
        assert not grip.step(hard(0, 20.0), on=on, pose="squeeze").any()
    assert grip.without("history", pairs, 1) is pairs
    np.testing.assert_array_equal(grip.unwound(np.ones(JOINTS), np.zeros(JOINTS)), np.ones(JOINTS))


@pytest.mark.parametrize("delay", [0, 1])
def test_the_skill_observes_targets_as_if_nothing_was_added(delay):
    grip, rng = Grip(HAND, PRESS), np.random.default_rng(0)
    pairs = rng.normal(size=(HISTORY_STEPS, 2 * JOINTS)).astype(np.float32)
    added = [grip.step(rng.uniform(0, 12, FINGERS), on=k % 7 > 2, pose="squeeze") for k in range(HISTORY_STEPS + 5)]
    for key, end, rows in (("history", 0, HISTORY_STEPS), ("proprio", delay, PROPRIO_STEPS)):
        last = len(added) - end
        seen = grip.without(key, pairs[-rows:], delay)
        assert seen.dtype == np.float32
        np.testing.assert_array_equal(seen[:, :JOINTS], pairs[-rows:, :JOINTS])  # what is measured stays
        expected = pairs[-rows:, JOINTS:] - np.array(added[last - rows : last])
        np.testing.assert_allclose(seen[:, JOINTS:], expected, atol=1e-6)


# -- in an episode -----------------------------------------------------------------------------------------------------


class Looks(Half):
    """A skill that keeps what it observed of the targets."""

    observe = ("proprio", "history")

    def __init__(self, action=0.5):
        super().__init__()
        self.targets = {key: [] for key in self.observe}
        self.action = action

    def act(self, batch):
        for key in self.observe:
            self.targets[key].append(batch[key][0, :, JOINTS:].numpy())
        return super().act(batch) * self.action / 0.5


@pytest.mark.parametrize(
    ("press", "closed"),
    [
        (0.05, [0, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0, 0, 0, 0.05, 0.05]),
        (0.2, [0, 0.05, 0.1, 0.15, 0.15, 0.15, 0.2, 0.2, 0.2, 0.15, 0.1, 0.1, 0.15, 0.2]),  # no faster than is sent
    ],
)
def test_a_firmer_grip_is_sent_and_recorded_and_the_skill_does_not_see_it(press, closed):
    opens = Orders(hand="release")
    policy, orders = Looks(), [Orders(), *[ON] * 3, *[Orders()] * 2, *[ON] * 3, *[opens] * 2, Orders(), *[ON] * 2]
    rows, _, _, env = run(*orders, DONE, policy=policy, press=press)
    direction = inward(env.task.hand).sum(0)
    assert direction.min() == 0.0 and direction.max() == 1.0
    pressed = np.array(closed)[:, None] * direction
    skills = stacked(rows, "sent_hand") - pressed
    on = [k for k, order in enumerate(orders) if order.skill]
    free = [k for k in range(JOINTS) if k not in env.task.locked_joints]
    for name in ("asked_hand", "sent_hand"):
        moved = stacked(rows, name) - stacked(rows, "held_hand") - np.diff(pressed, axis=0, prepend=0.0)
        np.testing.assert_allclose(moved[np.ix_(on, free)], env.task.action_scale / 2, atol=1e-9)
    assert not (stacked(rows, "sent_hand") - stacked(rows, "held_hand"))[[0, 4, 5, 11]].any()  # off, it stays
    pose = np.clip(opened(env.task.hand, np.array(env.task.start_pose)), env.limits.hand_lower, env.limits.hand_upper)
    for k in (9, 10):
        own = rows[k]["held_hand"] - pressed[k - 1]
        expected = own + np.clip(pose - own, -POSE_SPEED * 0.05, POSE_SPEED * 0.05) + pressed[k]
        np.testing.assert_allclose(rows[k]["asked_hand"], expected, atol=1e-9)
    for before, history, proprio in zip(on, policy.targets["history"], policy.targets["proprio"], strict=True):
        expected = np.concatenate([np.tile(rows[0]["held_hand"], (30 - before, 1)), skills[:before]])
        np.testing.assert_allclose(history, expected, atol=1e-6)
        end = 30 - env.task.proprio_delay
        np.testing.assert_array_equal(proprio, history[end - len(proprio) : end])


def pressing(force):
    """What a robot reads whose index finger is pressed (N)."""
    resultant = np.zeros((5, 3), np.int16)
    resultant[1, 2] = round(force / NEWTON_PER_COUNT)
    return {"resultant": resultant}


class Feels(Script):
    """An operator during whose orders the index finger is pressed, by the number of the step."""

    def __init__(self, robot, forces, *orders):
        super().__init__(*orders)
        self.robot, self.forces = robot, forces

    def orders(self, scene):
        self.robot.overrides["hand"] = pressing(self.forces[min(len(self.scenes) + 1, len(self.forces) - 1)])
        return super().orders(scene)


def felt(forces, *, press=0.075, actor=None, prepare=None):
    """The rows of an episode whose skill stands still, while the index finger is pressed."""
    robot = FakeRobot()
    robot.real_time = False
    with closing(DexScrewRealEnv("nut", robot=robot, action="full")) as env:
        if prepare is not None:
            prepare(robot, env)
        operator = Feels(robot, forces, *[ON] * (len(forces) - 1), DONE)
        skill = FingerSkill(Looks(0.0), env, np.random.default_rng(0), press)
        episode = Episode(
            env, operator, skill, Wrist(np.array(env.limits.workspace), np.array(GRIP_POINT)), actor=actor
        )
        episode.reset(3, Noise())
        rows = []
        episode.run(rows.append)
        return rows, env.task.hand.joints.index("index_1"), env


def test_a_finger_that_is_pressed_hard_gives_way_and_comes_back():
    rows, joint, _ = felt([1.0] * 5 + [12.0] * 3 + [1.0] * 30)
    moved = stacked(rows, "sent_hand")[:, joint] - rows[0]["held_hand"][joint]
    assert moved[4] == pytest.approx(0.075) and moved.min() == pytest.approx(0.075 - 3 * 0.04)
    assert moved[-1] == pytest.approx(0.075)
    other = stacked(rows, "sent_hand")[:, rows[0]["held_hand"].size - 1]
    assert np.ptp(other[3:]) == 0.0


def test_a_finger_that_gives_way_at_its_joints_limits_comes_back_to_where_it_was():
    def open_hand(robot, env):
        robot.q = np.array(env.limits.hand_lower)
        env._go_to_start = lambda: None

    rows, joint, env = felt([1.0] * 5 + [14.0] * 10 + [1.0] * 40, prepare=open_hand)
    sent = stacked(rows, "sent_hand")
    assert (sent >= np.array(env.limits.hand_lower)).all()
    assert sent[:, joint].min() == pytest.approx(env.limits.hand_lower[joint])
    np.testing.assert_allclose(sent[-1], sent[4], atol=1e-9)


def stuck(robot):
    """What holds all joints where they are."""
    robot.overrides["hand"] = {"q": robot.q.copy()}


@pytest.mark.parametrize("press", [0.0, PRESS])
def test_a_thumb_that_is_held_back_is_not_wound_up_and_the_skill_does_not_see_it(press):
    policy, orders = Looks(1.0), [*[ON] * 24, *[Orders(hand="release")] * 12]
    rows, _, _, env = run(*orders, DONE, policy=policy, press=press, prepare=stuck)
    thumb, finger = [HAND.joints.index(joint) for joint in HAND.thumb[1:]], HAND.joints.index("index_1")
    sent, start, moved = stacked(rows, "sent_hand"), rows[0]["held_hand"], 24 * env.task.action_scale
    near = rows[0]["hand_q"][thumb] + np.array([[-THUMB_AHEAD], [THUMB_AHEAD]])
    skills = start[thumb] + moved
    assert (skills > near[1]).all() and sent[12, finger] == pytest.approx(start[finger] + moved * 13 / 24 + press)
    np.testing.assert_allclose(policy.targets["history"][-1][-1, thumb], skills - env.task.action_scale, atol=1e-5)
    np.testing.assert_allclose(sent[23, thumb], near[1] if press else skills)
    pose = np.clip(opened(HAND, np.array(env.task.start_pose)), env.limits.hand_lower, env.limits.hand_upper)[thumb]
    for step in range(24, 36):  # it goes to the pose from where the skill wanted it
        skills += (pose - skills).clip(-POSE_SPEED * 0.05, POSE_SPEED * 0.05)
        np.testing.assert_allclose(sent[step, thumb], skills.clip(*near) if press else skills, atol=1e-6)


def test_labels_say_give_way_while_a_finger_is_pressed_and_forget_what_a_clone_did_not_do():
    class Holds:
        def reset(self, env):
            pass

        def act(self, env, observation):
            return env.safety.hand_target.copy(), env.safety.arm_target.copy()

    rows, joint, _ = felt([1.0] * 5 + [12.0] * 20 + [1.0] * 20, actor=Holds())
    label = (stacked(rows, "asked_hand") - stacked(rows, "held_hand"))[:, joint]
    assert label[:2] == pytest.approx([0.05, 0.025]) and label[2:5] == pytest.approx([0.0] * 3)
    assert label[5:24] == pytest.approx([-0.04] * 19) and label[26:] == pytest.approx([0.0] * len(label[26:]))


def test_an_episode_begins_without_what_was_added_in_the_one_before():
    robot, policy = FakeRobot(), Looks(0.0)
    robot.real_time = False
    with closing(DexScrewRealEnv("nut", robot=robot, action="full")) as env:
        skill = FingerSkill(policy, env, np.random.default_rng(0), 0.05)
        for _ in range(2):
            observation, _ = env.reset()
            skill.reset(Noise(), np.random.default_rng(0))
            for _ in range(3):
                fingers = skill.act(observation, env.safety.hand_target, on=True, pose="hold")
                seen = policy.targets["history"][-1]
                observation, *_ = env.step(np.concatenate([fingers.noisy, env.safety.arm_target]))
                np.testing.assert_allclose(seen, np.tile(seen[0], (30, 1)), atol=1e-6)  # it never moved, as it sees it


@pytest.mark.parametrize("press", [-0.01, 0.21, float("nan")])
def test_a_grip_that_is_not_possible_is_refused(press):
    with pytest.raises(ValueError, match=r"press must be between 0 and 0\.2 rad"):
        Setup(task="nut", policy="nut-student", press=press)
