"""Speed of the twin in this process, against real time and against bare MuJoCo."""

from __future__ import annotations

from time import process_time

import mujoco
import numpy as np
import pytest

from dexscrew_envs.hands.xhand import JOINTS
from real.twin.plant import Plant

STEPS = 500
"""Physics steps of a round: one second of the twin."""
CONTROL_STEPS = 25
"""Physics steps between two readings of the taxels, as a policy at 20 Hz reads them."""
GRASP = {"index_1": 0.25, "index_2": 0.3, "mid_1": 0.25, "mid_2": 0.3, "thumb_1": 0.3, "thumb_2": 0.3}


@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_twin_against_real_time(benchmark, task):
    """A hand that grasps: contacts, taxels and an arm that servoes, as under a policy. Times are this process' own."""
    plant = Plant(task)
    target = plant.start_hand_q.copy()
    for joint, angle in GRASP.items():
        target[JOINTS.index(joint)] += angle
    plant.command_hand(target)
    plant.arm.servo(plant.start_arm_q, lookahead=0.2, gain=100.0)
    plant.step(STEPS)
    twin, bare, contacts = [], [], []

    def run():
        begin = process_time()
        for _ in range(STEPS // CONTROL_STEPS):
            plant.step(CONTROL_STEPS)
            assert plant.tactile.any()
        twin.append(process_time() - begin)

    def run_bare():
        contacts.append(plant.data.ncon)
        data = mujoco.MjData(plant.model)
        mujoco.mj_copyData(data, plant.model, plant.data)
        begin = process_time()
        for _ in range(STEPS):
            mujoco.mj_step(plant.model, data)
        bare.append(process_time() - begin)

    benchmark.group = "twin"
    benchmark.pedantic(run, teardown=run_bare, rounds=8, iterations=1, warmup_rounds=1)
    seconds = float(np.median(twin))
    benchmark.extra_info |= {
        "task": task,
        "times_real_time": round(STEPS * plant.TIMESTEP / seconds, 2),
        "microseconds_per_step": round(seconds / STEPS * 1e6, 1),
        "share_of_bare_mujoco": round(float(np.median(bare)) / seconds, 3),
        "contacts": float(np.mean(contacts)),
    }
    assert benchmark.extra_info["times_real_time"] > 1
    assert benchmark.extra_info["contacts"] > 0
