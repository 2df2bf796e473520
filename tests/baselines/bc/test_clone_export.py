"""A clone's export acts as the clone does, for one who has no more than contract.json and policy.onnx."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from clone_data import record_waves

from baselines import export
from baselines.bc.contract import contract
from baselines.bc.design import Design
from baselines.bc.normalisation import fit
from baselines.bc.policy import ClonePolicy, build, load, make_interface, save
from baselines.bc.windows import load_episodes, make_samples
from dexscrew_envs.tasks import make_task

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.slow

DESIGN = Design(history=6, touch_history=3, horizon=4, execute=2, encoder=(16, 8), widths=(16,))


def make(folder, design):
    record_waves(folder / "demos")
    episodes = load_episodes([folder / "demos"], design, 0.7)
    torch.manual_seed(0)
    interface = make_interface(design, episodes[0].header, {k: f.shape for k, f in episodes[0].fields.items()})
    network = build(design, interface)
    fit(network, make_samples(episodes, design), design, 2)
    return ClonePolicy(network, interface, {"seed": 0}), episodes[0]


class Driver:
    """Targets of hand and arm by the contract alone."""

    def __init__(self, folder):
        self.contract = json.loads((folder / "contract.json").read_text())
        self.session = onnxruntime.InferenceSession(folder / "policy.onnx", providers=["CPUExecutionProvider"])
        self.rests = [name for name in ("tactile", "resultant") if f"of `{name}`" in " ".join(self.contract["start"])]
        self.past, self.chunk = [], []

    def act(self, row):
        self.past.append(row)
        if self.rests and len(self.past) <= 8:  # as `start` says
            return np.concatenate([row["held_hand"], row["held_arm"]])
        if not self.chunk:
            inputs = {}
            for entry in self.contract["inputs"]:
                if entry["steps"]:
                    rows = self.past[-entry["steps"] :]
                    rows = [rows[0]] * (entry["steps"] - len(rows)) + rows
                    value = np.stack([row[entry["name"]] for row in rows])
                else:
                    value = {
                        "start_arm": lambda: self.past[0]["arm_q"],
                        "resting": lambda: np.median([row[self.rests[0]] for row in self.past[:8]], axis=0),
                    }[entry["name"]]()
                inputs[entry["name"]] = value[None].astype(entry["dtype"])
            (targets,) = self.session.run([self.contract["output"]["name"]], inputs)
            assert targets.shape == (1, *self.contract["output"]["shape"][1:])
            self.chunk = list(targets[0, : self.contract["execute"]])
        return self.chunk.pop(0)


@pytest.mark.parametrize(
    "changes",
    [{}, {"tactile": False}, {"touch": "contact", "touch_memory": 1}, {"touch": "pressure"},
     {"targets": "absolute", "held": False, "touch": "taxels", "shared_encoder": True, "memory": 0},
     {"decoder": "hourglass", "widths": (16, 32)}],  # a norm over the four numbers of narrower ones rounds coarsely
)  # fmt: skip
def test_contract_and_onnx_alone_act_as_the_clone(tmp_path, changes):
    design = replace(DESIGN, **changes)
    policy, episode = make(tmp_path, design)
    save(policy, tmp_path / "run" / "policy.pt")
    assert export.main(["--policy", str(tmp_path / "run" / "policy.pt"), "--out", str(tmp_path / "out")]) == 0
    driver = Driver(tmp_path / "out")
    policy.reset()
    for k in range(40):
        row = {key: np.asarray(episode[key][k]) for key in design.fields}
        np.testing.assert_allclose(driver.act(row), np.concatenate(policy.act(row)), atol=2e-5)
    assert driver.contract["task"] == "nut" and driver.contract["joints"] == ["a", "b", "c"]
    assert "start_rad" not in driver.contract  # not the task's hand
    assert (tmp_path / "out" / "policy.ts").stat().st_size > 1000


def test_the_contract_says_where_the_hand_starts():
    found = contract(load("nut-bc"))
    task = make_task("nut")
    assert found["joints"] == list(task.hand.joints)
    assert found["start_rad"] == pytest.approx(list(task.start_pose), abs=1e-6)
    assert all(low <= q <= high for q, (low, high) in zip(found["start_rad"], found["target_range_rad"], strict=True))
