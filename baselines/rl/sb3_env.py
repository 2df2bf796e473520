"""DexScrew environments for Stable-Baselines3: in torch tensors for our PPO, in NumPy for all other algorithms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from dexscrew_envs.vector_env import DexScrewVectorEnv

_OF_ONE = {"observation_space": "single_observation_space", "action_space": "single_action_space"}
"""Attributes that Stable-Baselines3 asks one environment for, and their names in a batch."""
_OF_ALL = ("reset", "step", "close")
"""Methods that act on the whole batch, and on no environment alone."""


class TensorVecEnv(VecEnv):
    """A DexScrew vector environment for `TensorPPO`: observations, rewards and dones stay torch tensors.

    `step_wait` returns the environment's own infos, one dict of tensors rather than a list of dicts. The environments
    of a batch are one object, so that they have their attributes in common. All that is random comes from one
    generator: of the seeds that `seed` notes for the next reset it takes the first.

    Raises:
        ValueError: the environment does not reset itself.
    """

    def __init__(self, env: DexScrewVectorEnv) -> None:
        if not env.autoreset:
            raise ValueError("Stable-Baselines3 needs an environment that resets itself; make it with autoreset=True")
        self.env = env
        self._actions: Any = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.metadata |= {"render_fps": env.metadata["render_fps"]}

    def reset(self) -> Any:
        seed = next((seed for seed in self._seeds if seed is not None), None)
        options = next((options for options in self._options if options), None)
        self._reset_seeds()
        self._reset_options()
        self._actions = None
        return self.env.reset(seed=seed, options=options)[0]

    def step_async(self, actions: Any) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        actions, self._actions = self._actions, None
        if actions is None:
            raise RuntimeError("call step_async() before step_wait()")
        observation, reward, terminated, truncated, infos = self.env.step(actions)
        return observation, reward, terminated | truncated, infos | {"truncated": truncated}

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        value = getattr(self.env, _OF_ONE.get(attr_name, attr_name))
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        self._check_all(f"the attribute {attr_name}", indices)
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Return one result for each index; a method of the whole batch is called once."""
        if method_name == "render":
            return [self.env.frame(i) if self.render_mode else None for i in self._get_indices(indices)]
        if method_name in _OF_ALL:
            self._check_all(f"{method_name}()", indices)
        result = getattr(self.env, method_name)(*args, **kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        return list(self.env.render() or [None] * self.num_envs)

    def _get_indices(self, indices: Any) -> list[int]:
        """Return the indices (0 to N - 1) of None, which means all, of one, negative from the end, or of several.

        Raises:
            IndexError: one is not an index of an environment.
        """
        if indices is None:
            return list(range(self.num_envs))
        several = [indices] if isinstance(indices, (int, np.integer)) else list(indices)
        for index in several:
            whole = isinstance(index, (int, np.integer)) and not isinstance(index, (bool, np.bool_))
            if not whole or not -self.num_envs <= index < self.num_envs:
                raise IndexError(f"indices must be those of {self.num_envs} environments, got {index!r}")
        return [int(index) % self.num_envs for index in several]

    def _check_all(self, what: str, indices: Any) -> None:
        """Raise ValueError unless the indices are those of all environments."""
        if set(self._get_indices(indices)) != set(range(self.num_envs)):
            raise ValueError(f"{what} is common to the {self.num_envs} environments of a batch; leave indices out")


class NumpyVecEnv(TensorVecEnv):
    """The same in NumPy, with Stable-Baselines3's list of infos: any of its algorithms runs on it."""

    def reset(self) -> Any:
        return _to_numpy(super().reset())

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = torch.from_numpy(np.array(actions)).to(self.env.device)

    def step_wait(self) -> Any:
        observation, reward, done, infos = super().step_wait()
        rotations, reason = infos["rotations"].cpu().numpy(), infos["reason"].cpu().numpy()
        listed = [{"rotations": rotations[i], "reason": int(reason[i])} for i in range(self.num_envs)]
        ended = np.flatnonzero(done.cpu().numpy())
        if len(ended):
            final, truncated = _to_numpy(infos["final_obs"]), infos["truncated"].cpu().numpy()
            for i in ended:
                listed[i]["terminal_observation"] = {key: value[i] for key, value in final.items()}
                listed[i]["TimeLimit.truncated"] = bool(truncated[i])
        return _to_numpy(observation), reward.cpu().numpy(), done.cpu().numpy(), listed


def _to_numpy(observation: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {key: value.cpu().numpy() for key, value in observation.items()}
