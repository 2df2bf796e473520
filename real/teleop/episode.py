"""One episode of assisted teleoperation: the operator steers the wrist, the skill moves the fingers, all is recorded.

A recorded row holds what was observed, then what was asked for and sent on it; the next row is observed a control
period later. See docs/dataset.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from baselines.data.header import Mark, Outcome
from real.env import DexScrewRealEnv, Observation
from real.robot import Vector
from real.safety import SafetyTrip
from real.teleop.finger_skill import Fingers, FingerSkill, Noise
from real.teleop.operator import Operator, Orders, Scene
from real.teleop.wrist import Wrist

Row = dict[str, Any]
SCENE_POSITION = "scene_qpos"
"""Field of a twin's recording: MuJoCo's positions, from which pictures of the episode are drawn again."""
TIME_IS_OVER = "time is over"
"""Reason of the outcome of an episode that took the longest time."""
_REST_READINGS = 8


class Watcher(Protocol):
    """Someone who looks on, such as the operator's page."""

    def show(self, step: Step) -> None:
        """Show what is now; must not wait."""


class Actor(Protocol):
    """Acts in place of operator and skill, who say meanwhile what they would have done."""

    def reset(self, env: DexScrewRealEnv) -> None:
        """Begin an episode on an environment that was just reset; raise ValueError where it does not fit."""

    def act(self, env: DexScrewRealEnv, observation: Observation) -> tuple[Vector, Vector] | None:
        """Return joint targets of the hand (J,) and of the arm (6,) (rad), or None to leave the step to them."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What there is to see after a control step, or while the robot waits for the operator."""

    scene: Scene
    orders: Orders
    observation: Observation
    info: Mapping[str, Any]
    limited: bool
    recording: bool
    message: str


@dataclass(frozen=True)
class Ending:
    """How an episode ended."""

    outcome: Outcome
    discard: bool
    steps: int


