"""The robot as a Gymnasium environment: the simplified tasks' interface, on hardware or on the digital twin."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.spaces import Box, MultiBinary

from dexscrew_envs import arguments
from dexscrew_envs.mdp.observations import HISTORY_STEPS, MEASURED, PROPRIO_STEPS
from dexscrew_envs.rendering import FrameRenderer, check_size
from dexscrew_envs.tasks import TASKS, Task, make_task
from real.robot import ControlGains, Reading, Robot, RobotError, Vector
from real.safety import SafetyLayer, SafetyLimits, SafetyTrip, fingertip_forces

Observation = dict[str, np.ndarray]
ALL_OBSERVE = (
    *MEASURED, "hand_q", "arm_q", "arm_qd", "tcp_pose", "tcp_force", "tactile", "age", "skill_active",
)  # fmt: skip
_START_TIMEOUT = 5.0
_START_TOLERANCE = 0.4  # the start pose presses fingertips against the object by up to 0.3 rad
_MAX_AGE = 3600.0
_METHODS = (
    "check_task", "connect", "start_trial", "read", "command", "wait", "sight", "render_state", "stop",
    "recover", "close",
)  # fmt: skip
"""Of a `Robot`."""


class DexScrewRealEnv(gymnasium.Env[Observation, np.ndarray]):
    """A UR5e with an XHand, or their twin, that fastens one nut or screw.

    **Observation**, a dict of arrays; vectors of the hand are in policy order:

    - `proprio` (3, 24), `history` (30, 24), float32: pairs of joint positions (12) and targets (12) of the hand, oldest
      first (rad), exactly as in the simplified task;
    - `hand_q` (12,), `arm_q` (6,), `arm_qd` (6,), float64: measured joint positions (rad) and velocities (rad/s);
    - `tcp_pose` (6,), float64: pose of the flange in the arm's base frame (m, rotation vector);
    - `tcp_force` (6,), float64: force and torque at the flange, in the base frame (N, N m);
    - `tactile` (5, 120, 3), int16: raw counts of the taxels, fingertips in the order of `FINGERS`;
    - `age` (3,), float64: age of the readings of arm, hand joints and taxels (s);
    - `skill_active` (1,), int8: whether the finger skill moves the hand; `env.unwrapped.skill_active` sets it.

    **Action**: with `action="hand"`, float32 (12,) between -1 and 1, the skill's: a joint's target moves by the task's
    `action_scale` times it, and the arm holds still. With `action="full"`, float64 (18,) joint targets (rad), twelve of
    the hand, then six of the arm. All pass the safety layer.

    **Reward**: turns of the nut or screw in this step where they are known, which is on a twin, else 0.

    **Infos**: `sent_hand` (12,) and `sent_arm` (6,), the targets that were really sent (rad); `period` and `jitter`,
    the measured duration of the step and its difference from 50 ms (s); `rotations`, turns since the episode began, or
    NaN where nothing measures them; `fingertip_force` (5,), the resultants that the safety layer checks (N), in the
    order of `FINGERS`; on a twin `turns_needed`, `finished`, `lost`, a reason in words or "", and `released`, when the
    person who holds a driver at the start let go (s), or None; `trip`, why the safety layer stopped the robot, or "".

    An episode terminates when the task is finished or lost, as far as that is known, and when the safety layer trips;
    `reset` then begins anew, and on hardware recovers from a protective stop. It moves the hand, not the arm, to the
    task's start pose.

    Args:
        task: "nut" or "screwdriver".
        robot: "twin" for a twin in this process, such as "twin:hard" for one of another stratum, a `TwinConfig` for one
            with other settings, a `RobotConfig` for hardware or a twin's server, or a `Robot`.
        shape: shape of the nut or handle, by default the task's first; a twin in this process simulates it.
        action: "hand" or "full".
        observe: the keys of the observation.
        limits: of the safety layer.
        episode_steps: time limit in control steps; it truncates.
        render_mode: None or "rgb_array", which needs a twin in this process.
        render_size: height and width of a frame.

    Raises:
        ValueError: an argument has a value that is not known or not possible.
        TypeError: `robot` or `limits` is nothing of the above.
        RobotError: the robot cannot be reached.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        task: str = "nut",
        *,
        robot: Any = "twin",
        shape: str | None = None,
        action: Literal["hand", "full"] = "hand",
        observe: Sequence[str] = ALL_OBSERVE,
        limits: SafetyLimits | None = None,
        episode_steps: int = 8000,
        render_mode: str | None = None,
        render_size: tuple[int, int] = (480, 640),
    ) -> None:
        known = [name for name, other in TASKS.items() if other.on_robot]
        if not isinstance(task, str) or task not in known:
            simulated = isinstance(task, str) and task in TASKS
            hint = "; that task is one of simulation only, since its `on_robot` is False" if simulated else ""
            raise ValueError(f"unknown task {task!r}; choose from {', '.join(known)}{hint}")
        self.task = make_task(task)
        if not isinstance(action, str) or action not in ("hand", "full"):
            raise ValueError(f"unknown action {action!r}; choose 'hand' or 'full'")
        self.observe = arguments.observation_keys(observe, ALL_OBSERVE)
        if limits is not None and not isinstance(limits, SafetyLimits):
            raise TypeError(f"limits must be SafetyLimits(...) or None, got {limits!r}")
        check_size(render_size)
        self.action = action
        self.episode_steps = arguments.integer("episode_steps", episode_steps, 1)
        self.render_mode = arguments.render_mode(render_mode)
        self._render_size = render_size
        self._renderer: Any = None
        self.robot = _make_robot(robot, self.task, shape)
        if render_mode is not None and self.robot.render_state() is None:
            raise ValueError("only a twin in this process can be drawn; leave render_mode out")
        self.limits = limits or SafetyLimits()
        self._joints = len(self.task.hand.joints)
        self._make_spaces()
        low, high = np.array(self.limits.hand_lower), np.array(self.limits.hand_upper)
        for joint, *narrower in self.task.target_ranges:
            k = self.task.hand.joints.index(joint)
            low[k], high[k] = max(low[k], narrower[0]), min(high[k], narrower[1])
            if low[k] >= high[k]:
                raise ValueError(
                    f"the limits of {joint} leave nothing of the task's range, {narrower[0]:g} to {narrower[1]:g} rad"
                )
        self._lower, self._upper = low, high
        self._step_size = np.full(self._joints, self.task.action_scale)
        self._step_size[list(self.task.locked_joints)] = 0.0
        self.skill_active = action == "hand"
        """Whether the finger skill moves the hand; recorded in the observation, of no effect on the motion."""
        self.closed = False
        self.reading: Reading
        """What the newest observation was made from."""
        self._steps: int | None = None
        """Since the episode began; None where none runs."""
        self._target = self._hold = np.zeros(0)
        self._history = np.zeros((0, 0), np.float32)
        self._start_turns = self._rotations = 0.0
        try:
            self.robot.connect()
            self.safety = SafetyLayer(self.robot, self.limits, self.task.control_dt, real_time=self.robot.real_time)
        except BaseException:  # Ctrl-C too: nobody gets an environment to close
            self.closed = True
            self.robot.close()
            raise

    def _make_spaces(self) -> None:
        limits, pair = self.limits, 2 * self._joints
        spaces: dict[str, gymnasium.Space] = {
            "proprio": Box(-math.pi, math.pi, (PROPRIO_STEPS, pair), np.float32),
            "history": Box(-math.pi, math.pi, (HISTORY_STEPS, pair), np.float32),
            **{name: feature.space() for name, feature in self.robot.observation_features.items()},
            "age": Box(0.0, _MAX_AGE, (3,), np.float64),
            "skill_active": MultiBinary(1),
        }
        chosen: Any = gymnasium.spaces.Dict({key: spaces[key] for key in self.observe})
        self.observation_space = chosen
        if self.action == "hand":
            self.action_space = Box(-1.0, 1.0, (self._joints,), np.float32)
        else:
            low = np.array([*limits.hand_lower, *limits.arm_lower])
            self.action_space = Box(low, np.array([*limits.hand_upper, *limits.arm_upper]), low.shape, np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        """Begin a new episode.

        On a twin in this process, the seed fixes the trial: parameters, noise, everything. On other robots, a stop is
        recovered from, and the hand goes to its start pose through the safety layer; the arm stays.

        Raises:
            RobotError: the robot cannot be made ready; the message says why.
            ValueError: the seed is not an integer of 0 to 2^63 - 1, or an option is given; there are no options.
            RuntimeError: the environment is closed.
        """
        if self.closed:
            raise RuntimeError("the environment is closed")
        arguments.options(options)
        super().reset(seed=arguments.seed(seed))
        self._steps = None  # until the robot is ready
        self._free_renderer()  # a twin's trial is another model
        begun = self.robot.start_trial(int(self.np_random.integers(2**31)) if seed is None else seed)
        if begun is not None:
            self._target = np.clip(begun, self._lower, self._upper)
            reading = self.safety.reset(self._target)
            self._hold = reading.arm.q.copy()
        else:
            reading = self.safety.reset()
            self._hold = reading.arm.q.copy()
            self._go_to_start()
            reading = self.safety.reset()  # a finger that met the object begins where it stands, as in simulation
            self._target = np.clip(reading.hand.q, self._lower, self._upper)
        self.skill_active = self.action == "hand"
        self._history = np.tile(np.concatenate([reading.hand.q, self._target]).astype(np.float32), (HISTORY_STEPS, 1))
        self._start_turns = 0.0 if reading.progress is None else reading.progress.turns
        self._rotations = 0.0
        self._steps = 0
        return self._observe(reading), self._info(reading, self._target, self._hold, self.task.control_dt)

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Send an action and wait until 50 ms have passed.

        Raises:
            RuntimeError: the environment was never reset, the episode has ended, or it is closed.
            TypeError: the action is not floating point.
            ValueError: the action has the wrong shape, or a value that is not finite; nothing was sent.
        """
        if self.closed:
            raise RuntimeError("the environment is closed")
        if self._steps is None:
            raise RuntimeError("call reset() before step(), and after every episode")
        hand, arm = self._targets_of(action)
        period = self.task.control_dt
        trip = ""
        sent_hand, sent_arm = self.safety.hand_target, self.safety.arm_target
        try:
            sent_hand, sent_arm = self.safety.command(hand, arm)
            period = self.robot.wait(self.task.control_dt)
            reading = self.robot.read()
            self.safety.check(reading)
        except SafetyTrip as stopped:
            trip = stopped.trip.message
            reading = self.robot.read()
        self._target = sent_hand.copy()
        pair = np.concatenate([reading.hand.q, self._target]).astype(np.float32)
        self._history = np.concatenate([self._history[1:], pair[None]])
        self._steps += 1
        info = self._info(reading, sent_hand, sent_arm, period)
        info["trip"] = trip
        reward = 0.0 if reading.progress is None else info["rotations"] - self._rotations
        if reading.progress is not None:
            self._rotations = info["rotations"]
        terminated = bool(trip or info.get("finished", False) or info.get("lost", ""))
        truncated = not terminated and self._steps >= self.episode_steps
        observation = self._observe(reading)
        if terminated or truncated:
            self._steps = None
            if not trip:
                self.safety.release()
        return observation, reward, terminated, truncated, info

    def look(self) -> Observation:
        """Return an observation of the robot as it is now, between two steps, and check it against the limits.

        A robot that is stopped already can be looked at, until `reset` begins anew.

        Raises:
            SafetyTrip: a limit is violated; the robot is stopped.
            RuntimeError: the environment was never reset, or it is closed.
        """
        if self.closed or not len(self._history):
            raise RuntimeError("call reset() before look(), on an environment that is open")
        reading = self.robot.read()
        if self.safety.trip is None:
            self.safety.check(reading)
        return self._observe(reading)

    def skill_targets(self, action: np.ndarray, added: Vector | float = 0.0) -> Vector:
        """Return the joint targets (12,) (rad) that a skill's action (12,), each between -1 and 1, asks for now.

        Args:
            action: of the skill.
            added: (12,) what the targets sent last have besides the skill's own (rad).
        """
        moved = self._target - added + self._step_size * np.clip(np.asarray(action, float), -1.0, 1.0)
        return np.clip(moved, self._lower, self._upper)

    def render(self) -> np.ndarray | None:
        """Return an RGB frame (height, width, 3), uint8, or None without a render mode."""
        if self.render_mode is None or (state := self.robot.render_state()) is None:
            return None
        if self._renderer is None:
            self._renderer = FrameRenderer(state[0], *self._render_size, camera="side")
        return self._renderer.draw(*state)

    def close(self) -> None:
        """Stop the robot, close its connections and free the renderer, each even if another fails."""
        if not self.closed:
            self.closed = True
            with contextlib.ExitStack() as stack:
                for close in (self._free_renderer, self.robot.close, self.safety.close):  # the last one first
                    stack.callback(close)

    def __reduce__(self) -> Any:
        raise TypeError(
            "an environment of the robot or its twin cannot be copied or pickled, since a robot is there once; make "
            "another with the same arguments, and on a twin reset both with the same seed"
        )

    def _free_renderer(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    # -- a step's parts -----------------------------------------------------------------------------------------------

    def _targets_of(self, action: np.ndarray) -> tuple[Vector, Vector]:
        """Check an action and return the joint targets (12,) and (6,) that it asks for."""
        action = np.asarray(action)
        shape = self.action_space.shape
        if action.shape != shape:
            raise ValueError(f"the action must have shape {shape}, got {action.shape}")
        if not np.issubdtype(action.dtype, np.floating):
            raise TypeError(f"the action must be floating point, got {action.dtype}")
        if not np.isfinite(action).all():
            raise ValueError(f"the action must be finite, got {action.tolist()}")
        if self.action == "full":
            return action[: self._joints].astype(float), action[self._joints :].astype(float)
        return self.skill_targets(action), self._hold

    def _go_to_start(self) -> None:
        """Move the hand to the start pose, the arm held."""
        start, period = np.clip(np.array(self.task.start_pose), self._lower, self._upper), self.task.control_dt
        self.robot.wait(0.0)
        for _ in range(round(_START_TIMEOUT / period)):
            sent, _ = self.safety.command(start, self._hold)
            self.robot.wait(period)
            reading = self.robot.read()
            self.safety.check(reading)
            if np.array_equal(sent, start) and np.abs(reading.hand.q - start).max() < _START_TOLERANCE:
                return
        worst = int(np.abs(reading.hand.q - start).argmax())
        raise RobotError(
            f"the hand did not reach its start pose within {_START_TIMEOUT:g} s: {self.task.hand.joints[worst]} is at "
            f"{reading.hand.q[worst]:.2f} rad, wanted {start[worst]:.2f} rad; clear the hand and reset again"
        )

    def _observe(self, reading: Reading) -> Observation:
        self.reading = reading
        arm, hand = reading.arm, reading.hand
        end = len(self._history) - self.task.proprio_delay
        age = np.array([reading.time - arm.time, reading.time - hand.time, reading.time - hand.tactile_time])
        values = {
            "proprio": self._history[end - PROPRIO_STEPS : end].copy(),
            "history": self._history.copy(),
            **reading.values(),
            "age": np.clip(age, 0.0, _MAX_AGE),
            "skill_active": np.array([self.skill_active], np.int8),
        }
        return {key: values[key] for key in self.observe}

    def _info(self, reading: Reading, hand: Vector, arm: Vector, period: float) -> dict[str, Any]:
        progress = reading.progress
        info = {
            "sent_hand": hand.copy(),
            "sent_arm": arm.copy(),
            "period": period,
            "jitter": period - self.task.control_dt,
            "rotations": math.nan if progress is None else progress.turns - self._start_turns,
            "fingertip_force": fingertip_forces(reading.hand),
            "trip": "",
        }
        if progress is not None:
            info["turns_needed"] = progress.needed
            info["finished"] = progress.finished
            info["lost"] = progress.lost
            info["released"] = progress.released
        return info


def _make_robot(robot: Any, task: Task, shape: str | None) -> Robot:
    """Return the robot that an argument asks for; connect nothing."""
    if shape is not None and (not isinstance(shape, str) or shape not in task.shapes):
        raise ValueError(f"unknown shape {shape!r} of the {task.name}; choose from {', '.join(task.shapes)}")
    if isinstance(robot, str):
        kind, colon, stratum = robot.partition(":")
        if kind != "twin":
            raise ValueError(f"unknown robot {robot!r}; choose 'twin', or 'twin:hard', or give a RobotConfig")
        from real.twin.robot import TwinConfig  # not above: who has a robot needs no twin

        robot = TwinConfig(stratum=stratum) if colon else TwinConfig()
    if isinstance(robot, ControlGains):
        return robot.robot(task.name, shape)
    if isinstance(robot, type) or not all(callable(getattr(robot, name, None)) for name in _METHODS):
        raise TypeError(f"robot must be 'twin', a TwinConfig, a RobotConfig or a Robot, got {type(robot).__name__}")
    robot.check_task(task.name, shape)
    return robot
