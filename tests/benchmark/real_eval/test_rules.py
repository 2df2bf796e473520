from __future__ import annotations

import pytest

from benchmark.real_eval.entrants import Entrant
from benchmark.real_eval.rules import Rules, default_shapes, robot_order, twin_order

A, B, C = (Entrant(name, name, name) for name in "abc")


def test_policies_are_interleaved():
    jobs = twin_order([A, B], ("square", "cross"), 2)
    assert [(job.seed, job.shape, job.entrant) for job in jobs[:4]] == [
        (0, "square", A), (0, "square", B), (0, "cross", A), (0, "cross", B)
    ]  # fmt: skip
    assert len(jobs) == len(set(jobs)) == 8


def test_a_person_mounts_each_shape_once_and_each_round_begins_with_another_policy():
    jobs = robot_order([A, B, C], ("square", "cross"), 3)
    assert [job.shape for job in jobs] == ["square"] * 9 + ["cross"] * 9
    assert [job.entrant for job in jobs[:9]] == [A, B, C, B, C, A, C, A, B]


def test_shapes_by_default():
    assert default_shapes("nut") == ("square", "triangle", "hexagon", "cross")
    assert default_shapes("screwdriver") == ("octagon",)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({}, "twin"),
        ({"stratum": "hard", "perturbation": "drag"}, "twin, hard, drag"),
        ({"robot": "config", "stratum": ""}, "robot"),
    ],
)
def test_where_trials_run(change, where):
    given = {"task": "nut", "robot": "twin", "stratum": "nominal", "limit": 240.0, "stagnation": 60.0,
             "perturbation": "", "edition": 2, "safety": ""}  # fmt: skip
    assert Rules(**given | change).where == where