class Episode:
    """Runs episodes of one robot with one operator.

    Args:
        env: of the robot, with `action="full"` and all keys of the observation.
        operator: gives the orders.
        skill: moves the fingers.
        wrist: moves the arm.
        watcher: looks on, if somebody does.
        actor: acts in their place, if something does.
        paced: whether a simulation runs at the speed of the clock on the wall, as people need it.
    """

    def __init__(
        self,
        env: DexScrewRealEnv,
        operator: Operator,
        skill: FingerSkill,
        wrist: Wrist,
        *,
        watcher: Watcher | None = None,
        actor: Actor | None = None,
        paced: bool = False,
    ) -> None:
        self._env, self._operator, self._skill, self._wrist = env, operator, skill, wrist
        self._watcher, self._actor = watcher, actor
        self._paced = paced and not env.robot.real_time
        self._period = env.task.control_dt
        self.number, self.kept = 1, 0
        """Number of the episode, and episodes kept so far, for the operator to see."""

    def reset(self, seed: int, noise: Noise) -> None:
        """Make robot, skill and wrist ready.

        Raises:
            RobotError: the robot cannot be made ready; the message says why.
        """
        self._rng = np.random.default_rng([seed, 0xD1CE])
        self._observation, self._info = self._env.reset(seed=seed)
        if self._actor is not None:
            self._actor.reset(self._env)
        self._skill.reset(noise, self._rng)
        self._wrist.reset(self._env.safety.arm_target)
        self._jitter = np.zeros(3)
        self._steps, self._orders = 0, Orders()
        self._tick = time.monotonic()
        self.tactile_bias = self._observation["tactile"].copy()
        """(F, taxels, 3) counts of the taxels at rest."""

    def wait_for_operator(self) -> Orders:
        """Hold the robot until the operator wants something to move, or says something of the episode.

        A simulation stands still meanwhile, since nobody holds a driver for ever. Where the safety layer stops the
        robot meanwhile, whatever the operator wants comes back as the mark "next": `reset` must make it ready again.
        """
        trip = self._feel_rest()
        while True:
            orders = self._operator.orders(self._scene(False))
            message = f"{trip}: go on to make it ready again" if trip else orders.note or "ready"
            self._show(orders, limited=False, recording=False, message=message)
            if orders.mark or orders.moves_wrist or orders.skill or orders.hand != "hold":
                self._env.robot.wait(0.0)
                return Orders(mark="next") if trip else orders
            trip = self._idle() or trip

    def _feel_rest(self) -> str:
        """Take the taxels' counts at rest from some readings; return why the robot was stopped, or ""."""
        counts, trip = [], ""
        for _ in range(_REST_READINGS):
            self._env.robot.wait(self._period)
            trip = self._look() or trip
            counts.append(self._observation["tactile"])
        self.tactile_bias = np.median(counts, axis=0).astype(np.int16)
        return trip

    def _look(self) -> str:
        """Look at the robot anew; return why the safety layer stopped it just now, in words, or ""."""
        try:
            self._observation = self._env.look()
        except SafetyTrip as stopped:  # nothing of the session is lost by it
            self._info = {**self._info, "trip": stopped.trip.message}
            return stopped.trip.message
        return ""

    def run(self, record: Callable[[Row], None]) -> Ending:
        """Run until the episode ends or the operator ends it.

        Args:
            record: takes each row as soon as it is complete.
        """
        ended = ""
        while not ended:
            orders = self._operator.orders(self._scene(self._orders.skill))
            if orders.mark:
                return self._ending(orders)
            ended = self._step(orders, record)
            if self._paced:
                self._idle(look=False)
        self._orders = Orders()
        while True:  # the robot holds; the operator says what it was
            orders = self._operator.orders(self._scene(False, ended))
            if orders.mark:
                return self._ending(orders, ended)
            self._show(orders, limited=False, recording=False, message=f"{ended}: mark the episode")
            self._idle()

    def _step(self, orders: Orders, record: Callable[[Row], None]) -> str:
        """Take a control step; return why the episode is over, in words, or ""."""
        env = self._env
        held_hand, held_arm = env.safety.hand_target.copy(), env.safety.arm_target.copy()
        fingers = self._skill.act(self._observation, held_hand, on=orders.skill, pose=orders.hand)
        asked_arm = self._wrist.follow(orders, self._period).copy()
        row = self._row(orders, fingers, held_hand, held_arm, asked_arm)
        acted = None if self._actor is None else self._actor.act(env, self._observation)
        goal = np.concatenate(acted or (fingers.noisy, self._shaken(asked_arm)))
        after, _, terminated, truncated, now = env.step(goal)
        if self._actor is not None:  # the operator goes on from where the wrist was put
            self._wrist.reset(now["sent_arm"])
        if acted is not None:
            self._skill.overruled()
        limited = not np.allclose(np.concatenate([now["sent_hand"], now["sent_arm"]]), goal, rtol=0, atol=1e-9)
        row |= {"sent_hand": now["sent_hand"], "sent_arm": now["sent_arm"]}
        row["safety"] = 2 if now["trip"] else int(limited)
        record(row)
        self._observation, self._info, self._orders = after, now, orders
        self._steps += 1
        message = now["trip"] or self._wrist.note or orders.note
        self._show(orders, limited=limited, recording=True, message=message)
        if not terminated and not truncated:
            return ""
        return now["trip"] or now.get("lost") or ("finished" if terminated else TIME_IS_OVER)

    def _shaken(self, arm: np.ndarray) -> np.ndarray:
        """Return joint targets of the arm with the wrist's noise: it wanders slowly, as a hand does."""
        if not (scale := self._skill.noise.wrist):
            return arm
        keep = math.exp(-self._period / 0.5)
        self._jitter = keep * self._jitter + math.sqrt(1 - keep**2) * scale * self._rng.standard_normal(3)
        return self._wrist.beside(self._jitter.clip(-2 * scale, 2 * scale))

    def _row(
        self, orders: Orders, fingers: Fingers, held_hand: np.ndarray, held_arm: np.ndarray, asked_arm: np.ndarray
    ) -> Row:
        """Return the row of the step that begins, without what will be sent."""
        robot, seen = self._env.robot, self._observation
        measured = ("hand_q", "arm_q", "arm_qd", "tcp_pose", "tcp_force", "tactile", "age")
        row: Row = {key: seen[key] for key in measured}
        row |= {
            "time": self._env.reading.time, "resultant": self._env.reading.hand.resultant,
            "turns": self._info["rotations"],
            "held_hand": held_hand, "held_arm": held_arm, "asked_hand": fingers.asked, "asked_arm": asked_arm,
            "skill_action": fingers.action, "skill": int(orders.skill), "clutch": int(orders.moves_wrist),
        }  # fmt: skip
        state = robot.render_state()
        if state is not None:
            row[SCENE_POSITION] = state[1].qpos.copy()
        return row

    def _scene(self, skill: bool, ended: str = "") -> Scene:
        info = self._info
        turns = info["rotations"]
        return Scene(
            time=self._steps * self._period, wrist=self._observation["tcp_pose"], sight=self._env.robot.sight(),
            turns=None if math.isnan(turns) else turns, needed=info.get("turns_needed"),
            finished=bool(info.get("finished", False)), lost=info.get("lost", ""), trip=info["trip"], ended=ended,
            skill=skill, episode=self.number, kept=self.kept,
        )  # fmt: skip

    def _ending(self, orders: Orders, ended: str = "") -> Ending:
        info = self._info
        mark: Mark = "success" if orders.mark == "success" else "failure"
        if orders.mark == "next":  # what the robot knows of it counts
            mark = "success" if info.get("finished") else "failure" if ended else "none"
        if not ended:
            self._env.safety.release()
        turns = info["rotations"]
        outcome = Outcome(
            mark=mark, reason=ended or "ended by the operator", turns=None if math.isnan(turns) else float(turns),
            needed=info.get("turns_needed"), seconds=self._steps * self._period or None,
        )  # fmt: skip
        return Ending(outcome, orders.mark == "discard", self._steps)

    def _show(self, orders: Orders, *, limited: bool, recording: bool, message: str) -> None:
        if self._watcher is not None:
            self._watcher.show(
                Step(
                    scene=self._scene(orders.skill), orders=orders, observation=self._observation, info=self._info,
                    limited=limited, recording=recording, message=message,
                )
            )  # fmt: skip

    def _idle(self, *, look: bool = True) -> str:
        """Wait for the next tick of the clock on the wall; look anew at a robot that lives on meanwhile.

        Returns:
            Why the safety layer stopped the robot just now, in words, or "".
        """
        self._tick = max(self._tick + self._period, time.monotonic() - self._period)
        time.sleep(max(0.0, self._tick - time.monotonic()))
        return self._look() if look and self._env.robot.real_time else ""
