from __future__ import annotations

import json
import shutil

import pytest
import torch
from clone_data import record_waves

from baselines.bc import __main__ as command
from baselines.bc import dagger
from baselines.bc.policy import load

pytestmark = pytest.mark.slow

SMALL = ("--history", "4", "--batch-size", "32", "--threads", "1", "--average", "0.9", "--steps", "20")
ROUNDS = ("--dagger", "2", "--dagger-episodes", "3", "--skill", "nut-student")


@pytest.fixture
def demos(tmp_path):
    record_waves(tmp_path / "demos", 5)
    return tmp_path / "demos"


@pytest.fixture
def asked(monkeypatch):
    """What the clones were asked to do; instead of acting they get the waves of other seeds, one of them too short."""
    calls = []

    def relabel(clone, out, **options):
        calls.append((load(clone).name, out.name, options))
        if not out.exists():
            told = {"operator": "tutor", "extras": {"press": press} if (press := options["press"]) else {}}
            record_waves(out, options["episodes"] - 1, seed=options["seed"], turns=0.5, **told)
            record_waves(out, 1, steps=5, seed=7, turns=0.0, **told)

    monkeypatch.setattr(dagger, "_find", lambda robot: relabel)
    return calls


def clone(demos, folder, *options):
    return command.main(["--data", str(demos), "--folder", str(folder), *SMALL, *options])


def test_each_round_learns_from_the_labels_of_all_before_it(demos, asked, tmp_path, capsys):
    folder = tmp_path / "run"
    assert clone(demos, folder, *ROUNDS) == 0
    assert [call[:2] for call in asked] == [("round-0", "labels-1"), ("round-1", "labels-2")]
    first, second = (call[2] for call in asked)
    assert first["skill"] == "nut-student" and first["shapes"] == ["square"] and first["episodes"] == 3
    assert len({first["seed"], second["seed"], 0}) == 3
    data = [json.loads((folder / f"round-{k}" / "metrics.json").read_text())["data"] for k in range(3)]
    assert [about["labelled"] for about in data] == [0, 2, 4]  # but the short ones, and those that failed as well
    assert data[2]["windows"] > data[0]["windows"] and data[2]["held out"] == 1
    final = load(folder / "policy.pt").network.state_dict()
    last, before = (load(folder / f"round-{k}" / "policy.pt").network.state_dict() for k in (2, 1))
    assert all(torch.equal(final[name], last[name]) for name in final)
    assert not all(torch.equal(final[name], before[name]) for name in final)
    assert (folder / "curve.png").exists() and (folder / "metrics.json").exists()
    assert "round 2 of 2" in capsys.readouterr().err


def test_labels_of_an_earlier_training_are_learned_from(demos, asked, tmp_path, capsys):
    assert clone(demos, tmp_path / "first", *ROUNDS) == 0
    labels = [str(tmp_path / "first" / f"labels-{k}") for k in (1, 2)]
    assert clone(demos, tmp_path / "second", "--labels", *labels) == 0
    data = json.loads((tmp_path / "second" / "metrics.json").read_text())["data"]
    assert data["labelled"] == 4 and data["episodes"] == 4
    assert clone(demos, tmp_path / "more", "--labels", *labels, *ROUNDS) == 0
    assert len({call[2]["seed"] for call in asked}) == len(asked) == 4  # labels are never of the same twins
    record_waves(tmp_path / "other", 2, task="screwdriver")
    assert clone(demos, tmp_path / "third", "--labels", str(tmp_path / "other")) == 2
    assert "does not belong to" in capsys.readouterr().err
    doubled = tmp_path / "doubled"
    shutil.copytree(labels[0], doubled)
    shutil.copyfile(doubled / "episode_000000.h5", doubled / "episode_000099.h5")
    for given in ([str(demos)], [labels[0], labels[0]], [str(doubled)]):
        assert clone(demos, tmp_path / "third", "--labels", *given) == 2
        assert "has episodes that were given before" in capsys.readouterr().err
    assert not (tmp_path / "third").exists()


