from __future__ import annotations

import numpy as np
import pytest

from benchmark.real_eval.perturbations import (
    EARLIEST,
    LATEST,
    PERTURBATIONS,
    Bump,
    Drag,
    PerturbedTwinConfig,
    TurnBack,
)
from dexscrew_envs.hands import XHAND_LEFT
from real.twin.plant import Plant
from real.twin.robot import TwinConfig
from real.twin.scene import HAND


@pytest.fixture(scope="module")
def plant():
    return Plant("nut", "square", seed=1)


def push(plant: Plant, kind, seconds: float) -> bool:
    """Perturb for so long; return whether it has ended."""
    plant.reset(1)
    plant.step(50)
    one, begun = kind(plant, np.random.default_rng(0)), plant.time
    while plant.time < begun + seconds:
        if not one.step(plant, plant.time - begun):
            return True
        plant.step()
    return False


def untouched(plant: Plant) -> bool:
    """Whether nothing is left of a perturbation."""
    fresh = Plant("nut", "square", seed=1)
    return (
        not plant.data.xfrc_applied.any()
        and np.array_equal(plant.model.body_pos, fresh.model.body_pos)
        and np.array_equal(plant.model.dof_damping, fresh.model.dof_damping)
        and plant.data.qfrc_applied[plant.model.joint("nut").dofadr[0]] == 0
    )


def test_dragged_fingers_leave_the_nut(plant):
    def distances():
        grip, _ = plant.object.grip()
        return [np.linalg.norm(plant.data.site(HAND + f.tip).xpos - grip) for f in XHAND_LEFT.fingers[:2]]

    plant.reset(1)
    plant.step(50)
    before = distances()
    assert not push(plant, Drag, 0.8)
    assert all(after > there + 0.01 for after, there in zip(distances(), before, strict=True))
    assert push(plant, Drag, 2.0) and untouched(plant)


def test_a_nut_that_is_turned_back_goes_back_against_the_fingers(plant):
    assert not push(plant, TurnBack, 0.2)
    assert plant.turns < -0.02
    assert push(plant, TurnBack, 4.0) and untouched(plant)
    assert plant.turns >= -1.0  # half a turn and what it slides


def test_a_bumped_table_moves_the_nut_and_swings_back(plant):
    rest = plant.model.body("object").pos.copy()
    assert not push(plant, Bump, 0.15)
    moved = plant.model.body("object").pos - rest
    assert np.linalg.norm(moved) == pytest.approx(0.005, rel=0.01) and moved[2] == 0
    assert push(plant, Bump, 1.0) and untouched(plant)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_seed_fixes_when_and_until_then_nothing_differs(name):
    config = PerturbedTwinConfig(perturbation=name)
    robot, plain = config.robot("nut", "square"), TwinConfig().robot("nut", "square")
    times = []
    for seed in (3, 4):
        robot.start_trial(seed)
        times.append(robot.began)
    assert times[0] != times[1] and all(EARLIEST <= time <= LATEST for time in times)
    robot.start_trial(3), plain.start_trial(3)
    assert robot.began == times[0] and robot.ended is None
    robot.began = 0.1  # sooner, so that the test is short
    for period in range(4):
        assert robot.wait(0.05) == pytest.approx(0.05) and plain.wait(0.05) == pytest.approx(0.05)
        assert np.array_equal(robot.plant.data.qpos, plain.plant.data.qpos) == (period < 2)


def test_an_unknown_perturbation_is_refused():
    with pytest.raises(ValueError, match="choose from drag, turn-back, bump"):
        PerturbedTwinConfig(perturbation="kick")
