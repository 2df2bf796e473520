from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from clone_data import FIELDS, FINGERS, HEADER, JOINTS, QUIET, TAXELS, record_waves, waves

from baselines.bc.design import Design
from baselines.bc.windows import load_episodes, make_samples
from baselines.data import writer
from baselines.data.header import Outcome
from baselines.data.schema import Field, step_fields
from baselines.data.writer import Recorder

DESIGN = Design(history=4, horizon=3)


@pytest.fixture
def demos(tmp_path):
    record_waves(tmp_path / "demos", noise=0.01)
    return tmp_path / "demos"


def test_labels_count_from_what_stands_and_the_operator_knows_nothing_of_noise(demos):
    episodes = load_episodes([demos], DESIGN, 0.7)
    samples = make_samples(episodes, DESIGN)
    at = samples.usable[[5]]
    _, wanted, valid = samples.windows(DESIGN, at)
    row, episode = int(at), episodes[0]
    hand = episode["asked_hand"][row : row + 3] - episode["held_hand"][row]
    np.testing.assert_allclose(wanted[0, :, :3], hand, atol=1e-6)
    np.testing.assert_allclose(wanted[0, :, 3:], -0.001 * np.arange(1, 4)[:, None].repeat(6, 1), atol=1e-6)
    assert valid.all()


def test_absolute_targets_are_what_was_asked_for(demos):
    design = Design(history=4, horizon=3, targets="absolute")
    samples = make_samples(load_episodes([demos], design, 0.7), design)
    _, wanted, _ = samples.windows(design, samples.usable[:1])
    np.testing.assert_array_equal(wanted[0], samples.wanted[QUIET : QUIET + 3])


def test_windows_stay_in_their_episode_and_begin_where_the_operator_does(demos):
    samples = make_samples(load_episodes([demos], DESIGN, 0.7), DESIGN)
    assert samples.usable[0] == QUIET and len(samples.usable) == 4 * (80 - QUIET)
    seen, _, valid = samples.windows(DESIGN, torch.tensor([80, 159]))
    assert (seen["hand"][0] == seen["hand"][0, -1]).all()  # the first step, repeated
    assert valid[1].tolist() == [True, False, False]


def test_pauses_are_not_learned_from_but_letting_go_is(tmp_path):
    rows = list(waves(80, np.random.default_rng(0)))
    for row in rows[30:50]:
        row["skill"] = 0
    for row in rows[40:50]:
        row["asked_hand"] = row["held_hand"]
    with Recorder(tmp_path / "demos", HEADER, FIELDS) as recorder:
        for _ in range(2):
            recorder.begin(seed=0, extras={"noise": {"action": 0.0, "wrist": 0.0}})
            for row in rows:
                recorder.append(row)
            recorder.finish(Outcome(mark="success", turns=4.0, needed=4.0))
    episodes = load_episodes([tmp_path / "demos"], DESIGN, 0.7)[:1]
    assert make_samples(episodes, DESIGN).usable.tolist() == [*range(QUIET, 40), *range(50, 80)]
    assert make_samples(episodes, DESIGN, pauses=True).usable.tolist() == [*range(QUIET, 80)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "screwdriver"}, r"do not belong together: task \('screwdriver', not 'nut'\)"),
        ({"hand": "large"}, r"do not belong together: hand \('large', not 'small'\)"),
        ({"period": 0.1}, r"do not belong together: period"),
    ],
)
def test_data_sets_that_differ_are_refused(demos, tmp_path, changes, words):
    record_waves(tmp_path / "other", 2, **changes)
    with pytest.raises(ValueError, match=words):
        load_episodes([demos, tmp_path / "other"], DESIGN, 0.7)


def test_data_without_touch_are_refused_for_a_clone_that_feels(tmp_path):
    fields = {name: field for name, field in FIELDS.items() if name not in ("tactile", "resultant")}
    record_waves(tmp_path / "blind", fields=fields)
    with pytest.raises(ValueError, match=r"no field resultant, .* train with --no-tactile"):
        load_episodes([tmp_path / "blind"], DESIGN, 0.7)
    assert len(load_episodes([tmp_path / "blind"], Design(tactile=False), 0.7)) == 4


def test_short_and_poor_episodes_are_refused(demos, tmp_path):
    with pytest.raises(ValueError, match=r"has 80 steps, and history and horizon together need 93.*drop"):
        load_episodes([demos], Design(history=90, horizon=3), 0.7)
    record_waves(tmp_path / "poor", 3, turns=2.0)
    with pytest.raises(ValueError, match=r"0 of 3 episodes .* reach a progress of 0.7"):
        load_episodes([tmp_path / "poor"], DESIGN, 0.7)
    assert len(load_episodes([tmp_path / "poor"], DESIGN, 0.5)) == 3
    assert len(load_episodes([demos, tmp_path / "poor"], DESIGN, 0.7)) == 4
    with pytest.raises(ValueError, match="given twice"):
        load_episodes([demos, demos], DESIGN, 0.7)
    with pytest.raises(ValueError, match="between 0 and 1"):
        load_episodes([demos], DESIGN, 70)


def test_an_episode_is_taken_once_however_it_was_copied(demos, tmp_path):
    shutil.copytree(demos, tmp_path / "copy")
    with pytest.raises(ValueError, match=r"copy/episode_000000.h5 and .*demos/episode_000000.h5 are the same episode"):
        load_episodes([demos, tmp_path / "copy"], DESIGN, 0.7)
    shutil.copyfile(demos / "episode_000001.h5", demos / "episode_000009.h5")
    with pytest.raises(ValueError, match=r"are the same episode.*: python -m baselines.data drop .*demos 9$"):
        load_episodes([demos], DESIGN, 0.7)


def test_episodes_without_an_id_are_not_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(writer.uuid, "uuid4", lambda: type("uuid", (), {"hex": ""}))
    record_waves(tmp_path / "nameless", 2)
    assert len(load_episodes([tmp_path / "nameless"], DESIGN, 0.7)) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            step_fields(len(JOINTS), len(FINGERS), arm_joints=7, taxels=TAXELS),
            r"the field arm_q in the shape \(7,\), and a clone needs \(6,\), for the 6 joints of the arm",
        ),
        (
            FIELDS | {"resultant": Field("int16", (4, 3), "counts", "of another hand")},
            r"the field resultant in the shape \(4, 3\), and a clone needs \(2, 3\), for the 2 fingers",
        ),
        (
            FIELDS | {"asked_hand": Field("float32", (12,), "rad", "of another hand")},
            r"the field asked_hand in the shape \(12,\), and a clone needs \(3,\), for the 3 joints of the hand",
        ),
    ],
)
def test_fields_of_another_robot_are_refused(tmp_path, monkeypatch, fields, words):
    monkeypatch.setattr(writer, "_check_sizes", lambda header, fields: None)  # as recorders of other versions do
    row = {name: np.zeros(field.shape, field.dtype) for name, field in fields.items()}
    with writer.Recorder(tmp_path, HEADER, fields) as recorder:
        for _ in range(2):
            recorder.begin()
            for number in range(10):
                recorder.append(row | {"time": 0.05 * number})
            recorder.finish(Outcome(turns=4.0, needed=4.0))
    with pytest.raises(ValueError, match=words):
        load_episodes([tmp_path], DESIGN, 0.7)
