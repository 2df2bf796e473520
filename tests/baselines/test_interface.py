from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from baselines import evaluate, export, policies
from baselines.interface import FORM, check_interface, interface
from dexscrew_envs.tasks import NUT, SCREWDRIVER, TASKS, make_task
from real.skill import load_skill


def test_the_interface_of_the_nut_is_in_joint_order_and_plain_json():
    found = interface(NUT)
    assert json.loads(json.dumps(found)) == found
    assert (found["hand"], found["form"], found["scale_rad"]) == ("xhand_left", FORM, 0.04167)
    assert (found["rate_hz"], found["delay"]) == (20.0, 0)
    assert found["joints"] == list(NUT.hand.joints) and len(found["range_rad"]) == 12
    assert found["locked"] == ["pinky_1", "pinky_2", "ring_1", "ring_2"]
    assert found["range_rad"][9] == [0.0, 1.83] and found["range_rad"][1] == pytest.approx([0.0, 1.919])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_scale": 0.05}, r"an action scale \(rad\) of 0.04167, and here it is 0.05"),
        ({"locked_joints": (5, 6)}, r"the locked joints \(pinky_1, .*ring_2\), and here it is \(pinky_1, pinky_2\)"),
        ({"target_ranges": ()}, r"targets \(rad\) within .*\(0, 1.83\).*, and here it is .*\(0, 1.832\)"),
        ({"substeps": 5}, r"a rate \(Hz\) of 20, and here it is 40"),
        ({"proprio_delay": 1}, r"a delay of proprioception \(control steps\) of 0, and here it is 1"),
        ({"hand": "other"}, "the hand xhand_left, and here it is other"),
    ],
)
def test_what_differs_is_named_with_both_values(changes, message):
    task = make_task("nut", **{key: value for key, value in changes.items() if key != "hand"})
    if "hand" in changes:
        task = replace(task, hand=replace(NUT.hand, name="other"))
    check_interface(interface(NUT), NUT)
    with pytest.raises(ValueError, match=f"the policy was made for {message}"):
        check_interface(interface(NUT), task)


def test_another_number_of_joints_is_told_by_the_hand_and_order():
    made_for = {**interface(NUT), "joints": ["a", "b"]}
    with pytest.raises(ValueError, match=r"the joints in the order \(a, b\)"):
        check_interface(made_for, NUT)


def save(path, **fields):
    torch.manual_seed(0)
    actor = policies.build_actor({"proprio": (3, 24), "history": (30, 24)})
    policies.save(policies.ActorPolicy(actor, "nut", {}, fields), path)
    return str(path)


@pytest.mark.slow
def test_a_policy_of_another_scale_is_refused_by_the_robot_and_by_another_task(tmp_path, capsys):
    path = save(tmp_path / "p.pt", action_scale=0.03)
    with pytest.raises(ValueError, match=r"cannot run on the robot: .*scale \(rad\) of 0.03, and here it is 0.04167"):
        load_skill(path)
    arguments = ["--policy", path, "--episodes", "1", "--threads", "1", "--env.episode-steps", "2"]
    assert evaluate.main(arguments) == 0
    assert evaluate.main([*arguments, "--env.action-scale", "0.05"]) == 2
    assert "was made for an action scale (rad) of 0.03, and here it is 0.05" in capsys.readouterr().err


def test_a_task_that_was_edited_since_is_told_and_not_followed(tmp_path, monkeypatch):
    """What a policy's file says stands, whatever today's task says."""
    path = save(tmp_path / "p.pt")
    monkeypatch.setitem(TASKS, "nut", replace(NUT, action_scale=0.1))
    policy = policies.load(path)
    assert policy.interface["scale_rad"] == 0.04167
    with pytest.raises(ValueError, match=r"cannot run on the robot: .*0.04167, and here it is 0.1"):
        load_skill(path)
    pytest.importorskip("onnxscript")
    with pytest.raises(ValueError, match=r"0.04167, and here it is 0\.1"):
        export.export(policy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_both_tasks_of_the_robot_have_an_interface_of_their_own():
    with pytest.raises(ValueError, match="an action scale"):
        check_interface(interface(SCREWDRIVER), NUT)
