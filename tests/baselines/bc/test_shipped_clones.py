"""The clones that come with the package: what they would do in a demonstration, beside what was asked for there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines import policies
from baselines.bc import policy as clones
from baselines.bc.features import contact, rest
from real.teleop.collect import demonstrate
from real.teleop.setup import Setup

TASKS = {"nut-bc": "nut", "screwdriver-bc": "screwdriver"}


def test_there_is_a_clone_of_each_task_with_a_card():
    assert clones.shipped() == tuple(TASKS)
    for name, task in TASKS.items():
        clone, path = clones.load(name), clones.file_of(name)
        assert clone.task == task and clone.name == name and clone.design.tactile and clone.card["command"]
        card, data = path.with_suffix(".md").read_text(), clone.card["data"]
        assert card.startswith(f"# {name}\n") and "twin" in card
        assert all(str(data[count]) in card for count in ("episodes", "held out", "labelled")), (
            "the card is of this file"
        )
        assert clones.is_clone(name) and name not in policies.shipped()


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_it_asks_for_what_the_teachers_asked_for(name):
    clone, task = clones.load(name), TASKS[name]
    setup = Setup(task=task, policy=f"{task}-student", seconds=15.0)
    rows = demonstrate(setup, 5000, noisy=False, operator="strokes" if task == "nut" else "scripted").rows
    asked = np.array([row["asked_hand"] - row["held_hand"] for row in rows])
    found = np.array([clone.act({key: row[key] for key in clone.shapes})[0] - row["held_hand"] for row in rows])
    error = np.mean((found - asked)[60:] ** 2) / np.var(asked[60:])
    assert error < 0.3, "it explains most of what the fingers do"


@pytest.mark.slow
def test_the_nuts_clone_feels_contact_and_answers_it():
    clone, blind = clones.load("nut-bc"), clones.load("nut-bc")
    rows = demonstrate(
        Setup(task="nut", policy="nut-student", seconds=15.0), 5000, noisy=False, operator="strokes"
    ).rows
    force = np.array([row["resultant"] for row in rows], np.float32)
    index = contact(torch.from_numpy(force) - rest(force))[:, 1]
    assert (index > 0.3).float().mean() > 0.05 and (index < 0.1).float().mean() > 0.5
    steps = [{key: row[key] for key in clone.shapes} for row in rows]
    felt = np.array([clone.act(step)[0] for step in steps])
    unfelt = np.array([blind.act(step | {"resultant": steps[0]["resultant"]})[0] for step in steps])
    moved = np.abs(felt - [row["held_hand"] for row in rows])[60:].mean()
    assert np.abs(felt - unfelt)[60:].mean() > 0.005 * moved
