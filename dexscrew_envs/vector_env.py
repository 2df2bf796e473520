"""The environment, batched: N hands and nuts behind Gymnasium's vector interface, in torch tensors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from dexscrew_envs import ambient, arguments
from dexscrew_envs.lifetime import Copyable, weak
from dexscrew_envs.mdp import observations as obs
from dexscrew_envs.mdp import randomization, rewards
from dexscrew_envs.mdp.rewards import RewardTerm, Transition, added_terms, check_added_terms, overspeed_threshold
from dexscrew_envs.mdp.terminations import IdleWindow, TerminationReason, terminations
from dexscrew_envs.rendering import FrameRenderer, check_camera, check_size
from dexscrew_envs.sim import State, make_simulator, write_rows
from dexscrew_envs.start_states import joint_limits
from dexscrew_envs.tasks import Task, make_task

Observation = dict[str, Tensor]

DEFAULT_OBSERVE = (*obs.MEASURED, "privileged")
ALL_OBSERVE = (*DEFAULT_OBSERVE, "fingertip_force", "point_cloud")
_MAX_FINITE = 1e6


class DexScrewVectorEnv(Copyable, VectorEnv[Observation, Tensor, Tensor]):
    """N environments of one task, stepped together.

    **Observation**, a dict of float32 tensors:

    - `proprio` (N, 3, 2 A): the last three pairs of noisy positions and targets of the hand's A joints, oldest first
      (rad);
    - `history` (N, 30, 2 A): the last thirty pairs;
    - `privileged` (N, P): what only a simulator knows; `privileged_layout` names its slices;
    - on request `fingertip_force` (N, F, 3), the nut's force on each fingertip link (N), and `point_cloud`
      (N, 100, 3), points on the nut's surface (m), both in the world frame.

    **Action**: float32 (N, A) between -1 and 1, clipped; a joint's target moves by `action_scale` times it.

    **Infos** of a step: `rotations` (N,), signed turns of the nut since the episode began, before any reset;
    `reward_terms`, the named, weighted terms (N,); `reason` (N,), why the episode ended, a code of
    `dexscrew_envs.mdp.terminations.TerminationReason`; and in steps that end an episode `final_obs`, the observation
    before the reset, valid where `_final_obs` (N,) is true.

    Episodes restart in the step in which they end (autoreset mode SAME_STEP), unless `autoreset` is False.

    Args:
        task: its name, such as "nut", or a `Task`.
        num_envs: number of environments.
        shape: shape of the nut, or several of which each episode samples one; None takes the task's.
        randomize: False collapses every range to its centre and switches off noise and pushes.
        observe: the keys of the observation.
        engine: the simulator: "mujoco" on CPUs, or "warp" on an NVIDIA GPU.
        device: torch device; None takes the engine's own, "cpu" or "cuda".
        num_threads: threads of the mujoco engine; 0 takes all CPUs. Results do not depend on it.
        max_contacts: contacts per environment for which the warp engine has room; None takes what was measured.
        autoreset: whether episodes restart by themselves.
        render_mode: None or "rgb_array".
        camera: name of the camera to render from, or None for a free one.
        render_size: height and width of a frame.
        reward_terms: terms to add to the reward, by name; see `dexscrew_envs.mdp.rewards.RewardTerm`.
        max_episode_steps: the task's `episode_steps` by the name that `gymnasium.make_vec` has for it.
        task_fields: changes of fields of the task, by name.

    On the warp engine a control step is launched, not awaited: its infos hold `final_obs` whether or not an episode
    ended, and a NaN among the actions ends that episode as invalid physics instead of raising; `check_physics` reports
    it, and should be called once per rollout.

    Raises:
        ValueError: an argument has a value that is not known or not possible, or a GPU is missing or too small.
        TypeError: a field is not one of the task's.
        gymnasium.error.DependencyNotInstalled: the warp engine's packages are missing.
    """

    @ambient.plain(threads=1)
    def __init__(
        self,
        task: str | Task = "nut",
        num_envs: int = 1,
        *,
        shape: str | Sequence[str] | None = None,
        randomize: bool = True,
        observe: Sequence[str] = DEFAULT_OBSERVE,
        engine: str = "mujoco",
        device: str | torch.device | None = None,
        num_threads: int = 0,
        max_contacts: int | None = None,
        autoreset: bool = True,
        render_mode: str | None = None,
        camera: str | None = "side",
        render_size: tuple[int, int] = (480, 640),
        reward_terms: Mapping[str, RewardTerm] | None = None,
        max_episode_steps: int | None = None,
        **task_fields: Any,
    ) -> None:
        self.num_envs = arguments.num_envs(num_envs)
        randomize = arguments.boolean("randomize", randomize)
        self.autoreset = arguments.boolean("autoreset", autoreset)
        self.observe = arguments.observation_keys(observe, ALL_OBSERVE)
        self.render_mode = arguments.render_mode(render_mode)
        check_size(render_size)
        self._added_terms = check_added_terms(reward_terms)
        if shape is not None:
            task_fields["shape"] = arguments.several(shape)
        self.task = make_task(task, randomize=randomize, **arguments.time_limit(max_episode_steps, task_fields))

        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": round(1 / self.task.control_dt),
            "autoreset_mode": AutoresetMode.SAME_STEP if self.autoreset else AutoresetMode.DISABLED,
        }
        self.privileged_layout = obs.privileged_layout(self.task)
        """Name of each slice of `privileged`, and where it stands."""
        self.sim = make_simulator(
            engine, self.task, self.num_envs, device=device, num_threads=num_threads, max_contacts=max_contacts
        )
        self.device = self.sim.device
        check_camera(self.sim.scene.model, camera)
        joints = len(self.task.hand.joints)
        self._privileged_bounds = obs.privileged_bounds(self.task).to(self.device)
        self.single_observation_space = obs.observation_space(self.task, self.observe)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (joints,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

        self._allocate(joints)
        self._generator = torch.Generator(self.device)
        self._generator.seed()
        self._bank = obs.EpisodeConstants(self.sim.scene.variants, self.sim.start_states, self.device)
        self._episode = randomization.sample_episode(self.task, self.num_envs, len(self._bank), self._generator)
        self._constants = self._bank.constants(self._episode.start)
        self._state: State | None = None
        self._capture()

        self.total_steps = 0
        """Control steps taken by all environments together; drives the over-speed curriculum, and may be set."""
        self._camera, self._render_size = camera, render_size
        self._renderer: FrameRenderer | None = None

    def _allocate(self, joints: int) -> None:
        """Make the tensors that a step reads and writes in place."""
        n, device = self.num_envs, self.device
        limits = np.array(joint_limits(self.task, self.sim.scene.model), np.float32)
        self._lower, self._upper = torch.as_tensor(limits, device=device)
        self._action_step = torch.full((joints,), self.task.action_scale, device=device)
        self._action_step[list(self.task.locked_joints)] = 0.0
        keep = obs.HISTORY_STEPS if "history" in self.observe else obs.PROPRIO_STEPS + self.task.proprio_delay
        self._history = torch.zeros(n, keep, 2 * joints, device=device)
        self._targets = torch.zeros(n, joints, device=device)
        self._action, self._previous_action = torch.zeros_like(self._targets), torch.zeros_like(self._targets)
        self._push = torch.zeros(n, 3, device=device)
        self._angle = torch.zeros(n, device=device)
        self._steps = torch.zeros(n, dtype=torch.int64, device=device)
        self._window = IdleWindow(self.task, n, device)
        self._threshold = torch.zeros((), device=device)
        self._invalid = torch.zeros((), dtype=torch.int64, device=device)
        self._diverged_at = torch.zeros(n, dtype=torch.int64, device=device)

    def _capture(self) -> None:
        """Let the engine record the step. All that it changes, it changes in place, so that it is found again."""
        self._before_physics = self.sim.capture(weak(self._command), self._generator)
        self._after_physics = self.sim.capture(weak(self._compute_step), self._generator)

    # -- the interface ------------------------------------------------------------------------------------------------

    @ambient.plain(threads=1)
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin new episodes, in all environments or where `options["reset_mask"]` (N,) is true.

        With `options["random_ages"]` they begin as if part of the time limit had passed, each another part, so that
        episodes of many environments do not all end together. The same seed gives the same episodes: bit for bit on
        the mujoco engine, up to rounding on the warp engine.

        Raises:
            RuntimeError: the environment is closed.
            ValueError: the mask has the wrong shape, or resets nothing, an option is unknown or no boolean, or the
                seed is not an integer of 0 to 2^63 - 1.
        """
        if self.closed:
            raise RuntimeError("the environment is closed")
        seed = arguments.seed(seed)
        given = arguments.options(options, ("reset_mask", "random_ages"))
        mask = arguments.reset_mask(given.get("reset_mask"), self.num_envs, self.device)
        random_ages = arguments.boolean("random_ages", given.get("random_ages", False))
        if self._state is None and not mask.all():
            raise ValueError("the first reset must reset every environment; leave reset_mask out")
        if seed is not None:
            self._generator.manual_seed(seed)
        self._begin(self._rows(mask))
        if random_ages:
            most, count = self.task.episode_steps, (self.num_envs,)
            ages = torch.randint(most, count, generator=self._generator, device=self.device)
            self._steps.copy_(torch.where(mask, ages, self._steps))
        return self._observe(), {}

    @ambient.plain(threads=1)
    def step(self, actions: Tensor) -> tuple[Observation, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Advance every environment by one control step (50 ms).

        Args:
            actions: float (N, A), on the environment's device.

        Returns:
            Observation, reward (N,), terminated (N,), truncated (N,) and infos, as the class describes them.

        Raises:
            RuntimeError: the environment was never reset, or it is closed.
            TypeError: the actions are not floating point.
            ValueError: the actions have the wrong shape, or a value that is not finite.
        """
        if self.closed:
            raise RuntimeError("the environment is closed")
        if self._state is None:
            raise RuntimeError("call reset() before step()")
        shape, finite = (self.num_envs, self._targets.shape[1]), not self.sim.asynchronous
        checked = arguments.actions(actions, shape, self.device, check_values=finite)
        self.total_steps += self.num_envs
        self._threshold.fill_(overspeed_threshold(self.task, self.total_steps))
        self.sim.step(*self._before_physics(checked))
        return self._after_physics()

    def _command(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the simulator is given in a control step: noisy joint targets and pushes."""
        task, generator = self.task, self._generator
        if self._added_terms:  # nobody else looks at them
            self._previous_action.copy_(self._action)
            self._action.copy_(actions)
        torch.clamp(self._targets + self._action_step * actions, self._lower, self._upper, out=self._targets)
        noisy_targets = randomization.noisy(self._targets, self._episode.action_bias, task.action_noise[1], generator)
        self._push.copy_(randomization.push(task, self._push, self._episode.drawn["mass"], generator))
        return noisy_targets, self._push

    def _compute_step(self) -> tuple[Observation, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Read the state after the physics and return what `step` returns."""
        task = self.task
        self._state = state = self.sim.read()
        self._steps += 1
        valid = self._drop_invalid(state)

        rotated = state.nut_angle - self._angle
        terms = rewards.reward_terms(
            task, state, rotated, self._constants.start_pose, self._constants.points, self._threshold
        )
        if self._added_terms:
            transition = Transition(
                task, state, rotated, self._targets, self._action, self._previous_action, self._episode
            )
            terms |= added_terms(self._added_terms, transition)
        terms = {name: torch.where(valid, term, 0.0) for name, term in terms.items()}
        if not self.sim.asynchronous:
            rewards.check_finite(terms, self._added_terms)
        reward = torch.stack(list(terms.values())).sum(dim=0)
        self._window.update(state)
        reason = terminations(task, state, self._window, self._steps, valid)
        truncated = reason == TerminationReason.TIME_LIMIT
        terminated = (reason != TerminationReason.RUNNING) & ~truncated
        self._angle.copy_(state.nut_angle)
        self._update_history(state)
        observation = self._observe()
        infos: dict[str, Any] = {
            "rotations": state.nut_angle / (2 * math.pi),
            "reward_terms": terms,
            "reason": reason,
        }
        if self.autoreset:
            done = terminated | truncated
            if self.sim.asynchronous or done.any():
                infos["final_obs"], infos["_final_obs"] = observation, done
                self._begin(self._rows(done))
                observation = self._observe()
        return observation, reward, terminated, truncated, infos

    def check_physics(self) -> None:
        """Warn if simulations diverged or left out contacts since the last call; the mujoco engine does so itself."""
        ids = self._diverged_at.nonzero()[:, 0]
        if len(ids):
            where = ", ".join(f"environment {i} at its step {self._diverged_at[i]}" for i in ids.tolist()[:8])
            self._diverged_at.zero_()
            warnings.warn(f"the physics diverged and was reset: {where}", RuntimeWarning, stacklevel=3)
        self.sim.check_capacity()

    @property
    def invalid_physics_count(self) -> int:
        """How many episodes ended because the simulation diverged."""
        return int(self._invalid)

    @invalid_physics_count.setter
    def invalid_physics_count(self, count: int) -> None:
        self._invalid.fill_(count)

    @property
    def rng_state(self) -> Tensor:
        """State of the generator from which all draws come, as torch's generators give it; may be set."""
        return self._generator.get_state()

    @rng_state.setter
    def rng_state(self, state: Tensor) -> None:
        self._generator.set_state(state)

    def seed(self, seed: int) -> None:
        """Seed all further draws, without beginning new episodes."""
        self._generator.manual_seed(seed)

    def render(self) -> tuple[np.ndarray, ...] | None:
        """Return an RGB frame (height, width, 3), uint8, of every environment, or None without a render mode.

        Raises:
            gymnasium.error.DependencyNotInstalled: there is no OpenGL; the message says why, and what helps.
        """
        if self.render_mode is None:
            return None
        return tuple(self.frame(env) for env in range(self.num_envs))

    @ambient.plain(threads=1)
    def frame(self, env: int = 0) -> np.ndarray:
        """Return an RGB frame (height, width, 3), uint8, of one environment, in any render mode.

        Raises:
            RuntimeError: the environment is closed.
            ValueError: there is no such environment.
        """
        if self.closed:
            raise RuntimeError("the environment is closed")
        arguments.index("env", env, self.num_envs)
        if self._renderer is None:
            self._renderer = FrameRenderer(self.sim.scene.model, *self._render_size, camera=self._camera)
        return self._renderer.draw(*self.sim.render_state(env))

    def close_extras(self, **kwargs: Any) -> None:
        """Free renderer and simulator; what was observed stays."""
        renderer = vars(self).pop("_renderer", None)  # not there yet if the constructor failed
        if renderer is not None:
            renderer.close()
        for name in ("_before_physics", "_after_physics", "sim"):
            vars(self).pop(name, None)

    def __getstate__(self) -> dict[str, Any]:
        if not self.closed and self.sim.asynchronous:
            raise TypeError(
                "an environment on the warp engine cannot be copied or pickled, since its step is recorded on its "
                "device; make another with the same arguments, and reset both with the same seed"
            )
        remade = ("_before_physics", "_after_physics", "_renderer")
        kept = {name: value for name, value in vars(self).items() if name not in remade}
        return kept | {"_generator": self._generator.get_state()}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._generator = torch.Generator(self.device)
        self._generator.set_state(kept["_generator"])
        self._renderer = None
        if not self.closed:
            self._capture()

    # -- a step's parts -----------------------------------------------------------------------------------------------

    def _rows(self, mask: Tensor) -> Tensor:
        """Return what `write_rows` takes for a mask: its indices, or where that had to wait for a GPU itself."""
        return mask if self.sim.asynchronous else mask.nonzero()[:, 0]

    def _begin(self, rows: Tensor) -> None:
        """Begin new episodes in some environments; see `write_rows`."""
        episode = randomization.sample_episode(self.task, len(rows), len(self._bank), self._generator)
        state = self.sim.reset(rows, episode)
        if self._state is None:
            self._state = state
        else:
            self._state.write(rows, state)
        constants = self._bank.constants(episode.start)
        self._episode.write(rows, episode)
        self._constants.write(rows, constants)
        self._window.reset(rows)
        write_rows(self._angle, rows, 0.0)
        write_rows(self._targets, rows, constants.start_pose)
        write_rows(self._history, rows, constants.start_pose.repeat(1, 2)[:, None])
        write_rows(self._push, rows, 0.0)
        write_rows(self._action, rows, 0.0)
        write_rows(self._steps, rows, 0)

    def _drop_invalid(self, state: State) -> Tensor:
        """Find simulations that diverged, note them and blank their state; return (N,) which are valid."""
        size = state.joint_pos.abs().amax(dim=1) + state.joint_vel.abs().amax(dim=1) + state.nut_angle.abs()
        valid = size < _MAX_FINITE  # false for NaN too
        if self.sim.asynchronous:  # actions were not checked, and a NaN is in the targets now
            valid &= torch.isfinite(self._targets).all(dim=1)
            self._targets.nan_to_num_()
        if self.sim.asynchronous or not valid.all():
            rows = self._rows(~valid)
            torch.where(valid, self._diverged_at, self._steps, out=self._diverged_at)
            self._invalid += (~valid).sum()
            for tensor in state.tensors().values():
                write_rows(tensor, rows, 0.0)
            if not self.sim.asynchronous:
                self.check_physics()
        return valid

    def _update_history(self, state: State) -> None:
        """Append the newest pair to the history."""
        bias, deviation = self._episode.observation_bias, self.task.observation_noise[1]
        seen = randomization.noisy(state.joint_pos, bias, deviation, self._generator)
        pair = torch.cat([seen, self._targets], dim=1)
        self._history.copy_(torch.cat([self._history[:, 1:], pair[:, None]], dim=1))

    def _observe(self) -> Observation:
        """Return the observation of all environments, in tensors of its own."""
        state, end = self._state, self._history.shape[1] - self.task.proprio_delay
        assert state is not None
        observation = {}
        for key in self.observe:
            if key == "proprio":
                observation[key] = self._history[:, end - obs.PROPRIO_STEPS : end].clone()
            elif key == "history":
                observation[key] = self._history.clone()
            elif key == "privileged":
                observation[key] = obs.privileged(
                    self.task, state, self._episode, self._constants, self._privileged_bounds
                )
            elif key == "fingertip_force":
                observation[key] = state.tip_force.clamp(-obs.FORCE_BOUND, obs.FORCE_BOUND)
            else:
                observation[key] = obs.point_cloud(state, self._constants)
        return observation
