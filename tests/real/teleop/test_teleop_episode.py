"""Episodes with a robot without physics, and with a twin: what is sent, what is recorded, and how they end."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from episode_fakes import DONE, JOINTS, ON, Half, Script, Seen, run, stacked
from robot_fakes import FakeRobot

from baselines.data.schema import row_dtype, write_row
from real.env import DexScrewRealEnv
from real.hand_poses import opened, squeezed
from real.robot import ArmMode
from real.teleop.episode import SCENE_POSITION, Episode
from real.teleop.finger_skill import LEVELS, POSE_SPEED, FingerSkill, Noise, draw_noise
from real.teleop.operator import Orders
from real.teleop.scripted import ScriptedOperator
from real.teleop.setup import GRIP_POINT, Setup, recorded_fields
from real.teleop.wrist import Wrist


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
        first = episode.tactile_bias
        episode.wait_for_operator()
        assert episode.tactile_bias.dtype == np.int16 and episode.tactile_bias.any()
        assert not np.array_equal(episode.tactile_bias, first)  # of several readings
        assert np.abs(episode.tactile_bias.astype(float) - first).mean() < 1.0


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
