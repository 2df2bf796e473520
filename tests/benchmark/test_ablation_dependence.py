from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark import ablation_dependence

METHODS = ("oracle", "student")


@pytest.fixture
def ablation(tmp_path):
    def make(level: str | None, turns: float, **arguments) -> Path:
        folder = tmp_path / f"{level}-{turns}"
        folder.mkdir()
        shared = {"task": "nut", "steps": 100, "num_envs": 2, "episodes": 4, **arguments}
        score = {"turns": turns, "low": turns - 1, "high": turns + 1, "length": 800.0}
        results = {
            "arguments": shared if level is None else {**shared, "randomization": level},
            "summary": {method: {"as trained": score, "noise x2": score} for method in METHODS},
            "runs": {method: {"scores": [{}, {}, {}]} for method in METHODS},
        }
        (folder / "results.json").write_text(json.dumps(results))
        return folder

    return make


def test_levels_stand_in_growing_order_in_table_json_and_picture(ablation, tmp_path, capsys):
    folders = [
        ablation("wider", 3.0),
        ablation("none", 9.0),
        ablation(None, 6.0),
    ]  # None: from before there were levels
    out = tmp_path / "out"
    assert ablation_dependence.main([*map(str, folders), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "none (3 seeds)" in text and "9.0 [8.0, 10.0]" in text
    assert (out / "dependence.md").read_text() == text
    found = json.loads((out / "dependence.json").read_text())
    turns = {level: entry["scores"]["oracle"]["turns"] for level, entry in found["levels"].items()}
    assert list(turns.items()) == [("none", 9.0), ("task", 6.0), ("wider", 3.0)] and found["task"] == "nut"
    assert (out / "dependence.png").read_bytes().startswith(b"\x89PNG")


def test_ablations_that_do_not_compare_are_refused(ablation, tmp_path, capsys):
    first = ablation("none", 1.0)
    for other, expected in (
        (ablation("none", 2.0), "two of the ablations have randomization 'none'"),
        (ablation("task", 1.0, steps=50), "other steps"),
        (ablation("wider", 1.0, task="screwdriver"), "other task"),
        (tmp_path / "nothing", "nothing is not the results.json of a finished ablation"),
    ):
        assert ablation_dependence.main([str(first), str(other), "--out", str(tmp_path / "out")]) == 2
        assert expected in capsys.readouterr().err
    assert ablation_dependence.main([str(first), "--out", str(tmp_path / "out")]) == 2
    assert "at least two" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    file = first / "results.json"
    assert ablation_dependence.main([str(first), str(ablation("task", 5.0)), "--out", str(file)]) == 2
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"arguments": {"task": "nut"}}', "of an older version of DexScrew: it lacks 'summary', 'runs'"),
        ('{"arguments": {}, "summary": {}, "runs": {}}', "is not the results.json of a finished ablation"),
        ("[]", "is not the results.json"),
        ("{", "is damaged"),
    ],
)
def test_a_damaged_or_old_result_is_named_as_such(ablation, tmp_path, capsys, text, expected):
    damaged = ablation("task", 1.0)
    (damaged / "results.json").write_text(text)
    assert ablation_dependence.main([str(ablation("none", 1.0)), str(damaged), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert str(damaged / "results.json") in message and expected in message


def test_a_folder_with_something_else_is_left_alone(ablation, tmp_path, capsys):
    folders = [str(ablation("none", 9.0)), str(ablation("wider", 3.0))]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.md").write_text("mine")
    assert ablation_dependence.main([*folders, "--out", str(tmp_path / "out")]) == 2
    assert "holds no such comparison" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.md"]
