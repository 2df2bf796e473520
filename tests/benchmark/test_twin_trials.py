from __future__ import annotations

import json
import shutil
from concurrent.futures import Future

import numpy as np
import pytest

from baselines import policies
from benchmark import twin_trials
from benchmark.twin_trials import Args, draw, main, run_trial, summarize
from dexscrew_envs import workers
from real.twin.plant import Plant

SHORT = {"nut": 1.0, "screwdriver": 0.5}


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(twin_trials, "TRIAL_SECONDS", SHORT)


def in_this_process(monkeypatch):
    """Let trials run here, where they are short."""

    class Pool:
        def __init__(self, *_):
            self._processes = {}

        def submit(self, function, *arguments):
            future = Future()
            future.set_result(function(*arguments))
            return future

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(workers, "ProcessPoolExecutor", Pool)


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "shape", "wrist"), [("nut-student", "cross", "scripted"),
                                                        ("screwdriver-student", "octagon", "still")])  # fmt: skip
def test_a_trial_says_what_happened_and_is_repeatable(short, policy, shape, wrist):
    args = Args(policy=policy, wrist=wrist)
    first, again, other = (run_trial(args, shape, "nominal", seed) for seed in (3, 3, 4))
    assert first == again and first["parameters"] != other["parameters"]
    task = policy.split("-")[0]
    assert first["seconds"] == SHORT[task] and first["ended by"] == "time is over"
    assert first["turns"][0] == 0.0 and first["progress"] == pytest.approx(
        max(first["turns"][-1] / first["needed"], 0.0), abs=1e-4
    )
    assert not first["complete"]


@pytest.mark.slow
def test_trials_run_in_processes_of_their_own(tmp_path, capsys):
    out = tmp_path / "out"
    # In the extreme stratum the driver is lost within seconds.
    command = ["--policy", "screwdriver-student", "--strata", "extreme", "--seeds", "1", "--out", str(out)]
    assert main(command) == 0
    found = json.loads((out / "results.json").read_text())
    assert [trial["seed"] for trial in found["trials"]] == [0] and found["wrist"] == "still"
    assert (out / "table.md").read_text().strip() in capsys.readouterr().out
    assert (out / "progress.png").stat().st_size > 5000


@pytest.mark.slow
def test_what_is_done_is_not_done_again(short, tmp_path, monkeypatch):
    in_this_process(monkeypatch)
    out = tmp_path / "out"
    command = ["--policy", "nut-student", "--strata", "easy", "hard", "--out", str(out)]
    assert main([*command, "--seeds", "1"]) == 0
    first = out / "trials" / "easy-triangle-0.json"
    first.write_text(json.dumps(json.loads(first.read_text()) | {"progress": 0.5}))
    assert main([*command, "--seeds", "2"]) == 0
    trials = json.loads((out / "results.json").read_text())["trials"]
    assert [(trial["stratum"], trial["seed"]) for trial in trials] == [
        ("easy", 0),
        ("easy", 1),
        ("hard", 0),
        ("hard", 1),
    ]
    assert trials[0]["progress"] == 0.5


