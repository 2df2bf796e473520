"""Demonstrations that can be learned: a target that follows a hidden wave, on a small hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from baselines.data.header import Header, Outcome
from baselines.data.schema import step_fields
from baselines.data.writer import Recorder

JOINTS, FINGERS, TAXELS, PERIOD = ("a", "b", "c"), ("thumb", "index"), 10, 0.05
FIELDS = step_fields(len(JOINTS), len(FINGERS), taxels=TAXELS)

HEADER = Header(
    task="nut", shape="square", hand="small", joints=JOINTS, fingers=FINGERS, robot="twin", period=PERIOD,
    tactile_bias=np.zeros((len(FINGERS), TAXELS, 3), np.int16),
)  # fmt: skip

STILL = 1
"""Joint that never moves."""
QUIET = 12
"""Steps before anything moves."""


def record_waves(folder, episodes=4, steps=80, *, seed=0, turns=4.0, fields=FIELDS, noise=0.0, **changes) -> None:
    """Record episodes whose hand targets circle, and whose arm goes down a little at each step."""
    rng = np.random.default_rng(seed)
    with Recorder(folder, replace(HEADER, **changes), fields) as recorder:
        for k in range(episodes):
            recorder.begin(seed=seed + k, extras=changes.get("extras", {}) | {"noise": {"action": 0.0, "wrist": noise}})
            for row in waves(steps, rng, fields, noise):
                recorder.append(row)
            recorder.finish(Outcome(mark="success", turns=turns, needed=4.0))


def waves(steps, rng, fields=FIELDS, noise=0.0):
    """Give the rows of an episode."""
    phase, bias = rng.uniform(0, 2 * np.pi), rng.integers(-9, 9, (len(FINGERS), TAXELS, 3))
    hand, arm, intended = np.zeros(len(JOINTS)), np.full(6, 0.5), np.full(6, 0.5)
    for number in range(steps):
        row = {name: np.zeros(field.shape, field.dtype) for name, field in fields.items()}
        moving = number >= QUIET
        asked = hand + 0.05 * moving * np.sin(phase + 0.3 * number + np.arange(len(JOINTS)))
        asked[STILL] = hand[STILL]
        asked_arm = intended - 0.001 * moving
        row |= {"time": number * PERIOD, "hand_q": hand, "arm_q": arm, "held_hand": hand, "held_arm": arm}
        row |= {"asked_hand": asked, "asked_arm": asked_arm, "skill": int(moving)}
        hand, intended = asked, asked_arm
        arm = asked_arm + noise * rng.standard_normal(6)
        row |= {"sent_hand": hand, "sent_arm": arm}
        if number:
            row["tactile"] = bias.astype(np.int16)
        yield {name: value for name, value in row.items() if name in fields}
