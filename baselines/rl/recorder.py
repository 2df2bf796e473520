"""What a training keeps as it goes: its curve, and the checkpoint from which it can go on."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from stable_baselines3.common.callbacks import BaseCallback

from baselines import distributed, policies
from baselines.progress import Progress
from baselines.rl.on_policy import TensorOnPolicy
from baselines.run_folder import CHECKPOINT_FORMAT, CHECKPOINT_VERSION
from dexscrew_envs import program
from dexscrew_envs.vector_env import DexScrewVectorEnv

if TYPE_CHECKING:
    from baselines.rl.training import TrainConfig


class Recorder(BaseCallback):
    """Shows progress, keeps the learning curve, and writes checkpoints."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__()
        self.folder, self.config = folder, config
        self.curve: list[dict[str, float]] = []
        self.resumed: list[int] = []
        self.seconds = 0.0
        self._bar: Progress | None = None
        self._clock = 0.0
        self._saved = 0
        self._snapshot: dict[str, Any] | None = None

    def _on_training_start(self) -> None:
        self._saved = self.model.num_timesteps
        self._clock = time.monotonic()
        self._bar = Progress(
            total=self.config.steps, initial=self.model.num_timesteps, unit="step", unit_scale=True, smoothing=0.1,
            desc=self.config.task, mininterval=1.0, dynamic_ncols=True,
            **({"disable": True} if distributed.rank() > 0 else {}),
        )  # fmt: skip

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        """Take the snapshot here, after an update and before the next rollout moves the normalisation."""
        self.remember()
        if self.model.num_timesteps - self._saved >= self.config.checkpoint_every:
            self.save()

    def _on_rollout_end(self) -> None:
        model, bar = self.model, self._bar
        assert isinstance(model, TensorOnPolicy) and bar is not None
        self._tick()
        model.env.env.check_physics()  # type: ignore[union-attr]
        means = model.statistics.means()
        if means:
            rate = model.current_learning_rate
            row = {"steps": model.num_timesteps, "seconds": self.seconds, "learning_rate": rate, **means}
            self.curve.append(row | model.statistics.reward_terms())
            bar.set_postfix_str(
                f"turns/episode {means['rotations']:.1f}, length {means['episode_length']:.0f}", refresh=False
            )
        bar.total = max(self.config.steps, model.num_timesteps)  # the last rollout may reach beyond it
        bar.update(model.num_timesteps - bar.n)

    def _tick(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._clock
        self._clock = now

    def remember(self) -> None:
        """Take a snapshot of the training: an interruption in the middle of an update leaves nothing to go on from."""
        model = self.model
        assert isinstance(model, TensorOnPolicy)
        if not all(torch.isfinite(parameter).all() for parameter in model.policy.parameters()):
            raise program.CutShort(
                f"the networks have values that are not finite after {model.num_timesteps:,} steps; "
                + (f"the checkpoint is that of {self._saved:,} steps" if self._saved else "there is no checkpoint yet")
                + ". Lower --learning-rate, in another --folder"
            )
        content = {
            "format": CHECKPOINT_FORMAT,
            "version": CHECKPOINT_VERSION,
            "steps": model.num_timesteps,
            "learning_rate": model.current_learning_rate,
            "policy": model.policy.state_dict(),
            "optimizer": model.policy.optimizer.state_dict(),
            "seconds": self.seconds,
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(model.device) if model.device.type == "cuda" else None,
            "env_rng": model.env.env.rng_state,  # type: ignore[union-attr]
            "invalid_physics": model.env.env.invalid_physics_count,  # type: ignore[union-attr]
        }
        # Rows of curve and episodes never change, and a long training has too many to copy each time.
        lists = {
            "curve": list(self.curve), "resumed": list(self.resumed), "episodes": list(model.statistics.finished)
        }  # fmt: skip
        self._snapshot = copy.deepcopy(content) | lists

    def save(self) -> int:
        """Write the last snapshot as the checkpoint; return its steps, or those of the one that is there."""
        if self._snapshot is not None and distributed.rank() == 0:
            policies.write_atomically(self._snapshot, self.folder / "checkpoint.pt")
            self._saved = self._snapshot["steps"]
        return self._saved

    def restore(self, model: TensorOnPolicy, env: DexScrewVectorEnv, content: dict[str, Any]) -> None:
        """Go on from a checkpoint; the episodes that were running then begin anew.

        Raises:
            ValueError: the checkpoint lacks something, or holds networks of other sizes.
        """
        try:
            self._restore(model, env, content)
        except (KeyError, TypeError, RuntimeError, AttributeError) as error:
            raise ValueError(
                f"{self.folder / 'checkpoint.pt'} does not fit this version or these sizes ({error}); "
                "give another folder with --folder, or remove that one"
            ) from error

    def _restore(self, model: TensorOnPolicy, env: DexScrewVectorEnv, content: dict[str, Any]) -> None:
        model.policy.load_state_dict(content["policy"])
        model.policy.optimizer.load_state_dict(content["optimizer"])
        model.num_timesteps = env.total_steps = content["steps"]
        model.current_learning_rate = content["learning_rate"]
        self.curve, self.seconds, self._saved = content["curve"], content["seconds"], content["steps"]
        self.resumed = [*content.get("resumed", []), content["steps"]]
        model.statistics.finished.extend(content.get("episodes", []))
        torch.set_rng_state(content["torch_rng"])
        if model.device.type == "cuda":
            torch.cuda.set_rng_state(content["cuda_rng"], model.device)
        env.rng_state = content["env_rng"]
        env.invalid_physics_count = content["invalid_physics"]
        model.env._reset_seeds()  # type: ignore[union-attr]  # the generator goes on instead

    def close(self) -> None:
        """End the progress bar."""
        if self._bar is not None:
            self._bar.close()
