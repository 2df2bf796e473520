from __future__ import annotations

import json
import sys

import pytest

from real import run, view


def test_a_student_runs_on_the_twin_and_leaves_a_result(tmp_path, capsys):
    path = tmp_path / "result.json"
    status = run.main(
        ["--policy", "nut-student", "--shape", "square", "--seconds", "1", "--no-view", "--json", str(path)]
    )
    assert status == 0
    found = json.loads(path.read_text())
    assert found["ended by"] == "time is over" and found["task"] == "nut"
    assert found["robot time (s)"] == pytest.approx(1.0)
    assert found["turns needed"] == 8
    assert "turns" in capsys.readouterr().out


def test_the_live_view_is_drawn_while_it_runs(monkeypatch):
    drawn, screen = [], view.screen
    monkeypatch.setattr(view, "screen", lambda *args: drawn.append(args[-1]) or screen(*args))
    assert run.main(["--policy", "nut-student", "--seconds", "0.5", "--view"]) == 0
    assert drawn == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


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
        (["--policy", "nut-student", "--arm", "127.0.0.9"], "give both --arm and --hand"),
        (["--policy", "nut-student", "--stratum", "brutal"], "brutal"),
        (["--policy", "nut-student", "--shape", "octagon"], "octagon"),
        (["--policy", "nut-student", "--seconds", "-1"], "--seconds must be positive"),
        (["--policy", "nut-student", "--seconds", "nan"], "--seconds must be positive"),
        (["--policy", "nut-studnet"], "did you mean 'nut-student'"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(arguments, words, capsys):
    assert run.main([*arguments, "--no-view"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_without_the_drivers_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "zmq", None)
    for name in [name for name in sys.modules if name in ("real.hardware", "real.xhand", "real.wire")]:
        monkeypatch.delitem(sys.modules, name)
    arguments = ["--policy", "nut-student", "--arm", "127.0.0.2", "--hand", "tcp://127.0.0.2:5557"]
    assert run.main(arguments) == 2
    assert "pip install 'dexscrew[real]'" in capsys.readouterr().err
