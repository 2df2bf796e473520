from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clone_data import FIELDS, HEADER, JOINTS, record_waves

from baselines import replay
from baselines.data.header import Outcome
from baselines.data.reader import Demonstrations
from baselines.data.writer import Recorder
from baselines.replay import load_replay


@pytest.fixture
def demos(tmp_path):
    record_waves(tmp_path / "demos", 2)
    return tmp_path / "demos"


def test_it_goes_to_the_start_sends_what_was_sent_and_holds(demos):
    policy = load_replay(demos, 0)
    assert (policy.name, policy.task) == ("replay:demos:0", "nut")
    for _ in range(2):
        away = {"held_hand": np.full(3, 0.2), "held_arm": np.full(6, 0.5)}
        for _ in range(3):
            hand, arm = policy.act(away)
            np.testing.assert_array_equal(hand, 0)
            np.testing.assert_array_equal(arm, 0.5)
        there = {"held_hand": np.full(3, 5e-4), "held_arm": np.full(6, 0.5)}
        sent = [np.concatenate(policy.act(there))]
        sent += [np.concatenate(policy.act(away)) for _ in range(79)]
        episode = policy_rows(demos)
        np.testing.assert_array_equal(sent, episode)
        assert policy.finished
        np.testing.assert_array_equal(np.concatenate(policy.act(away)), episode[-1])
        policy.reset()
        assert not policy.finished


def policy_rows(demos):
    episode = Demonstrations(demos).episode(0)
    return np.concatenate([episode["sent_hand"], episode["sent_arm"]], -1)


def test_a_start_out_of_reach_is_waited_for_no_longer_than_that(demos):
    policy = load_replay(demos, 0)
    away = {"held_hand": np.full(3, 0.2), "held_arm": np.full(6, 0.5)}
    steps = 0
    while not policy.finished:
        policy.act(away)
        steps += 1
    assert steps == replay._LONGEST_WAY + 80


def test_what_does_not_fit_is_refused(demos, tmp_path):
    policy = load_replay(demos, 1)
    policy.check("small", JOINTS, {}, 0.05)
    with pytest.raises(ValueError, match="recorded with the hand small, and here it is large"):
        policy.check("large", JOINTS, {}, 0.05)
    with pytest.raises(ValueError, match="there are 0 to 1"):
        load_replay(demos, 7)
    record_waves(tmp_path / "less", 1, fields={name: f for name, f in FIELDS.items() if name != "sent_arm"})
    with pytest.raises(ValueError, match="no field 'sent_arm', which a replay needs"):
        load_replay(tmp_path / "less", 0)


def test_targets_that_are_not_finite_are_refused_with_their_step(demos, monkeypatch):
    episode = Demonstrations(demos).episode(0)
    sent = np.array(episode["sent_hand"])
    sent[7, 1] = np.nan
    before = type(episode).__getitem__
    monkeypatch.setattr(
        type(episode), "__getitem__", lambda self, name: sent if name == "sent_hand" else before(self, name)
    )
    with pytest.raises(ValueError, match="a target in step 7 that is not finite"):
        replay.ReplayPolicy(episode)


def test_the_command_refuses_what_is_not_there(demos, tmp_path, capsys):
    assert replay.main(["--data", str(tmp_path / "none"), "--episode", "0"]) == 2
    assert "none" in capsys.readouterr().err
    assert replay.main(["--data", str(demos), "--episode", "5"]) == 2
    assert "no episode 5" in capsys.readouterr().err


def test_it_plays_on_a_twin_of_the_recordings_stratum(tmp_path, monkeypatch):
    record_waves(tmp_path / "demos", 1, stratum="hard", shape="cross")
    asked = {}

    def make(name, **options):
        asked.update(options, name=name)
        raise ValueError("it was asked for")

    monkeypatch.setattr(replay.gymnasium, "make", make)
    assert replay.main(["--data", str(tmp_path / "demos"), "--episode", "0"]) == 2
    assert (asked["name"], asked["robot"], asked["shape"]) == ("DexScrew-NutReal-v0", "twin:hard", "cross")


def test_what_no_twin_can_replay_is_refused(tmp_path, capsys):
    record_waves(tmp_path / "cap", 1, task="cap")
    assert replay.main(["--data", str(tmp_path / "cap"), "--episode", "0"]) == 2
    assert "is of the task 'cap'; a twin replays nut and screwdriver" in capsys.readouterr().err
    fields = FIELDS | {name: replace(FIELDS[name], shape=(7,)) for name in ("sent_arm", "held_arm")}
    with Recorder(tmp_path / "long", HEADER, fields) as recorder:
        recorder.begin(seed=0)
        recorder.append({name: np.zeros(field.shape, field.dtype) for name, field in fields.items()})
        recorder.finish(Outcome())
    with pytest.raises(ValueError, match="an arm of 7 joints, and the robot's has 6"):
        load_replay(tmp_path / "long", 0)
