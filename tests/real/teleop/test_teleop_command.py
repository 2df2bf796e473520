"""`python -m real.teleop`: what it records, how it goes on, and what it refuses."""

from __future__ import annotations

import json
import shutil
import socket
import zipfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from robot_fakes import FakeRobot

from baselines import policies
from baselines.data.checking import check
from baselines.data.reader import Demonstrations
from baselines.data.writer import Recorder
from dexscrew_envs.files import claimed
from dexscrew_envs.program import Status
from real.env import DexScrewRealEnv
from real.teleop.__main__ import main
from real.teleop.finger_skill import Noise, draw_noise
from real.teleop.operator import Orders
from real.teleop.recorded import SAMPLES, RecordedEpisodes
from real.teleop.resuming import lacking, recorded
from real.teleop.setup import Setup
from real.teleop.web.state import check_state, encode

pytestmark = pytest.mark.slow

SHIPPED = Path(policies.__file__).parent / "checkpoints"
SHORT = ["--operator", "scripted", "--seconds", "1.5", "--processes", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("teleop") / "demos"
    status = main(["--task", "nut", "--shape", "cross", "square", *SHORT, "--episodes", "2", "--out", str(out)])
    assert status == Status.DONE
    return out


def test_every_shape_has_its_episodes_whole_and_with_all_that_is_known(folder):
    episodes = list(Demonstrations(folder))
    assert sorted((e.header.shape, e.header.seed) for e in episodes) == [
        ("cross", 1000), ("cross", 1001), ("square", 1000), ("square", 1001)
    ]  # fmt: skip
    first = episodes[0]
    assert (first.header.operator, first.header.policy, first.header.stratum) == ("scripted", "nut-student", "nominal")
    assert len(first.header.policy_sha256) == 64 and first.header.extras["noise"].keys() == {"action", "wrist"}
    assert len(first) == 30 and first.outcome.reason == "time is over" and first.outcome.needed == 8.0
    np.testing.assert_array_equal(first["held_hand"][1:], first["sent_hand"][:-1])
    assert first.header.tactile_bias.shape == first["tactile"].shape[1:]
    assert all(finding.sound for finding in check(folder))


def test_the_same_command_runs_nothing_again_and_a_larger_one_the_rest(folder, tmp_path, capsys):
    copy = tmp_path / "demos"
    shutil.copytree(folder, copy)
    before = {path.name: path.stat().st_mtime_ns for path in copy.glob("*.h5")}
    arguments = ["--task", "nut", "--shape", "cross", *SHORT, "--out", str(copy)]
    assert main([*arguments, "--episodes", "2"]) == Status.DONE
    assert {path.name: path.stat().st_mtime_ns for path in copy.glob("*.h5")} == before
    assert main([*arguments, "--episodes", "3"]) == Status.DONE
    assert len(list(copy.glob("*.h5"))) == len(before) + 1
    assert "| cross" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--stratum", "hard"], "stratum ('nominal', not 'hard')"),
        (["--seconds", "9"], "seconds (1.5, not 9)"),
        (["--seconds", "1"], "seconds (1.5, not 1)"),
        (["--policy", "{0}"], "policy ('nut-student' with SHA-256 "),
        (["--no-noise"], "noise ({'action': 0.3, 'wrist': 0.001}, not {'action': 0.0"),
    ],
)
def test_other_settings_are_told_before_anything_is_recorded(folder, tmp_path, capsys, arguments, told):
    policy = tmp_path / "other.pt"
    shutil.copy(SHIPPED / "nut-student.pt", policy)
    with zipfile.ZipFile(policy, "a") as archive:
        archive.comment = b"another file of the same skill"
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("episode*")}
    command = ["--shape", "cross", *SHORT, "--episodes", "3", "--out", str(folder)]
    assert main([*command, *(argument.format(policy) for argument in arguments)]) == Status.REFUSED
    error = capsys.readouterr().err
    assert "the cross with seed 1000" in error and told in error and error.count("\n") == 1
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("episode*")} == before


@pytest.mark.parametrize("who", [["--operator", "keyboard"], ["--operator", "scripted", "--seed", "1001"]])
def test_a_folder_has_episodes_of_one_press(who, folder, capsys):
    before = sorted(path.name for path in folder.glob("episode*"))
    given = ["--shape", "cross", "--press", "0.05", "--episodes", "1", "--out", str(folder), *who]
    assert main(given) == Status.REFUSED
    assert "has episodes with --press 0.0, and this session has 0.05" in " ".join(capsys.readouterr().err.split())
    assert sorted(path.name for path in folder.glob("episode*")) == before


