from __future__ import annotations

import json

import numpy as np
import pytest
from robot_fakes import FakeRobot

from baselines.data.reader import Demonstrations
from benchmark.real_eval.entrants import parse_entrants
from benchmark.real_eval.on_robot import RobotTrials, plan
from benchmark.real_eval.results_folder import ResultsFolder
from benchmark.real_eval.rules import Rules, robot_order
from dexscrew_envs.program import CutShort
from real.env import DexScrewRealEnv

RULES = Rules(task="nut", robot="config", stratum="", limit=0.5, stagnation=0.0, perturbation="", edition=0, safety="")


class Person:
    """Gives prepared answers, and ends the trial after so many steps."""

    def __init__(self, *answers: str, steps: int = 10**6) -> None:
        self.answers, self.questions = list(answers), []
        self.steps, self.seen = steps, 0
        self.before_answer = lambda question: None

    def ask(self, question: str) -> str:
        self.before_answer(question)
        self.questions.append(question)
        self.seen = 0
        if not self.answers:
            raise CutShort("nobody answers")
        return self.answers.pop(0)

    def pressed(self) -> bool:
        self.seen += 1
        return self.seen > self.steps + 1


@pytest.fixture
def robot():
    return FakeRobot()


@pytest.fixture
def env(robot):
    env = DexScrewRealEnv("nut", robot=robot, action="full")
    env.episode_steps = 10
    yield env
    env.close()


def trials(tmp_path, env, person, count=1, *, logged=False, given=("direct",)):
    entrants = parse_entrants(given, "nut")
    folder = ResultsFolder(tmp_path / "out", RULES, entrants)
    jobs = robot_order(entrants, ("square",), count)
    with RobotTrials(folder, RULES, env, person, 8.0, logged=logged) as running:
        running.run(jobs)
    return [folder.read(job) for job in jobs]


def test_nothing_moves_before_the_person_says_so(tmp_path, env, robot):
    person = Person("", "yes", "quit")
    with pytest.raises(CutShort, match="0 of 1 trials are done"):
        trials(tmp_path, env, person)
    assert not robot.commands
    assert "emergency stop" in person.questions[0] and "none of go" in person.questions[1]


def test_a_trial_is_answered_and_kept(tmp_path, env, robot):
    (record,) = trials(tmp_path, env, Person("go", "six", "9", "5,5", "7", "3", "yes"))
    assert robot.commands
    assert record["progress"] == 5.5 / 8 and record["kind"] == "slip" and not record["complete"]
    assert record["seconds"] == 0.5 and record["ended_by"] == "time" and record["needed"] == 8.0


def test_all_turns_are_complete_and_no_kind_is_asked(tmp_path, env):
    (record,) = trials(tmp_path, env, Person("go", "8", "yes"))
    assert record["complete"] and record["kind"] == "complete" and record["progress"] == 1.0


def test_a_trip_is_a_safety_trip_whatever_the_person_says(tmp_path, env, robot):
    person = Person("go", "2", "yes")

    def trip(seconds, wait=robot.wait):
        if len(robot.commands) > 20:
            robot.overrides["arm"] = {"tcp_force": np.array([80.0, 0, 0, 0, 0, 0])}
        return wait(seconds)

    env.episode_steps = 100
    robot.wait = trip
    (record,) = trials(tmp_path, env, person)
    assert record["kind"] == "safety trip" and "force at the wrist" in record["reason"]


def test_enter_ends_a_trial_and_the_robot_holds(tmp_path, env, robot):
    stops = robot.stops
    (record,) = trials(tmp_path, env, Person("go", "1", "time", "yes", steps=4))
    assert record["ended_by"] == "operator" and record["seconds"] == pytest.approx(0.25)
    assert robot.stops > stops


def test_no_answers_anew_and_repeat_does_the_trial_again(tmp_path, env, robot):
    (record,) = trials(tmp_path, env, Person("go", "3", "time", "no", "4", "time", "yes"))
    assert record["progress"] == 0.5
    done = len(robot.commands)
    (record,) = trials(
        tmp_path / "b", env, Person("go", "3", "time", "repeat", "go", "8", "yes")
    )  # fmt: skip
    assert record["complete"] and len(robot.commands) > 1.5 * done


def test_the_last_trial_can_be_undone(tmp_path, env, robot):
    person = Person("undo", "go", "3", "time", "yes", "undo", "4", "slip", "yes", "go", "8", "yes")
    first, second = trials(tmp_path, env, person, 2)
    assert first["progress"] == 0.5 and first["kind"] == "slip" and second["complete"]


def test_the_last_trial_can_be_repeated(tmp_path, env):
    person = Person("go", "3", "time", "yes", "repeat", "go", "8", "yes", "go", "7", "time", "yes")
    first, second = trials(tmp_path, env, person, 2)
    assert first["complete"] and second["progress"] == 7 / 8


def test_a_trial_that_nobody_answered_for_is_asked_about_and_not_done_again(tmp_path, env, robot):
    with pytest.raises(CutShort):
        trials(tmp_path, env, Person("go"))
    done = len(robot.commands)
    (record,) = trials(tmp_path, env, Person("2", "slip", "yes"))
    assert record["progress"] == 0.25 and len(robot.commands) == done


def test_what_is_done_is_not_done_again(tmp_path, env, robot):
    trials(tmp_path, env, Person("go", "8", "yes"))
    person = Person("go", "7", "time", "yes")
    trials(tmp_path, env, person, 2)
    assert "trial 2 of 2" in person.questions[0]


@pytest.mark.slow
def test_trials_are_recorded(tmp_path, env, robot):
    robot.overrides["hand"] = {"tactile": np.full((5, 120, 3), 3, np.int16)}
    trials(tmp_path, env, Person("go", "3", "time", "yes", "go", "8", "yes"), 2, logged=True)
    episodes = Demonstrations(tmp_path / "out" / "logs" / "direct")
    assert [len(episode) for episode in episodes] == [10, 10]
    assert (episodes[0].header.tactile_bias == 3).all()
    assert episodes[0].header.robot == "config" and episodes[0].outcome.needed == 8.0
    sent, held = episodes[0]["sent_hand"], episodes[0]["held_hand"]
    np.testing.assert_allclose(sent[:-1], held[1:], atol=1e-6)


@pytest.mark.slow
def test_a_crash_keeps_what_was_recorded(tmp_path, env, robot):
    def crash(seconds, wait=robot.wait):
        if len(robot.commands) > 18:
            raise KeyboardInterrupt
        return wait(seconds)

    env.episode_steps = 1000
    robot.wait = crash
    with pytest.raises(KeyboardInterrupt):
        trials(tmp_path, env, Person("go"), logged=True)
    robot.wait = type(robot).wait.__get__(robot)
    env.episode_steps = 10
    trials(tmp_path, env, Person("go", "8", "yes"), logged=True)
    first, second = Demonstrations(tmp_path / "out" / "logs" / "direct")
    assert len(first) > 0 and first.outcome.reason == "recovered" and len(second) == 10


def test_the_plan_names_every_trial():
    jobs = robot_order(parse_entrants(["direct", "full=nut-student"], "nut"), ("square", "cross"), 2)
    text = plan(jobs, "nut", 8.0)
    assert text.count("| square") == 4 and "Nothing moves until you enter 'go'" in text


def test_records_are_strict_json(tmp_path, env):
    trials(tmp_path, env, Person("go", "3", "time", "yes"))
    (path,) = (tmp_path / "out" / "trials").iterdir()
    assert json.loads(path.read_text())["turns_told"] == 3.0
