"""Every example runs, and does what it says."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from baselines import export

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def test_a_loop_of_ones_own_turns_the_nut():
    assert load("own_loop")(steps=60) > 0.3


@pytest.mark.slow
def test_a_stock_algorithm_learns_on_the_batch():
    pytest.importorskip("stable_baselines3")
    model = load("sb3_stock")(steps=2048)
    assert model.num_timesteps == 2048
    assert all(parameter.isfinite().all() for parameter in model.policy.parameters())


@pytest.mark.slow
def test_the_ppo_of_rsl_rl_learns_on_the_batch(tmp_path):
    pytest.importorskip("rsl_rl")
    runner = load("rsl_rl_ppo")(iterations=2, num_envs=8, folder=str(tmp_path))
    assert runner.current_learning_iteration == 1
    assert all(parameter.isfinite().all() for parameter in runner.alg.actor.parameters())


@pytest.mark.slow
def test_the_exported_student_acts_from_its_contract_alone(tmp_path):
    pytest.importorskip("onnxscript")
    assert export.main(["--policy", "nut-student", "--out", str(tmp_path / "nut-student")]) == 0
    targets = load("onnx_student")(str(tmp_path / "nut-student"), steps=20)
    assert targets.shape == (12,) and np.isfinite(targets).all()
    assert export.main(["--policy", "nut-oracle", "--out", str(tmp_path / "nut-oracle")]) == 0
    with pytest.raises(SystemExit, match="is no export of a student"):
        load("onnx_student")(str(tmp_path / "nut-oracle"))
    source = (EXAMPLES / "onnx_student.py").read_text()
    assert not [name for name in ("torch", "dexscrew_envs", "baselines") if f"import {name}" in source]


@pytest.mark.slow
def test_a_video_is_written(tmp_path, opengl):
    path = load("video")(str(tmp_path / "nut.mp4"), seconds=0.5)
    assert path.stat().st_size > 3000


def test_every_example_is_tested():
    tested = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for path in EXAMPLES.glob("*.py"):
        assert path.stem in tested, path.name