def test_episodes_that_other_settings_would_not_change_are_those_asked_for(folder):
    """Seed 1001 draws no noise; and episodes of others are other ones."""
    with Recorder(folder, Demonstrations(folder)[0].header, Demonstrations(folder).fields) as recorder:
        setup = Setup(task="nut", policy="nut-student", seconds=1.5)
        jobs = [("cross", 1000), ("square", 1001), ("square", 1002)]
        assert recorded(recorder) == {*jobs[:2], ("cross", 1001), ("square", 1000)}
        assert lacking(recorder, setup, jobs, draw_noise) == jobs[2:]
        assert lacking(recorder, setup, jobs[1:2], lambda _: Noise()) == []
        assert lacking(recorder, replace(setup, above=0.05), jobs) == jobs
        recorder.header = replace(recorder.header, operator="web")
        assert lacking(recorder, setup, jobs) == jobs


@pytest.mark.parametrize("operator", ["scripted", "strokes"])
def test_a_hand_that_begins_above_comes_down_and_turns_the_nut(operator, tmp_path):
    arguments = ["--operator", operator, "--above", "0.04", "--no-noise", "--processes", "1", "--seconds"]
    assert main([*arguments, "9", "--out", str(tmp_path / "demos")]) == Status.DONE
    episode = next(iter(Demonstrations(tmp_path / "demos")))
    assert episode.header.extras["above"] == 0.04
    on = int(np.flatnonzero(episode["skill"])[0])
    heights = episode["tcp_pose"][:, 2]
    assert heights[0] - heights[on] == pytest.approx(0.04, abs=0.005)
    assert episode["turns"][on] == pytest.approx(0.0, abs=0.05) and episode.outcome.turns > 0.1
    # An episode that began elsewhere is another one.
    assert main([*arguments[:2], *arguments[4:], "1.5", "--out", str(tmp_path / "demos")]) == Status.DONE
    assert len(Demonstrations(tmp_path / "demos")) == 2


@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_the_tutor_works_as_any_program_does(task, tmp_path, capsys):
    given = ["--operator", "tutor", "--task", task, "--press", "0.05", "--no-noise", "--processes", "1"]
    assert main([*given, "--seconds", "4", "--out", str(tmp_path / "demos")]) == Status.DONE
    (episode,) = Demonstrations(tmp_path / "demos")
    assert episode.header.operator == "tutor" and episode.header.extras["press"] == 0.05
    assert episode["skill"].any() and episode.outcome.turns > 0.1
    assert "| failure" in capsys.readouterr().out.replace("  ", " ")


def test_recorded_episodes_are_replayed_on_the_page(folder, opengl):
    replay = RecordedEpisodes(folder)
    listed = replay.episodes()
    assert [episode.steps for episode in listed] == [30] * 4 and {e.outcome for e in listed} == {"failure"}
    assert len(replay.overview(0)["turns"]) == len(replay.overview(0)["skill"]) == 30
    for step in (0, 29):
        state = check_state(replay.state(1, step))
        assert json.loads(encode("step", {"state": state}))["state"]["task"] == "nut"
    first, last = replay.picture(2, 0), replay.picture(2, 29)
    assert first is not None and last is not None and first[:3] == b"\xff\xd8\xff" and first != last


def test_an_empty_folder_has_nothing_to_replay(tmp_path):
    assert RecordedEpisodes(tmp_path).episodes() == []


