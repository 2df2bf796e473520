from __future__ import annotations

from dataclasses import replace

import pytest

from baselines import policies
from benchmark.real_eval.__main__ import main as evaluate
from dexscrew_envs.shapes import SHAPES as OUTLINES
from dexscrew_envs.shapes import THICK, Shape, prism, regular_polygon
from dexscrew_envs.tasks import NUT, TASKS
from real.env import DexScrewRealEnv
from real.twin import plant
from real.twin.objects import OBJECTS, nut


@pytest.fixture
def wing(monkeypatch):
    """A third object, as docs/extend.md adds it: a task, and a kind of object of its name."""
    monkeypatch.setitem(OUTLINES, "wing", Shape(5, lambda: (prism(regular_polygon(5, 0.02), THICK),)))
    monkeypatch.setitem(TASKS, "wing", replace(NUT, name="wing", shape="wing", shapes=("wing",)))
    monkeypatch.setitem(OBJECTS, "wing", replace(nut.OBJECT, task="wing", shapes=("wing",), turns=3.0, seconds=90.0))
    monkeypatch.setitem(plant.SHAPES, "wing", ("wing",))


def test_a_third_object_is_a_task_and_a_kind_of_object(wing, tmp_path, capsys):
    env = DexScrewRealEnv("wing")
    env.reset(seed=0)
    for _ in range(10):
        *_, info = env.step(env.action_space.sample())
    assert info["turns_needed"] == 8.0 and env.robot.plant.shape == "wing"
    env.close()
    student = policies.load("nut-student")
    student.task = "wing"
    policies.save(student, tmp_path / "student.pt")
    robot = ["--robot", "config", "--arm", "127.0.0.9", "--hand", "tcp://127.0.0.9:5557"]
    call = f"--task wing --policies direct:{tmp_path}/student.pt --trials 1 --out {tmp_path}/out".split()
    assert evaluate([*call, *robot, "--dry-run"]) == 0
    assert "3 turns" in capsys.readouterr().out


def test_an_object_that_counts_the_other_way_than_its_task_is_refused(wing, monkeypatch):
    monkeypatch.setitem(TASKS, "wing", replace(TASKS["wing"], turn=-1))
    with pytest.raises(
        ValueError, match="'wing' counts turns in the direction -1, and its object on the twin those in"
    ):
        DexScrewRealEnv("wing")


def test_a_task_without_an_object_is_told_from_an_unknown_one(wing, monkeypatch):
    monkeypatch.delitem(plant.SHAPES, "wing")
    with pytest.raises(ValueError, match=r"unknown task 'wing'; choose from .*; the twin has no object for that task"):
        DexScrewRealEnv("wing")
    monkeypatch.setitem(TASKS, "wing", replace(TASKS["wing"], on_robot=False))
    with pytest.raises(ValueError, match=r"unknown task 'wing'; choose from .*; that task is one of simulation only"):
        DexScrewRealEnv("wing")
