"""Watches a trial: keeps what the statistics need of each step and, if wanted, a row of a recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.data.contact import touching
from baselines.data.header import Header
from real.autonomous import RobotPolicy
from real.env import DexScrewRealEnv, Observation
from real.robot import TAXELS, Vector
from real.safety import NEWTON_PER_COUNT
from real.teleop.episode import SCENE_POSITION, Row

_MEASURED = ("hand_q", "arm_q", "arm_qd", "tcp_pose", "tcp_force", "tactile", "age")


class Observer:
    """Stands between a policy and a trial; its `watch` sees what came of each step.

    Args:
        policy: acts.
        record: takes each row as soon as it is complete; None records nothing.
        begin: called with the bias before the first step.
    """

    def __init__(
        self,
        policy: RobotPolicy,
        record: Callable[[Row], None] | None = None,
        begin: Callable[[NDArray[np.int16]], None] = lambda bias: None,
    ) -> None:
        self._policy, self._record, self._begin = policy, record, begin
        self.name, self.task = policy.name, policy.task
        self.bias: NDArray[np.int16]
        """(fingers, taxels, 3) counts of the taxels as the trial begins."""
        self._turns: list[float] = []
        self._forces: list[Vector] = []
        self._row: Row | None = None  # of the step that has begun

    @property
    def turns(self) -> NDArray[np.float64]:
        """(steps,) turns of the object after each step; NaN where nothing measures them."""
        return np.array(self._turns, float)

    @property
    def touches(self) -> NDArray[np.bool_]:
        """(steps, 2) whether the thumb and the finger opposite touched."""
        return touching(np.array(self._forces, float).reshape(-1, 2))

    def reset(self, env: DexScrewRealEnv) -> None:
        """See `RobotPolicy.reset`."""
        self._policy.reset(env)
        self._turns, self._forces, self._row = [], [], None
        self.bias = env.reading.hand.tactile.copy()
        self._now = 0.0 if env.reading.progress is not None else np.nan
        self._begin(self.bias)

    def act(self, env: DexScrewRealEnv, observation: Observation) -> tuple[Vector, Vector]:
        """See `RobotPolicy.act`."""
        hand, arm = self._policy.act(env, observation)
        if self._record is not None:
            self._row = self._begin_row(env, observation, hand, arm)
        return hand, arm

    def watch(self, observation: Observation, info: Mapping[str, Any]) -> None:
        """See `real.autonomous.Watch`."""
        self._now = float(info["rotations"])
        self._turns.append(self._now)
        self._forces.append(info["fingertip_force"][:2])
        if not self.bias.any():  # a twin's first tactile frame comes after its reset
            self.bias = observation["tactile"].copy()
        if self._record is not None and self._row is not None:
            row = self._row
            sent = np.concatenate([info["sent_hand"], info["sent_arm"]])
            asked = np.concatenate([row["asked_hand"], row["asked_arm"]])
            row |= {"sent_hand": info["sent_hand"], "sent_arm": info["sent_arm"]}
            row["safety"] = 2 if info["trip"] else int(not np.allclose(sent, asked, rtol=0, atol=1e-9))
            self._record(row)
            self._row = None

    def _begin_row(self, env: DexScrewRealEnv, observation: Observation, hand: Vector, arm: Vector) -> Row:
        row: Row = {key: observation[key] for key in _MEASURED}
        row |= {
            "time": env.reading.time, "resultant": env.reading.hand.resultant, "turns": self._now,
            "held_hand": env.safety.hand_target.copy(), "held_arm": env.safety.arm_target.copy(),
            "asked_hand": np.array(hand, float), "asked_arm": np.array(arm, float),
            "skill_action": np.full(len(hand), np.nan), "skill": 0, "clutch": 0,
        }  # fmt: skip
        if (state := env.robot.render_state()) is not None:
            row[SCENE_POSITION] = state[1].qpos.copy()
        return row


def trial_header(env: DexScrewRealEnv, robot: str, stratum: str, label: str, digest: str) -> Header:
    """Return what the recordings of a policy share; shape, seed and bias are set for each trial."""
    hand = env.task.hand
    return Header(
        task=env.task.name, shape="", hand=hand.name, joints=hand.joints, fingers=hand.finger_names, robot=robot,
        period=env.task.control_dt, tactile_bias=np.zeros((len(hand.fingers), TAXELS, 3), np.int16),
        tactile_scale=NEWTON_PER_COUNT, stratum=stratum, policy=label, policy_sha256=digest,
    )  # fmt: skip
