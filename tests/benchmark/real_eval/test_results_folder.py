from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmark.real_eval.entrants import Entrant
from benchmark.real_eval.results_folder import ResultsFolder, read_protocol, trial_of
from benchmark.real_eval.rules import Job, Rules

RULES = Rules(
    task="nut", robot="twin", stratum="nominal", limit=240.0, stagnation=60.0, perturbation="", edition=2,
    safety="00000000",
)  # fmt: skip
A, B = (Entrant(name, name, name) for name in "ab")
RECORD = {"seed": 3, "progress": 0.5, "complete": False, "seconds": 240.0, "kind": "slip"}


def test_what_is_written_is_read(tmp_path):
    folder, job = ResultsFolder(tmp_path, RULES, [A]), Job(A, "square", 3)
    assert folder.read(job) is None
    folder.write(job, RECORD)
    again = ResultsFolder(tmp_path, RULES, [A, B])
    assert again.read(job) == RECORD and again.read(Job(B, "square", 3)) is None
    assert trial_of(RECORD).ended_by == "slip"
    assert read_protocol(tmp_path)["policies"] == {"a": "a", "b": "b"}
    again.remove(job)
    assert again.read(job) is None


@pytest.mark.parametrize(
    "change",
    [{"limit": 300.0}, {"stratum": "hard"}, {"perturbation": "drag"}, {"edition": 1}, {"robot": "config"},
     {"safety": "ffffffff"}, {"turns_needed": 4.0}],
)  # fmt: skip
def test_a_folder_of_another_protocol_is_refused(tmp_path, change):
    ResultsFolder(tmp_path, replace(RULES, **change), [A])
    with pytest.raises(ValueError, match=f"other rules: {next(iter(change))}"):
        ResultsFolder(tmp_path, RULES, [A])


def test_another_policy_of_the_same_name_is_refused(tmp_path):
    ResultsFolder(tmp_path, RULES, [A])
    with pytest.raises(ValueError, match="another policy called 'a'"):
        ResultsFolder(tmp_path, RULES, [replace(A, digest="other")])


def test_two_labels_with_the_same_files_are_refused(tmp_path):
    ResultsFolder(tmp_path, RULES, [A])
    with pytest.raises(ValueError, match="holds trials of 'a', and those of 'A' would have the same files"):
        ResultsFolder(tmp_path, RULES, [Entrant("A", "other", "other")])


@pytest.mark.parametrize("change", [{"seed": 4}, {"shape": "cross"}, {"policy": "b"}])
def test_a_record_of_another_trial_is_refused(tmp_path, change):
    folder, job = ResultsFolder(tmp_path, RULES, [A]), Job(A, "square", 3)
    folder.write(job, RECORD | change)
    with pytest.raises(ValueError, match="remove it to do that trial again"):
        folder.read(job)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match="holds no evaluation"):
        ResultsFolder(tmp_path, RULES, [A])


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"rules": 1, "policies": {}}'])
def test_a_damaged_protocol_is_told(tmp_path, content):
    (tmp_path / "protocol.json").write_text(content)
    with pytest.raises(ValueError, match="not the protocol"):
        ResultsFolder(tmp_path, RULES, [A])


@pytest.mark.parametrize("content", ["", "{}", json.dumps(RECORD | {"progress": 2.0})])
def test_a_damaged_trial_is_told(tmp_path, content):
    folder, job = ResultsFolder(tmp_path, RULES, [A]), Job(A, "square", 3)
    folder.write(job, RECORD)
    next((tmp_path / "trials").iterdir()).write_text(content)
    with pytest.raises(ValueError, match="remove it to do that trial again"):
        folder.read(job)
