"""From a command line to what an episode needs: robot, skill, wrist, and the folder that it is recorded into."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from baselines import policies
from baselines.data.header import Header
from baselines.data.schema import Field, step_fields
from dexscrew_envs.hands.hand import Hand
from real.addresses import NO_ADDRESSES, Addresses
from real.env import DexScrewRealEnv
from real.robot import TAXELS, Vector
from real.safety import NEWTON_PER_COUNT
from real.skill import load_skill
from real.teleop.episode import SCENE_POSITION, Actor, Episode, Watcher
from real.teleop.finger_skill import FingerSkill, Noise
from real.teleop.operator import Operator
from real.teleop.wrist import Wrist

GRIP_POINT = (-0.02, -0.1, 0.117)
"""Point between thumb and index finger in the tasks' start poses, in the flange's frame (m), as the twin mounts the
hand: that of either task within 7 mm."""
EPISODE_SECONDS = 600.0
"""Longest time of an episode (s). Nobody scores it, so it is longer than a trial."""

PRESS_LIMIT = 0.2
"""Largest `press` (rad): with 0.15 the tutor hardly turned a square (docs/teleoperation.md)."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is the same for all episodes of a session.

    Raises:
        ValueError: `press` is not possible.
    """

    task: str
    policy: str
    """Name or path of the finger skill."""
    robot: Literal["twin", "config"] = "twin"
    shape: str | None = None
    stratum: str = "nominal"
    addresses: Addresses = NO_ADDRESSES
    seconds: float | None = None
    """Longest time of an episode (s); None takes `EPISODE_SECONDS`."""
    above: float = 0.0
    """How far above the object the open hand begins on a twin (m); 0 begins at the object."""
    room_yaw: float = 0.0
    press: float = 0.0
    """How much further than the skill wants the fingers close (rad); see `Grip`."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.press <= PRESS_LIMIT:
            raise ValueError(f"press must be between 0 and {PRESS_LIMIT:g} rad, got {self.press!r}")

    def robot_config(self) -> Any:
        """Return the configuration of the robot.

        Raises:
            ValueError: an address is missing or not needed, or nobody says which shape stands before the robot.
        """
        if self.robot == "config":
            self.addresses.check_both()
            if self.above:
                raise ValueError("--above: only on a twin in this process; a robot begins where it stands")
            if self.shape is None:
                raise ValueError("--robot config needs --shape: nobody but you knows what stands before the robot")
            from real.hardware.robot import RobotConfig

            return RobotConfig(**vars(self.addresses))
        if given := self.addresses.options():
            raise ValueError(f"{', '.join(given)}: only with --robot config; a twin in this process has no address")
        from real.twin.robot import TwinConfig

        return TwinConfig(stratum=self.stratum, above=self.above)

    def make_env(self, *, pictures: bool = False) -> DexScrewRealEnv:
        """Return the environment of the robot, connected.

        Raises:
            ValueError: an address is missing or not needed, or shape or stratum is unknown.
            RobotError: the robot cannot be reached.
        """
        return DexScrewRealEnv(
            self.task, robot=self.robot_config(), shape=self.shape, action="full",
            episode_steps=self.steps, render_mode="rgb_array" if pictures else None,
        )  # fmt: skip

    def make_episode(
        self, env: DexScrewRealEnv, operator: Operator, watcher: Watcher | None = None, *, actor: Actor | None = None,
        paced: bool = False,
    ) -> Episode:  # fmt: skip
        """Return what runs episodes on an environment that was reset once, so that the robot has a pose."""
        skill = FingerSkill(load_skill(self.policy), env, np.random.default_rng(0), self.press)
        wrist = Wrist(np.array(env.limits.workspace), np.array(GRIP_POINT), self.room_yaw)
        return Episode(env, operator, skill, wrist, watcher=watcher, actor=actor, paced=paced)

    def header(self, env: DexScrewRealEnv, operator: str) -> Header:
        """Return the header of the data set's episodes, as far as they share it."""
        hand: Hand = env.task.hand
        return Header(
            task=self.task, shape=self.object_shape, hand=hand.name, joints=hand.joints, fingers=hand.finger_names,
            robot=self.robot, period=env.task.control_dt,
            tactile_bias=np.zeros((len(hand.fingers), TAXELS, 3), np.int16), tactile_scale=NEWTON_PER_COUNT,
            stratum=self.stratum if self.robot == "twin" else "", operator=operator,
            policy=policies.without_paths(self.policy), policy_sha256=policy_digest(self.policy),
        )  # fmt: skip

    @property
    def extras(self) -> dict[str, float]:
        """What an episode's header says of the setup besides, where it is not zero."""
        return {name: value for name, value in (("above", self.above), ("press", self.press)) if value}

    @property
    def steps(self) -> int:
        """Largest number of control steps of an episode."""
        return max(1, round(20 * (EPISODE_SECONDS if self.seconds is None else self.seconds)))

    @property
    def object_shape(self) -> str:
        """The shape of the object: the one given, or the task's first."""
        if self.shape is not None:
            return self.shape
        from real.twin.plant import SHAPES

        return SHAPES[self.task][0]


def recorded_fields(env: DexScrewRealEnv) -> dict[str, Field]:
    """Return the fields of a step, with the positions of the scene where there is one to draw."""
    hand = env.task.hand
    state = env.robot.render_state()
    extra = {}
    if state is not None:
        size = (int(state[0].nq),)
        extra[SCENE_POSITION] = Field("float32", size, "m, rad", "positions of the twin's scene, to draw it again")
    return step_fields(len(hand.joints), len(hand.fingers), taxels=TAXELS, extra=extra)


def episode_header(
    seed: int | None, noise: Noise, bias: Vector, extras: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Return what an episode's header has of its own; a robot's has no seed, which would draw a twin."""
    return {"seed": seed, "tactile_bias": bias, "extras": {"noise": asdict(noise), **extras}}


def policy_digest(policy: str) -> str:
    """Return the SHA-256 of a policy's file, in hexadecimal, by its path or its name among the shipped ones."""
    path = Path(policy)
    if policy in policies.shipped():
        path = Path(policies.__file__).parent / "checkpoints" / f"{policy}.pt"
    return hashlib.sha256(path.read_bytes()).hexdigest()
