"""The finger skill as an operator uses it: switched on and off, with noise on purpose where a data set needs it.

A clone of clean demonstrations sees nothing but what its teacher never got wrong. So a share of the episodes has noise
on the skill's action; what is recorded as the label is the action without it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch

from baselines import policies
from dexscrew_envs.mdp.observations import HISTORY_STEPS, PROPRIO_STEPS
from real.env import DexScrewRealEnv, Observation
from real.hand_poses import inward, opened, squeezed
from real.robot import Vector

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
        press: how much further than the policy wants the fingers close while it is on (rad). The policy does not see
            it, or it would ease the grip again.
    """

    def __init__(
        self, policy: policies.Policy, env: DexScrewRealEnv, rng: np.random.Generator, press: float = 0.0
    ) -> None:
        self._policy, self._env, self._rng = policy, env, rng
        self._press = press * inward(env.task.hand)
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
        self._was_pressed = deque([False] * HISTORY_STEPS, HISTORY_STEPS)
        """Whether the targets of each step in the observation's history have the press in them, the oldest first."""

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
        pressed = self._was_pressed[-1]
        batch = self._without_press(observation) if on else {}
        self._was_pressed.append(on or (pressed and pose == "hold"))
        if not on:
            reach = POSE_SPEED * self._env.task.control_dt
            asked = held if pose == "hold" else held + np.clip(self._poses[pose] - held, -reach, reach)
            return Fingers(asked.copy(), asked.copy(), nothing)
        action = self._policy.act(batch)[0].numpy().astype(float)
        noisy = action
        if self.noise.action:
            noisy = action + self.noise.action * self._rng.standard_normal(len(action))
        added = pressed * self._press
        asked, shaken = (self._env.skill_targets(wanted, added) + self._press for wanted in (action, noisy))
        return Fingers(asked.clip(*self._limits), shaken.clip(*self._limits), action)

    def _without_press(self, observation: Observation) -> dict[str, torch.Tensor]:
        """Return what the policy observes: targets as if nobody had pressed."""
        seen = {key: torch.from_numpy(observation[key])[None] for key in self._policy.observe}
        if not self._press.any():
            return seen
        pressed = torch.from_numpy(np.outer(self._was_pressed, self._press).astype(np.float32))
        end = HISTORY_STEPS - self._env.task.proprio_delay
        for key, rows in (("history", slice(None)), ("proprio", slice(end - PROPRIO_STEPS, end))):
            if key in seen:
                seen[key] = seen[key].clone()
                seen[key][..., len(self._press) :] -= pressed[rows]
        return seen
