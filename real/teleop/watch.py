"""Shows an episode on the operator's page while it runs."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from real.env import DexScrewRealEnv
from real.robot import Vector
from real.safety import SafetyLimits
from real.teleop.episode import Step
from real.teleop.web.state import State
from real.view import TaxelRest

PICTURE_PERIOD = 0.1
"""Shortest time between two pictures (s)."""
DRAWING_SHARE = 0.25
"""Largest share of the time that goes into drawing: without a graphics card a picture takes longer than a step."""
_QUALITY = 80


class PageWatcher:
    """Gives the page a state in every control step, and a picture now and then.

    Args:
        env: of the robot; one that draws gives pictures.
        publish: takes a state and a picture, and does not wait.
        names: of task, shape, operator, robot and policy, as the page shows them.
    """

    def __init__(
        self, env: DexScrewRealEnv, publish: Callable[[State, bytes | None], None], names: dict[str, str]
    ) -> None:
        self._env, self._publish, self._names = env, publish, names
        self._rest, self._episode = TaxelRest(), 0
        self._next_picture = 0.0

    def show(self, step: Step) -> None:
        """See `Watcher.show`."""
        if step.scene.episode != self._episode:
            self._rest, self._episode = TaxelRest(), step.scene.episode
        info, scene = step.info, step.scene
        state = physical_state(
            step.observation["tcp_pose"], step.observation["tcp_force"], info["fingertip_force"], self._env.limits
        )  # fmt: skip
        state |= State(
            tactile=self._rest.above(step.observation["tactile"], scene.time).clip(0, 255).astype(np.uint8),
            time=scene.time, turns=scene.turns, needed=scene.needed, progress=progress(scene.turns, scene.needed),
            period=float(info["period"]), jitter=float(info["jitter"]), age=step.observation["age"],
            skill=step.orders.skill, clutch=step.orders.moves_wrist,
            safety={"trip": info["trip"], "limited": step.limited}, recording=step.recording,
            episode=scene.episode, kept=scene.kept, message=step.message,
            fingers=list(self._env.task.hand.finger_names),
        )  # fmt: skip
        state.update(self._names)  # type: ignore[typeddict-item]
        self._publish(state, self._picture())

    def _picture(self) -> bytes | None:
        """Return a picture if it is time for one, and the robot can be drawn."""
        began = time.monotonic()
        if began < self._next_picture or (frame := self._env.render()) is None:
            return None
        picture = jpeg(frame)
        now = time.monotonic()
        self._next_picture = now + max(PICTURE_PERIOD, (now - began) / DRAWING_SHARE)
        return picture


def physical_state(pose: Vector, force: Vector, fingertips: Vector, limits: SafetyLimits) -> State:
    """Return the part of the page's state that is about the wrist and forces.

    Args:
        pose: (6,) of the flange (m, rad).
        force: (6,) at the flange (N, N m).
        fingertips: (F,) forces on them (N).
        limits: at which the robot stops.
    """
    return State(
        tcp_pose=np.asarray(pose, float), tcp_force=np.asarray(force, float),
        fingertip_force=np.asarray(fingertips, float),
        limits={
            "wrist_force": limits.wrist_force, "wrist_torque": limits.wrist_torque,
            "fingertip_force": limits.fingertip_force,
        },
    )  # fmt: skip


def progress(turns: float | None, needed: float | None) -> float | None:
    """Return the share of the task that is done, 0 to 1, or None where that is not known."""
    if turns is None or not needed or not math.isfinite(turns):
        return None
    return min(max(turns / needed, 0.0), 1.0)


def jpeg(frame: np.ndarray) -> bytes:
    """Return a frame (height, width, 3), uint8, as the bytes of a JPEG file."""
    from PIL import Image  # the page is optional

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def names(**given: Any) -> dict[str, str]:
    """Return names as the page shows them, without those that are empty."""
    return {name: str(value) for name, value in given.items() if value}
