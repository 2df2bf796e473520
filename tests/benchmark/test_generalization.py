from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from baselines.evaluate import Score
from benchmark import generalization
from dexscrew_envs.tasks import NUT, TASKS, make_task


@pytest.fixture
def short_nut(monkeypatch):
    monkeypatch.setitem(TASKS, "nut", replace(NUT, episode_steps=8))


@pytest.mark.slow
def test_every_shape_is_scored_in_every_condition(tmp_path, short_nut, capsys):
    args = ["--policy", "nut-oracle", "--episodes", "2", "--threads", "1", "--out", str(tmp_path)]
    assert generalization.main(args) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert set(found["shapes"]) == set(NUT.shapes)
    assert {shape for shape, entry in found["shapes"].items() if entry["seen"]} == set(NUT.sampled_shapes)
    for entry in found["shapes"].values():
        assert {name: len(turns) for name, turns in entry["turns"].items()} == dict.fromkeys(
            generalization.CONDITIONS, 2
        )
    table = (tmp_path / "table.md").read_text()
    assert all(shape in table for shape in NUT.shapes) and table.strip() in capsys.readouterr().out
    assert (tmp_path / "turns.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "nut-orcale"], "did you mean 'nut-oracle'"),
        (["--policy", "nut-oracle", "--episodes", "0"], "at least 1"),
        (["--policy", "nut-oracle", "--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--policy", "nut-oracle", "--threads", "-1"], "--threads must be at least 0, got -1"),
    ],
)
def test_bad_arguments_are_refused(arguments, words, tmp_path, capsys):
    assert generalization.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_policy_of_one_shape_is_scored_on_all(monkeypatch):
    scored = []

    class Env:
        def __init__(self, task, num_envs, *, observe, num_threads, **fields):
            scored.append(make_task(task, **fields).sampled_shapes)

        def close(self):
            pass

    class Policy:
        task, observe, task_fields = "nut", ("proprio",), {"shape": ("square",)}

        def check_task(self, task):
            pass

    monkeypatch.setattr(generalization, "DexScrewVectorEnv", Env)
    score = Score(np.ones(2), np.ones(2), np.ones(2), {})
    monkeypatch.setattr(generalization, "evaluate", lambda policy, env, seed: score)
    found = generalization.score_all(Policy(), generalization.Args(policy="", episodes=2))
    assert scored == [(shape,) for shape in NUT.shapes for _ in generalization.CONDITIONS]
    assert [shape for shape, entry in found.items() if entry["seen"]] == ["square"]


def test_the_results_hold_no_path_of_the_machine(tmp_path):
    found = {"triangle": {"seen": True, "turns": {name: [1.0, 2.0] for name in generalization.CONDITIONS}}}
    args = generalization.Args(policy="/data/jane.doe/runs/policy.pt", episodes=2)
    generalization.write_report(found, args, tmp_path)
    text = (tmp_path / "results.json").read_text()
    assert "jane.doe" not in text and json.loads(text)["policy"] == "policy.pt"
    assert b"jane.doe" not in (tmp_path / "turns.png").read_bytes()


@pytest.mark.slow
def test_results_of_something_else_are_not_written_over(tmp_path, short_nut, capsys):
    args = ["--policy", "nut-oracle", "--episodes", "1", "--threads", "1", "--out", str(tmp_path)]
    (tmp_path / "notes.md").write_text("mine")
    assert generalization.main(args) == 2
    assert "is not empty and holds no such results" in capsys.readouterr().err
    (tmp_path / "notes.md").unlink()
    (tmp_path / "results.json").write_text('{"my": "data"}')
    assert generalization.main(args) == 2 and (tmp_path / "results.json").read_text() == '{"my": "data"}'
    (tmp_path / "results.json").unlink()
    assert generalization.main(args) == 0 == generalization.main(args)
    assert generalization.main(["--policy", "nut-student", *args[2:]]) == 2
    assert "holds results of nut-oracle" in capsys.readouterr().err
