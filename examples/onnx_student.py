"""A student from its exported files alone: ONNX Runtime and NumPy, without torch and without this package.

`python -m baselines.export --policy nut-student --out nut-student`
`python examples/onnx_student.py nut-student`

What to feed the network, and what its output means, stands in contract.json. Here the hand is a stand-in whose joints
reach their targets at once; replace `Hand` by a driver.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


class Hand:
    """A stand-in for a hand: it is where it was told to be (rad)."""

    def __init__(self, start: np.ndarray) -> None:
        self.q = start.copy()

    def send(self, targets: np.ndarray) -> None:
        """Send joint targets (rad), in the order of the contract's joints."""
        self.q = targets.copy()


def main(folder: str = "nut-student", steps: int = 40) -> np.ndarray:
    """Let the student act for so many control steps; return the last joint targets (rad)."""
    contract = json.loads((Path(folder) / "contract.json").read_text())
    if any("pairs" not in entry for entry in contract["inputs"]):
        raise SystemExit(f"{folder} is no export of a student, which sees its joints and their targets only")
    session = onnxruntime.InferenceSession(str(Path(folder) / "policy.onnx"), providers=["CPUExecutionProvider"])
    joints = contract["joints"]
    lower, upper = np.array([joint["target_range_rad"] for joint in joints]).T
    step = np.array([joint["step_rad"] for joint in joints])
    targets = np.array([joint["start_rad"] for joint in joints])
    hand = Hand(targets)
    pair = np.concatenate([hand.q, targets]).astype(np.float32)
    pairs = np.tile(pair, (max(entry["pairs"] for entry in contract["inputs"]), 1))  # oldest first
    for _ in range(steps):
        inputs = {}
        for entry in contract["inputs"]:
            end = len(pairs) - entry["delay"]
            inputs[entry["name"]] = pairs[None, end - entry["pairs"] : end]
        (action,) = session.run(["action"], inputs)
        targets = np.clip(targets + step * np.clip(action[0], -1.0, 1.0), lower, upper)
        hand.send(targets)  # then wait 1 / contract["rate_hz"] seconds
        pairs = np.concatenate([pairs[1:], np.concatenate([hand.q, targets]).astype(np.float32)[None]])
    for joint, target in zip(joints, targets, strict=True):
        print(f"{joint['name']:12} {target:6.3f} rad")
    return targets


if __name__ == "__main__":
    main(*sys.argv[1:2])