def test_what_is_done_is_not_done_again(demos, asked, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    interrupted = dagger.train

    def interrupt(design, training, folder, command):
        if folder.name == "round-1":
            raise KeyboardInterrupt
        return interrupted(design, training, folder, command)

    monkeypatch.setattr(dagger, "train", interrupt)
    assert clone(demos, folder, *ROUNDS) == 130
    written = (folder / "round-0" / "checkpoint.pt").stat().st_mtime_ns
    monkeypatch.setattr(dagger, "train", interrupted)
    assert clone(demos, folder, *ROUNDS) == 0
    assert (folder / "round-0" / "checkpoint.pt").stat().st_mtime_ns == written
    assert clone(demos, folder, "--dagger", "1", "--skill", "nut-student") != 0  # a folder belongs to one configuration


def test_what_cannot_be_labelled_is_refused_before_anything_is_trained(demos, tmp_path, capsys):
    record_waves(tmp_path / "real", 3, robot="config", policy="nut-student")
    for data, options, words in (
        (tmp_path / "real", ("--dagger", "1"), "these data are of 'config'; those that can be labelled are: twin"),
        (demos, ("--dagger", "1"), "is unknown here; give a policy with --skill"),
        (demos, ("--dagger", "-1"), "not negative"),
        (demos, ("--skill", "nut-student"), "give their number"),
        (demos, ("--dagger", "1", "--skill", "nut-studnet"), "did you mean 'nut-student'"),
        (demos, ("--dagger", "1", "--skill", "screwdriver-student"), "trained for the task 'screwdriver'"),
        (demos, ("--dagger", "1", "--skill", "nut-oracle"), "which a robot does not measure"),
        (demos, ("--dagger", "1", "--dagger-episodes", "0"), "at least 1"),
    ):
        assert clone(data, tmp_path / "run", *options) == 2
        error = capsys.readouterr().err
        assert words in " ".join(error.split()) and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_data_of_several_robots_or_strata_are_refused(tmp_path, capsys):
    for name, values in (("robot", ("twin", "config")), ("stratum", ("nominal", "easy"))):
        folders = [str(tmp_path / value) for value in values]
        for value, folder in zip(values, folders, strict=True):
            record_waves(folder, 2, policy="nut-student", **{name: value})
        run = ["--folder", str(tmp_path / "run"), *SMALL, "--dagger", "1"]
        assert command.main(["--data", *folders, *run]) == 2
        error = " ".join(capsys.readouterr().err.split())
        both = ", ".join(map(repr, sorted(values)))
        assert f"--dagger labels data of one {name}, and these are of {both}; give data sets of one of them" in error
    assert not (tmp_path / "run").exists()


def test_labels_are_pressed_as_the_demonstrations_were(asked, tmp_path, capsys):
    for name, press in (("firm", 0.05), ("loose", 0.0)):
        record_waves(tmp_path / name, 3, extras={"press": press} if press else {})
        assert clone(tmp_path / name, tmp_path / f"run-{name}", *ROUNDS) == 0
    assert [call[2]["press"] for call in asked] == [0.05, 0.05, 0.0, 0.0]
    capsys.readouterr()
    run = ["--folder", str(tmp_path / "run"), *SMALL, *ROUNDS]
    assert command.main(["--data", str(tmp_path / "firm"), str(tmp_path / "loose"), *run]) == 2
    assert "these were with a press of 0.0 rad, 0.05 rad" in " ".join(capsys.readouterr().err.split())
    record_waves(tmp_path / "strange", 3, extras={"press": "hard"})
    assert clone(tmp_path / "strange", tmp_path / "run", *ROUNDS) == 2
    assert "press as a number (rad), got 'hard'" in " ".join(capsys.readouterr().err.split())
    labels = ["--labels", str(tmp_path / "run-loose" / "labels-1")]
    assert clone(tmp_path / "firm", tmp_path / "run", *labels) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "its labels are those of a press of 0.0 rad, and the demonstrations had 0.05" in told
    assert not (tmp_path / "run").exists()


def test_what_labels_is_asked_before_anything_is_trained(demos, tmp_path, monkeypatch, capsys):
    def relabel(clone, out, **options):
        raise AssertionError("nothing should have been trained")

    def check(header, fields, *, skill, stratum, shapes, press):
        assert header.joints == ("a", "b", "c") and "tactile" in fields
        raise ValueError(f"cannot label {shapes} with {skill} in {stratum or 'no stratum'}")

    relabel.check = check
    monkeypatch.setattr(dagger, "_find", lambda robot: relabel)
    assert clone(demos, tmp_path / "run", *ROUNDS) == 2
    assert "cannot label ['square'] with nut-student in no stratum" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": ""}, "the twin has no nut of the shape '', as these data have; it knows"),
        ({"shape": "star"}, "the twin has no nut of the shape 'star', as these data have; it knows"),
        ({"stratum": "mild"}, "unknown stratum 'mild'"),
        ({}, "which differ: hand ('xhand_left', not 'small'); joints ("),
        ({"period": 0.1}, "period (0.05, not 0.1)"),
    ],
)
def test_data_that_the_twin_cannot_label_are_refused_before_anything_is_trained(tmp_path, capsys, changes, words):
    record_waves(tmp_path / "demos", 2, **{"policy": "nut-student", "stratum": "nominal"} | changes)
    assert clone(tmp_path / "demos", tmp_path / "run", "--dagger", "1") == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_a_seed_whose_labels_would_have_none_is_refused_before_anything_is_trained(demos, asked, tmp_path, capsys):
    folder = tmp_path / "run"
    assert clone(demos, folder, *ROUNDS, "--seed", "9300000000000000") == 2
    assert "gives labels seeds beyond 2^63" in capsys.readouterr().err
    assert not folder.exists() and not asked
