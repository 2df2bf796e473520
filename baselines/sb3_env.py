"""DexScrew environments for Stable-Baselines3: in torch tensors for our PPO, in NumPy for all other algorithms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from dexscrew_envs.vector_env import DexScrewVectorEnv


class TensorVecEnv(VecEnv):
    """A DexScrew vector environment for `TensorPPO`: observations, rewards and dones stay torch tensors.

    `step_wait` returns the environment's own infos, one dict of tensors rather than a list of dicts.
    """

    def __init__(self, env: DexScrewVectorEnv) -> None:
        if not env.autoreset:
            raise ValueError("Stable-Baselines3 needs an environment that resets itself; make it with autoreset=True")
        self.env = env
        self.render_mode = env.render_mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        seeds = [seed for seed in self._seeds if seed is not None]
        self._reset_seeds()
        return self.env.reset(seed=seeds[0] if seeds else None)[0]

    def step_async(self, actions: Any) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        observation, reward, terminated, truncated, infos = self.env.step(self._actions)
        return observation, reward, terminated | truncated, infos | {"truncated": truncated}

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self.env, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[np.ndarray | None]:
        return list(self.env.render() or [None] * self.num_envs)


class NumpyVecEnv(TensorVecEnv):
    """The same in NumPy, with Stable-Baselines3's list of infos: any of its algorithms runs on it."""

    def reset(self) -> Any:
        return _to_numpy(super().reset())

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = torch.as_tensor(actions, dtype=torch.float32, device=self.env.device)

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
