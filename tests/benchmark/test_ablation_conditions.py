"""The conditions of an ablation, without a training."""

from __future__ import annotations

import pytest

from benchmark import sim_ablations
from benchmark.sim_ablations import conditions
from dexscrew_envs.tasks import NUT

USUAL = ["as trained", "noise x2", "pushes x20"]


def test_a_task_of_which_no_shape_is_unseen_has_no_such_condition():
    assert list(conditions("cap")) == list(conditions("nut", shape=NUT.shapes)) == USUAL
    assert list(conditions("nut")) == [*USUAL, "unseen shapes"]
    assert conditions("nut", shape=("triangle", "cross"))["unseen shapes"]["shape"] == ("square", "hexagon")
    assert list(conditions("cap", "none")) == ["as trained"]


def test_a_condition_that_is_not_possible_is_refused_before_any_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sim_ablations, "run_all", lambda *_: pytest.fail("something was trained"))
    out = tmp_path / "out"
    assert sim_ablations.main(["--out", str(out), "--env.push-force", "9e29"]) == 2
    assert "push_force must be at most 1e+30 in size, got 1.8" in capsys.readouterr().err
    assert not out.exists()
