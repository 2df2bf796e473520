"""Control steps per second of the environments, beside bare `mujoco.batch.Batch` stepping of the same simulations."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
import torch
from mujoco.batch import MODEL_FIELDS, Batch

from dexscrew_envs.vector_env import DexScrewVectorEnv

OBSERVE = ("proprio", "privileged")
WARM_UP = 60
"""Control steps before measuring. Meanwhile every environment is reset once, each at its own step, so that episodes are
of all ages; they end and restart while they are measured, as often as they do under random actions."""

SEGMENTS = {1: (200, 10), 64: (20, 12), 256: (20, 10), 1024: (10, 5)}
"""Number of environments to the control steps of a segment, and the pairs of segments that are measured."""


class Pair:
    """An environment, and a batch that steps the same simulations without anything around them.

    A pair of segments begins with a copy of the environment's simulations, their state and their own model fields. The
    environment takes some control steps under random actions, then the batch takes as many with the controls and forces
    that the environment gave its simulator. Where no episode ended meanwhile, both are in the same state, bit for bit.
    """

    def __init__(self, task: str, num_envs: int, steps: int) -> None:
        self.steps = steps
        self.env = DexScrewVectorEnv(task, num_envs, observe=OBSERVE)
        self.simulated = self.env.sim.batch
        self.raw = Batch(self.env.sim.scene.model, num_envs, self.simulated.nthread)
        self.actions = torch.Generator().manual_seed(0)
        self.controls: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.same = np.ones(num_envs, dtype=bool)
        self.resets = 0
        self.env_seconds: list[float] = []
        self.raw_seconds: list[float] = []
        self.contacts: list[float] = []
        self._record_controls()

    def _record_controls(self) -> None:
        step = self.env.sim.step

        def record(targets: torch.Tensor, push: torch.Tensor) -> None:
            self.controls.append((targets, push.clone()))  # the environment changes it in place
            step(targets, push)

        self.env.sim.step = record

    def warm_up(self) -> None:
        """Bring the episodes to all ages."""
        self.env.reset(seed=0)
        for ids in torch.randperm(self.env.num_envs, generator=self.actions).tensor_split(WARM_UP):
            if len(ids):
                mask = torch.zeros(self.env.num_envs, dtype=torch.bool)
                mask[ids] = True
                self.env.reset(options={"reset_mask": mask})
            self.env.step(self._random_actions())

    def _random_actions(self) -> torch.Tensor:
        return 2 * torch.rand(self.env.num_envs, 12, generator=self.actions) - 1

    def copy_simulations(self) -> None:
        """Give the batch the state and the models of the environment's simulations."""
        for name in MODEL_FIELDS:
            values = self.simulated.expanded(name)
            if values is not None:
                self.raw.expand(name)[:] = values
        self.raw.state[:] = self.simulated.state
        self.controls.clear()
        self.same[:] = True

    def step_environment(self) -> None:
        """Take the steps of a segment; only the environment's own time counts."""
        seconds = 0.0
        for _ in range(self.steps):
            actions = self._random_actions()
            begin = perf_counter()
            _, _, terminated, truncated, _ = self.env.step(actions)
            seconds += perf_counter() - begin
            done = (terminated | truncated).numpy()
            self.same &= ~done
            self.resets += int(done.sum())
        self.env_seconds.append(seconds)

    def step_batch(self) -> None:
        """Repeat the segment in the batch."""
        ctrl, force = self.raw.bind("ctrl"), self.raw.bind("xfrc_applied")
        nut, substeps = self.env.sim.scene.model.body("nut").id, self.env.task.substeps
        controls = [(targets.numpy(), push.numpy()) for targets, push in self.controls]
        begin = perf_counter()
        for targets, push in controls:
            ctrl[:] = targets
            force[:, nut, :3] = push
            self.raw.step(nstep=substeps)
        self.raw_seconds.append(perf_counter() - begin)
        np.testing.assert_array_equal(self.raw.qpos[self.same], self.simulated.qpos[self.same])
        sample = range(0, self.env.num_envs, max(1, self.env.num_envs // 64))
        self.contacts.append(float(np.mean([self.env.sim.render_state(i)[1].ncon for i in sample])))


@pytest.mark.parametrize("num_envs, task", [(1, "nut"), (64, "nut"), (256, "nut"), (256, "screwdriver"), (1024, "nut")])
def test_control_steps_per_second(benchmark, task, num_envs):
    """Alternate segments of environment and batch, so that what else the machine does meets both."""
    steps, pairs = SEGMENTS[num_envs]
    pair = Pair(task, num_envs, steps)
    pair.warm_up()
    benchmark.group = "control steps"
    benchmark.pedantic(
        pair.step_environment,
        setup=pair.copy_simulations,
        teardown=pair.step_batch,
        rounds=pairs,
        iterations=1,
        warmup_rounds=1,
    )
    env_seconds, raw_seconds = (np.array(s[-pairs:]) for s in (pair.env_seconds, pair.raw_seconds))
    done = steps * num_envs
    benchmark.extra_info |= {
        "task": task,
        "num_envs": num_envs,
        "threads": pair.simulated.nthread,
        "torch_threads": torch.get_num_threads(),
        "control_steps_per_second": round(done / float(np.median(env_seconds)), 1),
        "raw_control_steps_per_second": round(done / float(np.median(raw_seconds)), 1),
        "ratio": round(float(np.median(raw_seconds / env_seconds)), 4),
        "contacts": round(float(np.mean(pair.contacts)), 2),
        "episodes_ended_per_step": round(pair.resets / (len(pair.env_seconds) * steps), 3),
    }
    assert (env_seconds > 0).all() and (raw_seconds > 0).all()
    assert 0 < benchmark.extra_info["ratio"] < 1.5
    assert benchmark.extra_info["contacts"] > 0
