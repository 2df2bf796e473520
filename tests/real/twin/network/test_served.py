"""A twin behind its own server, with the real drivers."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from ur_fakes import wait_until

from real.autonomous import run_trial
from real.env import DexScrewRealEnv
from real.robot import RobotError
from real.robot_policies import load_robot_policy
from real.safety import SafetyLimits
from real.twin.network import served
from real.twin.network.addresses import free_address
from real.twin.network.served import ServedTwinConfig
from real.twin.network.server import TwinServer
from real.twin.plant import Plant

pytest.importorskip("rtde_control")

PATIENT = SafetyLimits(max_age=2.0, dead_man=5.0)
"""Limits for a busy machine."""


def make_env(stratum="easy"):
    config = ServedTwinConfig(stratum=stratum)
    return DexScrewRealEnv("nut", robot=config, shape="square", action="full", limits=PATIENT, episode_steps=60)


def servers():
    """Return the processes that serve twins."""
    return [process for process in multiprocessing.active_children() if process.name.startswith("twin at")]


def test_each_trial_has_a_server_of_its_own_and_turns_are_known():
    with closing(make_env()) as env:
        [first] = servers()
        found = run_trial(env, load_robot_policy("direct", "nut"), 5)
        [second] = servers()
        assert second.pid != first.pid
        assert found.ended_by == "time" and found.needed == 8.0
        assert found.turns[0] == pytest.approx(0.0, abs=0.02) and found.progress > 0.01
        assert env.robot.sight() is None and env.robot.render_state() is None
    assert not servers()
    with pytest.raises(RobotError, match="does not run"):
        env.robot.read()


def test_threads_may_read_at_once():
    with closing(make_env()) as env, ThreadPoolExecutor(4) as threads:
        readings = list(threads.map(lambda _: env.robot.read(), range(400)))
    assert all(reading.progress.needed == 8.0 for reading in readings)


def test_a_server_that_is_killed_is_told():
    with closing(make_env()) as env:
        env.reset(seed=1)
        os.kill(servers()[0].pid, signal.SIGKILL)
        hold = np.concatenate([env.safety.hand_target, env.safety.arm_target])
        with pytest.raises(RobotError):
            for _ in range(20):
                env.step(hold)
    wait_until(lambda: not servers())


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_told():
    with closing(make_env()) as env:
        [server] = servers()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(RobotError, match="gave no answer within 2 s"):
                env.robot.read()
        finally:
            os.kill(server.pid, signal.SIGCONT)
        env.reset(seed=2)  # with another server
        assert env.robot.read().progress.needed == 8.0 and servers() != [server]


def test_why_a_server_does_not_start_is_told(monkeypatch):
    host = free_address()
    monkeypatch.setattr(served, "free_address", lambda: host)
    with TwinServer(Plant("nut"), host), pytest.raises(RobotError, match=r"printed last: .* in use"):
        make_env()
    assert not servers()
    monkeypatch.setattr(served, "free_address", lambda: None)
    with pytest.raises(RobotError, match="no address"):
        make_env()


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="choose from easy, nominal, hard, extreme"):
        ServedTwinConfig(stratum="harder")
    robot = ServedTwinConfig().robot("nut", "square")
    with pytest.raises(ValueError, match="not of a cross nut"):
        robot.check_task("nut", "cross")
