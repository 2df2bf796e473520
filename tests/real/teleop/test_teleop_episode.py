"""Episodes with a robot without physics, and with a twin: what is sent, what is recorded, and how they end."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from robot_fakes import FakeRobot

from baselines.data.schema import row_dtype, write_row
from real.env import DexScrewRealEnv
from real.hand_poses import inward, opened, squeezed
from real.robot import ArmMode
from real.safety import NEWTON_PER_COUNT
from real.teleop.episode import SCENE_POSITION, Episode, Step
from real.teleop.finger_skill import LEVELS, POSE_SPEED, FingerSkill, Noise, draw_noise
from real.teleop.operator import Orders
from real.teleop.scripted import ScriptedOperator
from real.teleop.setup import GRIP_POINT, Setup, recorded_fields
from real.teleop.wrist import Wrist

JOINTS = 12


class Half:
    """A skill whose every action is one half."""

    observe = ("proprio",)

    def __init__(self):
        self.resets = 0

    def reset(self):
        self.resets += 1

    def act(self, batch):
        import torch

        return torch.full((1, JOINTS), 0.5)


class Script:
    """An operator who gives orders in turn, the last one for ever."""

    name = "script"

    def __init__(self, *orders):
        self.orders_left = list(orders)
        self.scenes = []

    def start(self):
        pass

    def orders(self, scene):
        self.scenes.append(scene)
        return self.orders_left.pop(0) if len(self.orders_left) > 1 else self.orders_left[0]

    def close(self):
        pass


class Seen:
    def __init__(self):
        self.steps: list[Step] = []

    def show(self, step):
        self.steps.append(step)


ON = Orders(skill=True)
DONE = Orders(mark="success")


def run(*orders, noise=None, robot=None, policy=None, watcher=None, prepare=None, seed=3, press=0.0):
    robot = robot or FakeRobot()
    robot.real_time = False
    env = DexScrewRealEnv("nut", robot=robot, action="full")
    with closing(env):
        operator = Script(*orders)
        skill = FingerSkill(policy or Half(), env, np.random.default_rng(0), press)
        wrist = Wrist(np.array(env.limits.workspace), np.array(GRIP_POINT))
        episode = Episode(env, operator, skill, wrist, watcher=watcher)
        episode.reset(seed, noise or Noise())
        if prepare is not None:
            prepare(robot)
        rows = []
        ending = episode.run(rows.append)
        return rows, ending, operator, env


def stacked(rows, key):
    return np.array([row[key] for row in rows])


def test_rows_chain_what_was_sent_is_what_stands_in_the_next():
    move = Orders(skill=True, nudge=np.array([0.01, 0, 0, 0, 0, 0]))
    rows, ending, _, _ = run(*[ON, move, move, Orders(), ON], DONE)
    assert len(rows) == ending.steps == 5
    for part in ("hand", "arm"):
        np.testing.assert_array_equal(stacked(rows, f"sent_{part}")[:-1], stacked(rows, f"held_{part}")[1:])
    assert (np.diff(stacked(rows, "time")) > 0).all()


def test_the_skill_moves_the_targets_that_stood_and_off_holds_them():
    rows, _, _, env = run(*[ON] * 3, *[Orders()] * 3, DONE)
    moved = stacked(rows, "asked_hand") - stacked(rows, "held_hand")
    free = [k for k in range(JOINTS) if k not in env.task.locked_joints]
    assert np.abs(moved[:3, free]).max() == pytest.approx(env.task.action_scale / 2)
    assert not moved[3:].any()
    assert stacked(rows, "skill").tolist() == [1, 1, 1, 0, 0, 0]
    np.testing.assert_array_equal(stacked(rows, "skill_action")[:3], 0.5)
    assert np.isnan(stacked(rows, "skill_action")[3:]).all()


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


def test_the_wrist_is_moved_by_the_clutch_and_by_keys_and_sticks():
    clutch, nudge = Orders(clutch=True), Orders(nudge=np.array([0, 0, 0, 0, 0, 0.1]))
    seen = Seen()
    rows, _, _, _ = run(ON, clutch, nudge, Orders(), DONE, watcher=seen)
    assert stacked(rows, "clutch").tolist() == [step.orders.moves_wrist for step in seen.steps] == [0, 1, 1, 0]
    moved = np.abs(np.diff(stacked(rows, "asked_arm"), axis=0)).max(-1)
    assert moved[1] > 1e-4 and moved[2] == 0


def test_the_label_of_a_wrist_at_rest_is_that_of_the_row_before_and_not_what_is_held():
    """As docs/dataset.md says, with noise and after a motion that the safety layer limits."""
    fast = Orders(nudge=np.array([0, 0, 0, 0, 0.5, 0.0]))
    for noise in (Noise(), Noise(0.3, 0.001)):
        rows, _, _, _ = run(ON, *[fast] * 20, *[ON] * 5, *[Orders()] * 5, DONE, noise=noise)
        asked, held, at_rest = stacked(rows, "asked_arm"), stacked(rows, "held_arm"), stacked(rows, "clutch")[1:] == 0
        np.testing.assert_array_equal(asked[1:][at_rest], asked[:-1][at_rest])
        np.testing.assert_array_equal(asked[0], held[0])
        assert rows[20]["safety"] == 1 and np.abs(asked - held)[21].max() > 1e-4


def test_noise_is_sent_and_not_asked():
    clean, _, _, _ = run(*[ON] * 10, DONE)
    noisy, _, _, _ = run(*[ON] * 10, DONE, noise=Noise(0.6, 0.001))
    np.testing.assert_array_equal(noisy[0]["asked_hand"], clean[0]["asked_hand"])
    assert np.abs(noisy[0]["sent_hand"] - noisy[0]["asked_hand"]).max() > 1e-4
    np.testing.assert_array_equal(stacked(noisy, "skill_action"), 0.5)
    off = stacked(noisy, "sent_arm") - stacked(noisy, "asked_arm")
    assert 1e-5 < np.abs(off).max() < 0.02
    np.testing.assert_allclose(stacked(noisy, "asked_arm"), stacked(clean, "asked_arm"), atol=1e-9)


def test_the_wrist_of_a_noisy_episode_does_not_walk_away():
    still, _, _, _ = run(*[ON] * 40, DONE, noise=Noise(0.0, 0.001))
    np.testing.assert_allclose(stacked(still, "asked_arm"), still[0]["asked_arm"][None].repeat(40, 0), atol=1e-9)


def test_the_skill_begins_anew_when_it_is_switched_on():
    policy = Half()
    run(ON, ON, Orders(), ON, DONE, policy=policy)
    assert policy.resets == 2


def test_a_pose_is_approached_slowly():
    grasp, squeeze, release = Orders(hand="grasp"), Orders(hand="squeeze"), Orders(hand="release")
    rows, _, _, env = run(*[release] * 30, *[squeeze] * 40, *[grasp] * 10, DONE)
    asked = stacked(rows, "asked_hand")
    assert np.abs(asked - stacked(rows, "held_hand")).max() <= POSE_SPEED * 0.05 + 1e-9
    np.testing.assert_allclose(asked[29], opened(env.task.hand, env.task.start_pose), atol=1e-6)
    np.testing.assert_allclose(asked[69], squeezed(env.task.hand, env.task.start_pose), atol=1e-6)
    np.testing.assert_allclose(asked[-1], env.task.start_pose, atol=1e-6)


def _hand_limits(env):
    return np.array(env.limits.hand_lower), np.array(env.limits.hand_upper)


@pytest.mark.parametrize(("mark", "expected"), [("success", "success"), ("failure", "failure"), ("next", "none")])
def test_the_operator_says_what_an_episode_was(mark, expected):
    _, ending, _, _ = run(ON, ON, Orders(mark=mark))
    assert (ending.outcome.mark, ending.discard, ending.outcome.reason) == (expected, False, "ended by the operator")


def test_a_discarded_episode_says_so():
    assert run(ON, Orders(mark="discard"))[1].discard


def test_a_trip_ends_it_is_recorded_and_waits_for_a_mark():
    robot = FakeRobot()

    class Pressed(Script):
        def orders(self, scene):
            if len(self.scenes) == 3:
                robot.overrides["arm"] = {"tcp_force": np.array([0, 0, 80.0, 0, 0, 0])}
            return super().orders(scene)

    robot.real_time = False
    env = DexScrewRealEnv("nut", robot=robot, action="full")
    with closing(env):
        operator = Pressed(*[ON] * 6, Orders(mark="failure"))
        skill = FingerSkill(Half(), env, np.random.default_rng(0))
        seen = Seen()
        episode = Episode(
            env, operator, skill, Wrist(np.array(env.limits.workspace), np.array(GRIP_POINT)), watcher=seen
        )
        episode.reset(0, Noise())
        rows = []
        ending = episode.run(rows.append)
    assert rows[-1]["safety"] == 2 and rows[-2]["safety"] == 0
    assert ending.outcome.mark == "failure" and "80.0 N" in ending.outcome.reason
    assert "80.0 N" in operator.scenes[-1].trip
    assert robot.stops and not seen.steps[-1].recording
    assert seen.steps[-1].message.endswith("mark the episode")


def test_rows_fit_the_fields_that_are_declared():
    rows, _, _, env = run(ON, ON, DONE)
    fields = recorded_fields(env)
    row = np.zeros((), row_dtype(fields))
    write_row(fields, rows[0], row)
    assert row["hand_q"] == pytest.approx(rows[0]["hand_q"], abs=1e-6)


def test_a_limited_command_is_marked():
    rows, _, _, _ = run(*[Orders(nudge=np.array([0.0, 0, 0, 0, 0, 9.0]))] * 3, DONE)
    assert 1 in stacked(rows, "safety")[:2]


def test_noise_has_the_shares_that_are_documented():
    drawn = [draw_noise(seed) for seed in range(3000)]
    for share, noise in LEVELS:
        assert drawn.count(noise) / 3000 == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("given", [{"action": -1.0}, {"wrist": float("inf")}, {"action": True}])
def test_noise_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match="finite and not negative"):
        Noise(**given)


def test_turns_are_those_of_the_robot():
    robot = FakeRobot()
    robot.turns = 2.0
    rows, ending, _, _ = run(ON, ON, DONE, robot=robot)
    assert stacked(rows, "turns").tolist() == [0.0, 0.0] and ending.outcome.turns == 0.0


# -- a robot that is stopped -------------------------------------------------------------------------------------------


@contextmanager
def live(operator, watcher):
    """An episode of a robot that lives on while nobody commands it."""
    robot = FakeRobot()
    with closing(DexScrewRealEnv("nut", robot=robot, action="full")) as env:
        wrist = Wrist(np.array(env.limits.workspace), np.array(GRIP_POINT))
        skill = FingerSkill(Half(), env, np.random.default_rng(0))
        yield robot, Episode(env, operator, skill, wrist, watcher=watcher)


def test_a_stop_while_the_robot_waits_is_told_and_what_the_operator_wants_next_is_a_reset():
    class Waits(Script):
        def orders(self, scene):
            robot.lag["hand"] = 0.2 if len(self.scenes) == 1 else 0.0
            return super().orders(scene)

    operator, seen = Waits(*[Orders()] * 4, ON), Seen()
    with live(operator, seen) as (robot, episode):
        episode.reset(3, Noise())
        assert episode.wait_for_operator().mark == "next"
        assert seen.steps[0].message == "ready"
        assert "hand reading is 200 ms old" in seen.steps[-1].message and operator.scenes[-1].trip
        episode.reset(4, Noise())
        assert episode.wait_for_operator() is ON and robot.recoveries == 2


def test_an_episode_that_the_safety_layer_ended_is_marked():
    class Presses(Script):
        def orders(self, scene):
            if len(self.scenes) == 2:
                robot.overrides["arm"] = {"mode": ArmMode.PROTECTIVE_STOP}
            return super().orders(scene)

    operator, rows = Presses(ON, ON, ON, Orders(), Orders(), DONE), []
    with live(operator, Seen()) as (robot, episode):
        episode.reset(3, Noise())
        ending = episode.run(rows.append)
    assert ending.outcome.mark == "success" and "protective stop" in ending.outcome.reason
    assert len(rows) == 3 and rows[-1]["safety"] == 2


# -- on the twin -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short():
    """Six seconds of the scripted operator on a twin."""
    setup = Setup(task="nut", policy="nut-student", shape="cross", seconds=6.0)
    from real.teleop.collect import demonstrate

    return setup, demonstrate(setup, 1000, noisy=False)


@pytest.mark.slow
def test_on_the_twin_the_scripted_operator_turns_the_nut(short):
    _, found = short
    assert len(found.rows) == 120 and found.outcome.turns > 0.3
    assert found.outcome.mark == "failure" and found.outcome.reason == "time is over"
    assert found.rows[-1][SCENE_POSITION].shape == found.rows[0][SCENE_POSITION].shape


def test_a_person_on_a_twin_begins_with_what_the_taxels_say_at_rest():
    setup = Setup(task="nut", policy="nut-student", shape="cross")
    with closing(setup.make_env()) as env:
        episode = setup.make_episode(env, Script(Orders(skill=True)))
        episode.reset(1000, Noise())
        assert not episode.tactile_bias.any()
        episode.wait_for_operator()
        assert episode.tactile_bias.dtype == np.int16 and episode.tactile_bias.any()


@pytest.mark.slow
def test_an_episode_is_fixed_by_its_seed(short):
    from real.teleop.collect import demonstrate

    setup, found = short
    again = demonstrate(setup, 1000, noisy=False)
    for first, second in zip(found.rows, again.rows, strict=True):
        for key, value in first.items():
            np.testing.assert_array_equal(value, second[key], err_msg=key)
    other = demonstrate(replace(setup, seconds=1.0), 1001, noisy=False)
    assert not np.array_equal(other.rows[5]["hand_q"], found.rows[5]["hand_q"])


def test_the_scripted_operator_sees_late():
    operator = ScriptedOperator(4)
    assert operator.person.delay > 0.15
    assert ScriptedOperator(4).person.interval == operator.person.interval
    assert ScriptedOperator(5).person.interval != operator.person.interval
