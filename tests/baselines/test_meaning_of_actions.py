"""A policy whose actions mean something else, or that is of another hand, is refused wherever one is taken."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from baselines import evaluate, export, policies, student
from baselines.play import Player
from benchmark import generalization
from dexscrew_envs.hands import XHAND_LEFT
from dexscrew_envs.tasks import NUT, TASKS, make_task

HAND = """
from dataclasses import replace
from dexscrew_envs.hands import XHAND_LEFT
HAND = replace(XHAND_LEFT, name="mine")
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("policy") / "policy.pt"
    actor = policies.build_actor({"proprio": (3, 24), "history": (30, 24)})
    policies.save(policies.ActorPolicy(actor, "nut", {}), path)
    return path


@pytest.fixture
def edited(saved, monkeypatch):
    """A policy whose task was edited since."""
    monkeypatch.setitem(TASKS, "nut", replace(NUT, action_scale=0.1))
    return saved


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_scale": 0.01}, r"an action scale \(rad\) of 0.04167, and here it is 0.01"),
        ({"substeps": 5}, r"a rate \(Hz\) of 20, and here it is 40"),
        ({"locked_joints": (5,)}, "the locked joints"),
        ({"hand": replace(XHAND_LEFT, name="other")}, "the hand xhand_left, and here it is other"),
    ],
)
def test_an_oracle_does_not_teach_a_student_whose_actions_mean_something_else(changes, message):
    config = student.StudentConfig(task="nut")
    env = SimpleNamespace(env=SimpleNamespace(task=make_task("nut", **changes)))
    with pytest.raises(ValueError, match=f"made for {message}"):
        student.agent(config).build(env, config)


def test_what_is_played_or_scored_on_every_shape_means_the_same(edited, tmp_path, capsys):
    words = r"an action scale \(rad\) of 0.04167, and here it is 0.1"
    policy = policies.load(edited)
    with pytest.raises(ValueError, match=words):
        Player(policy)
    with pytest.raises(ValueError, match=words):
        generalization.score_all(policy, generalization.Args(policy="", episodes=1))
    assert generalization.main(["--policy", str(edited), "--out", str(tmp_path / "out")]) == 2
    assert "and here it is 0.1" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.fixture
def hand(tmp_path):
    path = tmp_path / "hand.py"
    path.write_text(HAND)
    return path


@pytest.mark.parametrize("program", [evaluate, generalization, export])
def test_a_hand_that_is_not_the_policys_is_refused(program, saved, hand, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--policy", str(saved), "--hand", str(hand), *(["--out", str(out)] if program != evaluate else [])]
    assert program.main(arguments) == 2
    assert f"{saved} was trained with the hand 'xhand_left', not 'mine'" in capsys.readouterr().err
    assert not out.exists()


def test_a_hand_that_is_the_policys_is_taken(saved, hand, tmp_path):
    assert policies.load(saved, "xhand_left").task == "nut"
    policies.load_hand(str(hand))
    actor = policies.build_actor({"proprio": (3, 24), "history": (30, 24)})
    policies.save(policies.ActorPolicy(actor, "nut", {}, {"hand": "xhand_left"}), tmp_path / "policy.pt")
    assert policies.load_actor(tmp_path / "policy.pt", "xhand_left").task == "nut"
    with pytest.raises(ValueError, match="not 'mine'"):
        policies.load_actor(tmp_path / "policy.pt", str(hand))


def test_a_clone_is_refused_with_another_hand_too(hand, tmp_path, capsys):
    name = export.shipped_clones()[0]
    assert export.main(["--policy", name, "--hand", str(hand), "--out", str(tmp_path / "out")]) == 2
    assert f"{name} was trained with the hand 'xhand_left', not 'mine'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