def test_a_folder_with_trials_of_something_else_is_refused(short, tmp_path, monkeypatch, capsys):
    in_this_process(monkeypatch)
    command = ["--policy", "nut-student", "--strata", "easy", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert main([*command, "--wrist", "scripted"]) == 2
    assert "holds trials of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "nut-studnet"], "did you mean 'nut-student'"),
        (["--policy", "nut-student", "--seeds", "0"], "at least 1"),
        (["--policy", "nut-student", "--strata", "harder"], "unknown stratum 'harder'"),
        (["--policy", "nut-student", "--shapes", "octagon"], "choose from triangle, square, hexagon, cross"),
        (["--policy", "nut-oracle"], "run a student, such as nut-student"),
        (["--policy", "nut-student", "--processes", "-1"], "at least 0"),
    ],
)
def test_bad_arguments_are_refused_before_any_trial(arguments, words, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_policy_of_the_same_name_is_refused(short, tmp_path, monkeypatch, capsys):
    in_this_process(monkeypatch)
    out = ["--strata", "easy", "--seeds", "1", "--out", str(tmp_path / "out")]
    for task, status in (("nut", 0), ("screwdriver", 2)):
        (tmp_path / task).mkdir()
        shutil.copy(policies._SHIPPED / f"{task}-student.pt", tmp_path / task / "policy.pt")
        assert main(["--policy", str(tmp_path / task / "policy.pt"), *out]) == status
    assert "holds trials of" in capsys.readouterr().err


def test_a_trial_that_diverges_is_one_of_the_results(short, monkeypatch):
    def diverge(plant):
        if plant.time > 0.5:
            plant.data.xfrc_applied[plant.model.body("nut").id, 0] = np.nan
        step(plant)

    step = Plant._step
    monkeypatch.setattr(Plant, "_step", diverge)
    trial = run_trial(Args(policy="nut-student"), "triangle", "easy", 0)
    assert "the twin's physics diverged at 0.5" in trial["ended by"] and not trial["complete"]


def test_strata_and_shapes_given_twice_count_once(short, tmp_path, monkeypatch):
    in_this_process(monkeypatch)
    out = tmp_path / "out"
    command = ["--policy", "nut-student", "--strata", "easy", "easy", "--shapes", "cross", "cross", "--seeds", "1"]
    assert main([*command, "--out", str(out)]) == 0
    assert len(json.loads((out / "results.json").read_text())["trials"]) == 1


def test_a_row_counts_what_ended_trials():
    base = {"stratum": "easy", "shape": "cross"}
    trials = [
        base | {"progress": 1.0, "complete": True, "seconds": 60.0, "ended by": "complete"},
        base | {"progress": 0.5, "complete": False, "seconds": 240.0, "ended by": "time is over"},
        base | {"progress": 0.9, "complete": True, "seconds": 80.0, "ended by": "complete"},
    ]
    trips = [f"the force on the index fingertip is {force} N, limit 15 N" for force in (15.2, 16.3)]
    tripped = [base | {"progress": 0.1, "complete": False, "seconds": 2.0, "ended by": trip} for trip in trips]
    assert summarize(tripped)[0]["ended by"] == "the force on the index fingertip over its limit 2"
    (row,) = summarize(trials)
    assert row["complete"] == 2 and row["progress (%)"] == "80.0 ± 26.5"
    low, high = map(int, row["95 % interval"].split(" to "))
    assert low < 40 and high > 95  # three trials decide nothing
    assert row["time of complete ones, median (s)"] == "70"
    assert row["ended by"] == "complete 2, time is over 1"


def test_a_nut_that_ends_behind_its_start_made_no_progress(short, monkeypatch):
    monkeypatch.setattr(Plant, "turns", property(lambda plant: -plant.time))
    trial = run_trial(Args(policy="nut-student"), "triangle", "easy", 0)
    assert trial["turns"][-1] < 0 and trial["progress"] == 0.0


def test_every_stratum_is_drawn(tmp_path):
    trial = {"shape": "cross", "turns": [0.0, 1.0, 2.0], "needed": 8.0, "seconds": 1.6, "complete": False}
    trials = [trial | {"stratum": stratum} for stratum in ("easy", "hard")]
    draw({"policy": "nut-student", "wrist": "still", "trials": trials}, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 5000


def test_a_folder_of_something_else_is_left_alone(short, tmp_path, monkeypatch, capsys):
    in_this_process(monkeypatch)
    (tmp_path / "results.json").write_text("mine")
    command = ["--policy", "nut-student", "--strata", "easy", "--seeds", "1", "--out", str(tmp_path)]
    assert main(command) == 2
    assert "is not empty and holds no such trials" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{}", '{"progress": null}', '{"progress": 0.5}'])
def test_a_damaged_trial_is_named(short, tmp_path, monkeypatch, capsys, text):
    in_this_process(monkeypatch)
    out = tmp_path / "out"
    command = ["--policy", "nut-student", "--strata", "easy", "--seeds", "1", "--out", str(out)]
    assert main(command) == 0
    trial = out / "trials" / "easy-triangle-0.json"
    trial.write_text(text)
    assert main(command) == 2
    assert f"{trial} is not the record of a trial" in capsys.readouterr().err