@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_samples_are_whole_small_and_replayed_where_there_is_nothing_else(task, tmp_path):
    folder = SAMPLES / task
    assert all(finding.sound for finding in check(folder))
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*.h5")) < 5e6
    replay = RecordedEpisodes(tmp_path, folder)
    assert [(episode.task, episode.outcome) for episode in replay.episodes()] == [(task, "success")] * 3
    state = check_state(replay.state(0, replay.episodes()[0].steps - 1))
    assert state["progress"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "bogus"], "unknown task 'bogus'; choose from nut, screwdriver"),
        (["--policy", "bogus-student"], "unknown policy 'bogus-student'"),
        (["--task", "nut", "--policy", "screwdriver-student"], "was trained for the task 'screwdriver', not 'nut'"),
        (["--task", "nut", "--policy", "nut-oracle"], "run a student"),
        (["--shape", "pentagon"], "unknown shape 'pentagon'"),
        (["--shape", "square", "pentagon"], "unknown shape 'pentagon'"),
        (["--stratum", "moderate"], "unknown stratum 'moderate'"),
        (["--episodes", "-1"], "must not be negative"),
        (["--robot", "config"], "a scripted operator sees the twin in this process only"),
        (["--operator", "strokes", "--task", "screwdriver"], "a screwdriver would fall; give --operator scripted"),
        (["--operator", "tutor", "--above", "0.02"], "the tutor begins where the hand holds the object"),
        (["--press", "0.3"], "press must be between 0 and 0.2 rad, got 0.3"),
        (["--press", "nan"], "press must be between 0 and 0.2 rad"),
        (["--arm", "192.0.2.1"], "only with --robot config"),
        (["--seconds", "0"], "--seconds"),
        (["--seconds", "nan"], "--seconds"),
        (["--above", "0.2"], "above must be 0 to 0.1 m"),
        (["--above", "nan"], "above must be 0 to 0.1 m"),
        (["--room-yaw", "nan"], "--room-yaw must be a finite angle"),
        (["--seed", str(2**63)], "--seed must be below 2^63"),
        (["--episodes", "1000000000"], "--episodes at most 1,000,000"),
    ],
)
def test_what_cannot_work_is_a_sentence_and_makes_no_folder(tmp_path, capsys, arguments, words):
    out = tmp_path / "demos"
    given = ["--operator", "scripted", "--out", str(out), *arguments]
    assert main(given) == Status.REFUSED
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_a_disk_without_room_is_told_before_an_episode_is_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("baselines.data.writer.ROOM_SECONDS", 1e9)
    monkeypatch.setattr("real.teleop.__main__.demonstrate", print)  # it would fail in another way if it were run
    given = ["--operator", "scripted", "--out", str(tmp_path / "demos"), "--processes", "1"]
    assert main(given) == Status.CUT_SHORT
    assert "free some space" in capsys.readouterr().err


def test_a_person_has_one_shape_and_a_robot_needs_both_addresses(tmp_path, capsys, monkeypatch):
    def no_page(*_):
        raise AssertionError("the page was opened")

    monkeypatch.setattr("real.teleop.__main__._make_operator", no_page)
    out = ["--out", str(tmp_path / "demos"), "--no-browser"]
    assert main(["--shape", "cross", "square", *out]) == Status.REFUSED
    assert "one shape at a time" in capsys.readouterr().err
    assert main(["--robot", "config", "--arm", "192.0.2.1", *out]) == Status.REFUSED
    assert "--arm and --hand" in capsys.readouterr().err
    addresses = ["--arm", "192.0.2.1", "--hand", "tcp://192.0.2.2:5557"]
    assert main(["--robot", "config", *addresses, "--above", "0.05", *out]) == Status.REFUSED
    assert "a robot begins where it stands" in capsys.readouterr().err
    assert main(["--robot", "config", *addresses, *out]) == Status.REFUSED
    assert "--robot config needs --shape" in capsys.readouterr().err
    assert main(["--shape", "pentagon", *out]) == Status.REFUSED
    assert "unknown shape 'pentagon'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("why", "words"), [("in use", "is in use by"), ("a file", "not a folder"), ("other", "no episodes")]
)
def test_a_folder_that_cannot_be_had_is_refused_before_the_page(tmp_path, capsys, monkeypatch, why, words):
    def no_page(*_):
        raise AssertionError("the page was opened")

    monkeypatch.setattr("real.teleop.__main__._make_operator", no_page)
    out = tmp_path / "demos"
    with ExitStack() as stack:
        if why == "in use":
            stack.enter_context(claimed(out))
        elif why == "a file":
            out.touch()
        else:
            out.mkdir()
            (out / "notes").touch()
        assert main(["--no-browser", "--out", str(out)]) == Status.REFUSED
    error = capsys.readouterr().err
    assert words in error and "page" not in error


