from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from baselines import export, policies
from baselines.policies import ActorPolicy
from dexscrew_envs.tasks import JOINTS

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SHAPES = {"proprio": (3, 24), "history": (30, 24)}


def make_policy(shapes: dict[str, tuple[int, ...]]) -> ActorPolicy:
    torch.manual_seed(0)
    actor = policies.build_actor(shapes)
    actor.body.update_norms({key: 2 + torch.randn(50, *shape) for key, shape in shapes.items()})
    with torch.no_grad():
        actor.head.weight.mul_(5)  # so that some actions are clipped
    return ActorPolicy(actor, "nut", {"seed": 3})


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "student"
    policies.save(make_policy(SHAPES), folder.parent / "policy.pt")
    assert export.main(["--policy", str(folder.parent / "policy.pt"), "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("count", [1, 3, 64])
def test_both_formats_give_the_actions_of_the_policy_for_any_batch(exported, count):
    torch.manual_seed(count)
    seen = {key: 2 + 3 * torch.randn(count, *shape) for key, shape in SHAPES.items()}
    expected = make_policy(SHAPES).act(seen)
    assert (expected.abs() == 1).any() and (expected.abs() < 1).any()
    script = torch.jit.load(str(exported / "policy.ts"))(*seen.values())
    session = onnxruntime.InferenceSession(exported / "policy.onnx", providers=["CPUExecutionProvider"])
    (onnx,) = session.run(["action"], {key: value.numpy() for key, value in seen.items()})
    torch.testing.assert_close(script, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.from_numpy(onnx), expected, atol=1e-5, rtol=0)


def test_the_contract_names_what_goes_in_and_comes_out(exported):
    found = json.loads((exported / "contract.json").read_text())
    assert [entry["name"] for entry in found["inputs"]] == list(SHAPES)
    assert [entry["shape"] for entry in found["inputs"]] == [["batch", 3, 24], ["batch", 30, 24]]
    assert found["joints"] == list(JOINTS) and found["output"]["shape"] == ["batch", 12]
    assert found["rate_hz"] == 20 and found["card"] == {"seed": 3}
    assert found["locked_joints"] == ["pinky_1", "pinky_2", "ring_1", "ring_2"]
    assert {entry.name for entry in exported.iterdir()} == {"policy.ts", "policy.onnx", "contract.json"}


def test_a_policy_with_one_input_can_be_exported(tmp_path):
    differences = export.export(make_policy({"proprio": (3, 24)}), tmp_path)
    assert all(difference <= export.TOLERANCE for difference in differences.values())


def test_an_export_that_acts_differently_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="TorchScript export differ"):
        export.export(make_policy({"proprio": (3, 24)}), tmp_path)


def test_an_unknown_policy_is_an_error(tmp_path, capsys):
    assert export.main(["--policy", "nut-studnet", "--out", str(tmp_path / "out")]) == 2
    assert "unknown policy 'nut-studnet'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
