"""Acts with an exported policy, as somebody would who has no more than contract.json and policy.onnx."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime

Array = np.ndarray


class Driver:
    """Joint targets (N, 12) from joint positions (N, 12), by the contract and the network alone."""

    def __init__(self, folder: Path) -> None:
        self.contract = json.loads((folder / "contract.json").read_text())
        self.session = onnxruntime.InferenceSession(folder / "policy.onnx", providers=["CPUExecutionProvider"])
        joints = self.contract["joints"]
        self.start_pose = np.array([joint["start_rad"] for joint in joints])
        self.step_size = np.array([joint["step_rad"] for joint in joints])
        self.lower, self.upper = np.array([joint["target_range_rad"] for joint in joints]).T
        self.length = max(entry["pairs"] + entry["delay"] for entry in self.contract["inputs"])

    def start(self, positions: Array) -> None:
        self.targets = np.clip(positions, self.lower, self.upper)
        pair = np.concatenate([positions, self.targets], axis=1)
        self.pairs = np.repeat(pair[:, None], self.length, axis=1)

    def act(self) -> Array:
        inputs = {}
        for entry in self.contract["inputs"]:
            end = self.length - entry["delay"]
            inputs[entry["name"]] = self.pairs[:, end - entry["pairs"] : end].astype(entry["dtype"])
        output = self.contract["output"]
        (actions,) = self.session.run([output["name"]], inputs)
        moved = self.targets + self.step_size * np.clip(actions, *output["bounds"])
        self.targets = np.clip(moved, self.lower, self.upper)
        return self.targets

    def see(self, positions: Array) -> None:
        pair = np.concatenate([positions, self.targets], axis=1)
        self.pairs = np.concatenate([self.pairs[:, 1:], pair[:, None]], axis=1)