def test_a_place_for_the_certificate_that_is_a_file_is_a_sentence(tmp_path, capsys, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".dexscrew").touch()
    assert main(["--host", "0.0.0.0", "--port", "0", "--out", str(tmp_path / "demos")]) == Status.REFUSED
    error = capsys.readouterr().err
    assert ".dexscrew is a file, not a folder" in error and "Errno" not in error


@pytest.mark.parametrize("seconds", ["0.01", "0.1"])
def test_the_shortest_episode_is_one_too(tmp_path, seconds):
    out = tmp_path / "demos"
    assert main(["--operator", "scripted", "--processes", "1", "--seconds", seconds, "--out", str(out)]) == Status.DONE
    [episode] = Demonstrations(out)
    assert len(episode) == max(1, round(20 * float(seconds)))
    assert episode.header.tactile_bias.shape == episode["tactile"].shape[1:]


class Brief:
    """Lets the skill run for some steps, then says that it was a success."""

    name = "keyboard"
    steps = 0

    def start(self): ...

    def orders(self, scene):
        self.steps += 1
        return Orders(mark="success") if self.steps > 5 else Orders(skill=True)

    def close(self): ...


def test_a_robots_episode_has_the_shape_that_was_given_and_no_seed(tmp_path, monkeypatch):
    monkeypatch.setattr("real.teleop.__main__._make_operator", lambda *_: Brief())
    monkeypatch.setattr(Setup, "make_env", lambda *_, **__: DexScrewRealEnv("nut", robot=FakeRobot(), action="full"))
    addresses = ["--arm", "192.0.2.1", "--hand", "tcp://127.0.0.1:5557"]
    arguments = ["--operator", "keyboard", "--robot", "config", *addresses, "--episodes", "1"]
    assert main([*arguments, "--shape", "cross", "--out", str(tmp_path / "demos")]) == Status.DONE
    [episode] = Demonstrations(tmp_path / "demos")
    assert episode.header.shape == "cross" and episode.header.seed is None and episode.outcome.mark == "success"


def test_data_of_another_task_are_refused(folder, capsys):
    assert main(["--task", "screwdriver", *SHORT, "--out", str(folder)]) == Status.REFUSED
    assert "give another folder" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["taken", "70000"])
def test_a_port_that_cannot_be_had_is_refused_before_the_robot_and_the_folder(tmp_path, capsys, monkeypatch, port):
    pytest.importorskip("aiohttp")

    def no_robot(*_, **__):
        raise AssertionError("the robot was connected")

    monkeypatch.setattr(Setup, "make_env", no_robot)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1]) if port == "taken" else port
        assert main(["--port", number, "--no-browser", "--out", str(tmp_path / "demos")]) != Status.DONE
    error = capsys.readouterr().err
    assert number in error and "Traceback" not in error
    assert not (tmp_path / "demos").exists()


DEVICE = """
from real.teleop.operator import Orders

class Lowers:
    name = "lowers"

    def start(self): ...

    def orders(self, scene):
        if scene.ended:
            return Orders(mark="next")
        return Orders(skill=not scene.over)

    def close(self): ...

class Silent:
    name = "silent"

needs = lambda argument: argument
"""


def test_an_operator_of_ones_own_records(tmp_path):
    (tmp_path / "device.py").write_text(DEVICE)
    command = ["--operator", f"{tmp_path / 'device.py'}:Lowers", "--episodes", "1", "--seconds", "1"]
    assert main([*command, "--out", str(tmp_path / "demos")]) == Status.DONE
    (episode,) = Demonstrations(tmp_path / "demos")
    assert episode.header.operator == "lowers" and len(episode) == 20 and episode["skill"].any()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Silent", "must have a name and the methods start, orders and close"),
        ("needs", "must be a class that takes no arguments, and fails: TypeError"),
        ("Gone", "there is no 'Gone' in"),
    ],
)
def test_what_is_no_operator_is_refused(tmp_path, capsys, name, words):
    (tmp_path / "device.py").write_text(DEVICE)
    assert main(["--operator", f"{tmp_path / 'device.py'}:{name}", "--out", str(tmp_path / "demos")]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "demos").exists()


def test_an_unknown_operator_is_refused_by_name(tmp_path, capsys):
    assert main(["--operator", "scripter", "--out", str(tmp_path / "demos")]) == 2
    assert "unknown operator 'scripter'; choose from web, keyboard, scripted, strokes, tutor" in capsys.readouterr().err
