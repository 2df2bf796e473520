"""The finger skill as an operator uses it: switched on and off, with noise on purpose where a data set needs it.

A clone of clean demonstrations sees nothing but what its teacher never got wrong. So a share of the episodes has noise
on the skill's action; what is recorded as the label is the action without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from baselines import policies
from real.env import DexScrewRealEnv, Observation
from real.hand_poses import opened, squeezed
from real.robot import Vector
from real.safety import fingertip_forces
from real.teleop.grip import Grip

POSE_SPEED = 1.5
"""Speed at which the fingers go to a pose of the operator's (rad/s)."""


@dataclass(frozen=True)
class Noise:
    """Noise on purpose of one episode.

    Raises:
        ValueError: a value is negative, or not finite.
    """

    action: float = 0.0
    """Standard deviation of what is added to each joint's action, which is between -1 and 1."""
    wrist: float = 0.0
    """Standard deviation of what is added to each coordinate of the wrist (m)."""

    def __post_init__(self) -> None:
        for name in ("action", "wrist"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a number that is finite and not negative, got {value!r}")


LEVELS = ((1 / 2, Noise()), (1 / 3, Noise(0.3, 0.001)), (1 / 6, Noise(0.6, 0.001)))
"""Shares of episodes, and their noise."""


def draw_noise(seed: int, *, noisy: bool = True) -> Noise:
    """Return the noise of the episode of a seed, drawn from `LEVELS`, or none."""
    if not noisy:
        return Noise()
    rng = np.random.default_rng([seed, 0x5EED])
    return LEVELS[int(rng.choice(len(LEVELS), p=[share for share, _ in LEVELS]))][1]


@dataclass(frozen=True)
class Fingers:
    """What the fingers are asked for in a control step."""

    asked: Vector
    """(J,) joint targets without noise (rad)."""
    noisy: Vector
    """(J,) joint targets with noise (rad)."""
    action: Vector
    """(J,) the skill's action without noise, or NaN where it is off."""


class FingerSkill:
    """Moves the fingers as the operator orders: by the policy, to a pose, or not at all.

    Args:
        policy: what acts while the skill is on.
        env: of the robot, with `action="full"`.
        rng: draws the noise.
        press: how much further than the policy wants the fingers close while it is on (rad); see `Grip`.
    """

    def __init__(
        self, policy: policies.Policy, env: DexScrewRealEnv, rng: np.random.Generator, press: float = 0.0
    ) -> None:
        self._policy, self._env, self._rng = policy, env, rng
        self._grip = Grip(env.task.hand, press)
        self.noise = Noise()
        """Of this episode."""
        lower, upper = self._limits = np.array(env.limits.hand_lower), np.array(env.limits.hand_upper)
        grasp = np.array(env.task.start_pose, float)
        hand = env.task.hand
        poses = {"grasp": grasp, "squeeze": squeezed(hand, grasp), "release": opened(hand, grasp)}
        self._poses = {name: pose.clip(lower, upper) for name, pose in poses.items()}
        self.reset(self.noise, rng)

    def reset(self, noise: Noise, rng: np.random.Generator) -> None:
        """Begin an episode with the skill off."""
        self.noise, self._rng, self._was_on = noise, rng, False
        self._grip.reset()

    def act(self, observation: Observation, held: Vector, *, on: bool, pose: str) -> Fingers:
        """Return what the fingers are asked for.

        Args:
            observation: of the environment.
            held: (J,) targets that were sent last (rad).
            on: whether the skill runs.
            pose: what the fingers do if not: "hold", "grasp", "squeeze" or "release".
        """
        nothing = np.full(len(held), np.nan)
        if on and not self._was_on:
            self._policy.reset()
        self._was_on = on
        batch = self._observed(observation) if on else {}
        own = held - (added := self._grip.added)
        forces = fingertip_forces(self._env.reading.hand)[: len(self._env.task.hand.fingers)]
        adds = self._grip.step(forces, on=on, pose=pose)
        if not on:
            asked = held.copy()
            if pose != "hold":
                reach = POSE_SPEED * self._env.task.control_dt
                own = own + np.clip(self._poses[pose] - own, -reach, reach)
                asked = self._added_to(own, adds)
            return Fingers(asked, asked.copy(), nothing)
        action = self._policy.act(batch)[0].numpy().astype(float)
        noisy = action
        if self.noise.action:
            noisy = action + self.noise.action * self._rng.standard_normal(len(action))
        asked = self._added_to(self._env.skill_targets(action, added), adds)
        return Fingers(asked, self._added_to(self._env.skill_targets(noisy, added), adds), action)

    def overruled(self) -> None:
        """Say that something else has moved the fingers in the step that `act` was called for."""
        self._grip.forget()

    def _added_to(self, own: Vector, adds: Vector) -> Vector:
        """Return joint targets (J,) with the grip, of those without (J,), and note what of it is left (rad)."""
        targets = self._grip.unwound(own + adds, self._env.reading.hand.q).clip(*self._limits)
        self._grip.correct(targets - own)
        return targets

    def _observed(self, observation: Observation) -> dict[str, torch.Tensor]:
        """Return what the policy observes: targets as if the grip were its own."""
        delay = self._env.task.proprio_delay
        seen = {key: observation[key] for key in self._policy.observe}
        changed = {key: self._grip.without(key, seen[key], delay) for key in ("proprio", "history") if key in seen}
        return {key: torch.from_numpy(value)[None] for key, value in (seen | changed).items()}
