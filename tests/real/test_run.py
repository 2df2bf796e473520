from __future__ import annotations

import json
import sys

import pytest
from robot_fakes import FakeRobot

from baselines import policies
from dexscrew_envs.files import WriteError
from real import run
from real.env import DexScrewRealEnv


def test_a_student_runs_on_the_twin_and_leaves_a_result(tmp_path, capsys):
    path = tmp_path / "result.json"
    status = run.main(
        ["--policy", "nut-student", "--shape", "square", "--seconds", "1", "--no-view", "--json", str(path)]
    )
    assert status == 0
    found = json.loads(path.read_text())
    assert found["ended_by"] == "time is over" and found["task"] == "nut"
    assert found["robot_time_s"] == pytest.approx(1.0)
    assert found["turns_needed"] == 8
    assert "turns" in capsys.readouterr().out


def test_the_live_view_is_drawn_while_it_runs(monkeypatch):
    drawn, draw = [], run.LiveView.draw
    monkeypatch.setattr(run.LiveView, "draw", lambda *args: drawn.append(args[-1]) or draw(*args))
    assert run.main(["--policy", "nut-student", "--seconds", "0.5", "--view"]) == 0
    assert drawn == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.fixture
def on_hardware():
    """A policy, and an environment on a robot where nobody counts turns."""
    env = DexScrewRealEnv("nut", robot=FakeRobot(), episode_steps=7)
    yield policies.load("nut-student"), env
    env.close()


def test_what_nothing_measures_is_none(on_hardware):
    policy, env = on_hardware
    found, _ = run.run(policy, env, seed=0, view=False, title="")
    assert found["turns"] is None and found["turns_needed"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_numbers_have_no_more_digits_than_they_mean(on_hardware):
    policy, env = on_hardware
    found, _ = run.run(policy, env, seed=0, view=False, title="")
    assert found["robot_time_s"] == 0.35  # 7 * 0.05 is 0.35000000000000003
    numbers = [value for value in found.values() if isinstance(value, float)]
    for value in [*numbers, *found["jitter_ms"].values()]:
        assert len(repr(value).partition(".")[2]) <= 4


@pytest.mark.parametrize("turns", [None, 3.4567])
def test_the_table_fits_a_terminal_and_nothing_is_cut_off(turns):
    ended = "the controller reports: connection lost " + "and so on " * 20
    text = run.table({
        "ended_by": ended, "turns": turns, "turns_needed": None if turns is None else 8, "robot_time_s": 18.15,
        "wall_time_s": 1e5 + 1 / 3, "jitter_ms": {"median": 0.0123, "p99": 12345.678, "max": 99999.9},
    })  # fmt: skip
    assert max(map(len, text.splitlines())) <= 80
    rows = {name: line[35:] for line in text.splitlines() if (name := line[:35].strip()) and not name.startswith("-")}
    assert rows["turns"] == ("not measured" if turns is None else "3.46")
    assert rows["turns needed"] == ("not measured" if turns is None else "8")
    assert (rows["robot time (s)"], rows["wall time (s)"]) == ("18.15", "100000.33")
    assert rows["jitter median, 99 %, largest (ms)"] == "0.0, 12345.7, 99999.9"
    assert "".join(line[35:] for line in text.splitlines()[1:7]).replace(" ", "").startswith(ended.replace(" ", ""))


def test_ctrl_c_before_the_episode_is_no_traceback(monkeypatch, capsys):
    def interrupted(self, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run.DexScrewRealEnv, "reset", interrupted)
    assert run.main(["--policy", "nut-student", "--no-view"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_ctrl_c_ends_the_episode_and_still_gives_its_result(capsys, monkeypatch):
    step = run.DexScrewRealEnv.step

    def interrupted(self, action):
        if self._steps == 3:
            raise KeyboardInterrupt
        return step(self, action)

    monkeypatch.setattr(run.DexScrewRealEnv, "step", interrupted)
    assert run.main(["--policy", "nut-student", "--seconds", "5", "--no-view"]) == 130
    assert "interrupted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "nut-oracle"], "needs privileged, which only a simulation knows"),
        (["--policy", "nut-student", "--task", "screwdriver"], "trained for the task 'nut', not 'screwdriver'"),
        (["--policy", "nut-student", "--arm", "127.0.0.9"], "both its parts, --arm and --hand; got only --arm"),
        (["--policy", "nut-student", "--stratum", "brutal"], "brutal"),
        (["--policy", "nut-student", "--server-key", "server.key"], "--arm and --hand; got only --server-key"),
        (["--policy", "nut-student", "--seed", "-1"], "seed must be a non-negative integer"),
        (["--policy", "nut-student", "--shape", "octagon"], "octagon"),
        (["--policy", "nut-student", "--seconds", "-1"], "--seconds must be positive"),
        (["--policy", "nut-student", "--seconds", "nan"], "--seconds must be positive"),
        (["--policy", "nut-student", "--seconds", "1e300"], "--seconds must be positive and at most 86400 (a day)"),
        (["--policy", "nut-studnet"], "did you mean 'nut-student'"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(arguments, words, capsys):
    assert run.main([*arguments, "--no-view"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_without_the_drivers_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "zmq", None)
    for name in [
        name for name in sys.modules if name in ("real.hardware.robot", "real.hardware.xhand", "real.hand_protocol")
    ]:
        monkeypatch.delitem(sys.modules, name)
    arguments = ["--policy", "nut-student", "--arm", "127.0.0.2", "--hand", "tcp://127.0.0.2:5557"]
    assert run.main(arguments) == 2
    assert "pip install 'dexscrew[real]'" in capsys.readouterr().err


def test_a_place_for_the_result_that_cannot_be_written_is_refused_before_anything_moves(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "make_env", lambda *_: pytest.fail("the robot was connected"))
    (tmp_path / "file").write_text("")
    for place, words in ((tmp_path, "is a folder"), (tmp_path / "file" / "r.json", "is a file, not a folder")):
        assert run.main(["--policy", "nut-student", "--no-view", "--json", str(place)]) == 2
        assert words in capsys.readouterr().err


def test_a_result_that_cannot_be_written_is_printed_and_does_not_hide_how_the_run_ended(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise WriteError("the disk is full")

    monkeypatch.setattr(run, "write_json", full)
    arguments = ["--policy", "nut-student", "--seconds", "0.2", "--no-view", "--json", str(tmp_path / "r.json")]
    assert run.main(arguments) == 4
    captured = capsys.readouterr()
    assert "time is over" in captured.out and "the disk is full" in captured.err
    monkeypatch.setattr(run, "run", lambda *_, **__: ({"ended_by": "a trip"}, 3))
    monkeypatch.setattr(run, "table", lambda result: result["ended_by"])
    assert run.main(arguments) == 3
    captured = capsys.readouterr()
    assert "a trip" in captured.out and "the disk is full" in captured.err
