"""The clones that come with the package: what they would do on the sample episodes, beside what was asked for there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import real
from baselines import policies
from baselines.bc import policy as clones
from baselines.bc.windows import SKILL
from baselines.data.reader import Demonstrations

SAMPLES = Path(real.__file__).parent / "teleop" / "samples"
TASKS = {"nut-bc": "nut", "screwdriver-bc": "screwdriver"}


def test_there_is_a_clone_of_each_task_with_a_card():
    assert clones.shipped() == tuple(TASKS)
    for name, task in TASKS.items():
        clone, path = clones.load(name), clones.file_of(name)
        assert clone.task == task and clone.name == name and clone.design.tactile and clone.card["command"]
        card = path.with_suffix(".md").read_text()
        assert card.startswith(f"# {name}\n") and "twin" in card
        assert clones.is_clone(name) and name not in policies.shipped()


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_it_asks_for_what_the_teachers_asked_for(name):
    clone = clones.load(name)
    asked, found = [], []
    for episode in Demonstrations(SAMPLES / TASKS[name]):
        clone.reset()
        for k in range(min(len(episode), 300)):
            hand, _ = clone.act({key: episode[key][k] for key in clone.shapes})
            if k > 60 and episode[SKILL][k]:
                asked.append(episode["asked_hand"][k] - episode["held_hand"][k])
                found.append(hand - episode["held_hand"][k])
    error = np.mean((np.array(found) - asked) ** 2) / np.var(asked)
    assert error < 0.3, "on the samples it explains most of what the skill does"
