from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmark import generalization
from dexscrew_envs.tasks import NUT, TASKS


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
    ],
)
def test_bad_arguments_are_refused(arguments, words, tmp_path, capsys):
    assert generalization.main([*arguments, "--out", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err


def test_the_results_hold_no_path_of_the_machine(tmp_path):
    found = {"triangle": {"seen": True, "turns": {name: [1.0, 2.0] for name in generalization.CONDITIONS}}}
    args = generalization.Args(policy="/data/jane.doe/runs/policy.pt", episodes=2)
    generalization.write_report(found, args, tmp_path)
    text = (tmp_path / "results.json").read_text()
    assert "jane.doe" not in text and json.loads(text)["policy"] == "policy.pt"
    assert b"jane.doe" not in (tmp_path / "turns.png").read_bytes()
