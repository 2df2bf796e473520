from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines.bc.design import Design
from baselines.bc.features import REST_STEPS
from baselines.bc.policy import ClonePolicy, build, save
from baselines.data.folder import FolderError
from baselines.data.reader import Demonstrations
from dexscrew_envs.hands import XHAND_LEFT
from real.kinematics import forward
from real.teleop import relabel as relabelling
from real.teleop.episode import SCENE_POSITION
from real.teleop.setup import Setup

pytestmark = pytest.mark.slow

SHAPES = {"hand_q": [12], "arm_q": [6], "held_hand": [12], "held_arm": [6]}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone that holds the hand still and turns the arm's base a little at each step."""
    interface = {"task": "nut", "hand": XHAND_LEFT.name, "joints": list(XHAND_LEFT.joints), "rate_hz": 20.0,
                 "fingers": list(XHAND_LEFT.finger_names), "observations": SHAPES}  # fmt: skip
    network = build(Design(tactile=False, encoder=(8,), widths=(8,)), interface)
    torch.nn.init.zeros_(network.decoder[1].weight)
    torch.nn.init.zeros_(network.decoder[1].bias)
    network.action_center[:, 12] = 1e-4
    path = tmp_path_factory.mktemp("clones") / "sideways" / "policy.pt"
    save(ClonePolicy(network, interface, {}), path)
    return path


@pytest.fixture(scope="module")
def rows(clone):
    """Fifteen seconds of it: three spells, of which seed 30 gives the second to skill and operator."""
    return fifteen_seconds(clone, 30)


def fifteen_seconds(clone, seed):
    """The rows of an episode."""
    setup = Setup(task="nut", policy="nut-student", shape="cross", seconds=15.0)
    found = relabelling._episode(str(clone), {"actor": "sideways"}, setup, seed)
    assert found.extras == {"actor": "sideways"}
    return {key: np.array([row[key] for row in found.rows]) for key in found.rows[0]}


def test_the_clone_acts_and_the_skill_labels(rows):
    spells = [slice(REST_STEPS + 2, 100), slice(100, 200), slice(200, len(rows["time"]))]
    moved = [np.abs(rows["sent_hand"][part] - rows["held_hand"][part]).max() for part in spells]
    assert moved[0] == moved[2] == 0.0 and moved[1] > 0.01
    label = np.abs(rows["asked_hand"] - rows["held_hand"]).max(-1)
    assert np.median(label[REST_STEPS + 2 :]) > 0.01
    np.testing.assert_array_equal(rows["asked_hand"][101:200], rows["sent_hand"][101:200])


def test_the_operator_answers_where_the_clone_has_put_the_arm(rows):
    def sideways(row):
        """How far the label and the clone move the wrist along the direction in which the clone has moved it (m)."""
        held, asked, sent = (forward(rows[f"{name}_arm"][row])[:2] for name in ("held", "asked", "sent"))
        away = forward(rows["held_arm"][row])[:2] - forward(rows["held_arm"][0])[:2]
        away /= np.linalg.norm(away)
        return (asked - held) @ away, (sent - held) @ away

    label, clone = sideways(95)
    assert clone > 1e-5 and label < -1e-5
    assert np.abs(rows["asked_arm"] - rows["held_arm"]).max() < 0.01  # from what stands, not from where it was once


def test_the_wrist_drifts_up_or_down_while_a_clone_acts_on_what_stays(rows):
    heights = np.array([forward(arm)[2] for arm in rows["held_arm"]])
    for spell in (slice(REST_STEPS + 2, 100), slice(200, 290)):
        speeds = np.diff(heights[spell]) / 0.05
        assert 0.0001 < abs(np.median(speeds)) < relabelling.DRIFT + 1e-4 and speeds.std() < 1e-3
    assert forward(relabelling._raised(rows["held_arm"][0], 0.001))[2] == pytest.approx(heights[0] + 0.001, abs=1e-6)


def test_a_clone_that_is_alone_is_neither_helped_nor_led_astray(clone):
    rows = fifteen_seconds(clone, 3)
    acting = slice(REST_STEPS + 2, None)
    np.testing.assert_array_equal(rows["sent_hand"][acting], rows["held_hand"][acting])
    heights = np.array([forward(arm)[2] for arm in rows["held_arm"]])
    assert np.ptp(heights[acting]) < 1e-3
    assert np.median(np.abs(rows["asked_hand"] - rows["held_hand"]).max(-1)[acting]) > 0.01  # labelled all the same


def test_labels_are_a_data_set_that_goes_on_where_it_stopped(clone, tmp_path, monkeypatch):
    short = Setup
    monkeypatch.setattr(relabelling, "Setup", lambda **options: short(**(options | {"seconds": 1.0})))
    options = {"task": "nut", "skill": "nut-student", "stratum": "easy", "shapes": ["square", "cross"], "seed": 50,
               "processes": 1, "press": 0.03}  # fmt: skip
    relabelling.relabel(clone, tmp_path / "labels", episodes=2, **options)
    first = {episode.name: episode.header.id for episode in Demonstrations(tmp_path / "labels")}
    relabelling.relabel(clone, tmp_path / "labels", episodes=3, **options)
    demos = list(Demonstrations(tmp_path / "labels"))
    assert [(episode.header.shape, episode.header.seed) for episode in demos] == [("square", 50), ("cross", 51),
                                                                                  ("square", 52)]  # fmt: skip
    assert first.items() <= {episode.name: episode.header.id for episode in demos}.items()
    header = demos[0].header
    assert header.operator == "tutor" and header.policy == "nut-student" and header.stratum == "easy"
    assert header.extras["press"] == 0.03
    assert header.extras["actor"] == "sideways" and len(header.extras["actor_sha256"]) == 64
    monkeypatch.setattr(relabelling, "DRIFT", 0.001)
    with pytest.raises(FolderError, match="rules of another version"):
        relabelling.relabel(clone, tmp_path / "labels", episodes=4, **options)


def test_data_like_its_own_can_be_labelled_and_others_are_told_by_what_differs():
    header, fields = relabelling._recorded(Setup(task="nut", policy="nut-student", stratum="hard", shape="cross"))
    asked = {"skill": "nut-student", "stratum": "easy", "shapes": ["cross", "square"]}
    relabelling.relabel.check(header, fields, **asked)
    joints = (*header.joints[1:], header.joints[0])
    fewer = {name: field for name, field in fields.items() if name != SCENE_POSITION}
    for data, options, words in (
        ((header, fields), {"shapes": ["cross", "star"]}, "no nut of the shape 'star', as these data have; it knows"),
        ((header, fields), {"shapes": ["", "cross"]}, "no nut of the shape '', as"),
        ((header, fields), {"stratum": ""}, "unknown stratum ''"),
        ((header, fields), {"skill": "nut-oracle"}, "run a student"),
        ((header, fields), {"press": 0.5}, "press must be between 0 and 0.2 rad, got 0.5"),
        ((replace(header, joints=joints), fields), {}, "differ: joints"),
        ((replace(header, period=0.1), fields), {}, "differ: period (0.05, not 0.1)"),
        ((replace(header, task="cap"), fields), {}, "the twin has no task 'cap'"),
        ((header, fewer), {}, f"differ: field {SCENE_POSITION} ("),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            relabelling.check(*data, **asked | options)
