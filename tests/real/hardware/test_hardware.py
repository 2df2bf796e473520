"""The whole stack over the network: policy, environment, drivers, servers, twin."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from ur_fakes import new_host

from baselines import policies
from baselines.data.editing import Merged, merge
from baselines.data.reader import Demonstrations
from baselines.data.writer import Recorder
from dexscrew_envs.hands.xhand import JOINTS
from dexscrew_envs.program import Status
from real import doctor, env, run
from real.addresses import Addresses
from real.env import DexScrewRealEnv
from real.hardware import robot as hardware
from real.hardware.robot import RobotConfig, UR5eXHand
from real.hardware.ur5e import UR5e
from real.robot import ArmMode, RobotError
from real.safety import SafetyLimits
from real.teleop.episode import SCENE_POSITION
from real.teleop.finger_skill import Noise
from real.teleop.operator import Orders
from real.teleop.setup import Setup, episode_header, recorded_fields

pytest.importorskip("rtde_control")

HOST, NOBODY = new_host(), new_host()
CONFIG = RobotConfig(arm=HOST, hand=f"tcp://{HOST}:5557")
PATIENT = SafetyLimits(max_age=2.0, dead_man=5.0)
"""Limits for a busy machine; those of time have tests of their own."""


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Everything waits longer than it would on a robot."""
    monkeypatch.setattr(hardware, "UR5e", partial(UR5e, dead_man=1.0, watchdog=1.0))
    for module in (env, doctor):
        monkeypatch.setattr(module, "SafetyLimits", lambda: PATIENT)


@pytest.fixture(scope="module")
def twin():
    """A twin's server in a process of its own."""
    command = [sys.executable, "-m", "real.twin", "--task", "nut", "--shape", "square", "--host", HOST]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert "is served" in line, line
    yield process
    process.terminate()
    assert process.wait(timeout=20) == 128 + signal.SIGTERM


def test_a_student_turns_the_twin_over_the_network(twin):
    policy = policies.load("nut-student")
    robot = DexScrewRealEnv("nut", robot=CONFIG)
    try:
        observation, _ = robot.reset()
        assert robot.observation_space.contains(observation)
        arm = observation["arm_q"]
        sent = []
        for _ in range(30):
            batch = {key: torch.from_numpy(observation[key])[None] for key in policy.observe}
            observation, reward, terminated, _, info = robot.step(policy.act(batch)[0].numpy())
            assert not terminated, info["trip"]
            sent.append(info["sent_hand"])
        assert robot.observation_space.contains(observation)
        assert np.isnan(info["rotations"]) and reward == 0
        assert np.ptp(sent, axis=0).max() > 0.2, "the skill moves fingers"
        np.testing.assert_allclose(observation["arm_q"], arm, atol=0.01)
    finally:
        robot.close()


def test_the_same_command_line_runs_on_the_network(twin, capsys):
    arguments = ["--policy", "nut-student", "--arm", HOST, "--hand", CONFIG.hand, "--seconds", "1", "--no-view"]
    assert run.main(arguments) == 0
    assert "jitter" in capsys.readouterr().out


class Operator:
    """Raises the wrist for a second with the skill on, then says that it was a success."""

    name = "test"

    def __init__(self):
        self.count = 0

    def start(self): ...

    def orders(self, scene):
        self.count += 1
        if self.count > 20:
            return Orders(mark="success")
        return Orders(skill=True, nudge=np.array([0, 0, 0.01, 0, 0, 0]))

    def close(self): ...


def record(setup, folder):
    """Record an episode of the operator above; return it."""
    with closing(setup.make_env()) as robot:
        episode = setup.make_episode(robot, Operator())
        with Recorder(folder, setup.header(robot, "test"), recorded_fields(robot)) as recorder:
            episode.reset(1000, Noise())
            recorder.begin(**episode_header(1000, Noise(), episode.tactile_bias))
            recorder.finish(episode.run(recorder.append).outcome)
    [recorded] = Demonstrations(folder)
    return recorded


def test_an_episode_is_recorded_over_the_network_as_one_in_process_is(twin, tmp_path):
    setup = Setup(
        task="nut",
        policy="nut-student",
        robot="config",
        shape="square",
        addresses=Addresses(arm=HOST, hand=CONFIG.hand),
    )
    recorded = record(setup, tmp_path / "network")
    assert len(recorded) == 20 and recorded.outcome.mark == "success" and recorded.header.robot == "config"
    assert not recorded["safety"].any(), recorded["safety"]
    assert recorded["tcp_pose"][-1, 2] > recorded["tcp_pose"][0, 2] + 0.003
    assert np.ptp(recorded["sent_hand"], axis=0).max() > 0.1 and np.isnan(recorded["turns"]).all()
    assert (np.diff(recorded["time"]) > 0.02).all()
    in_process = record(replace(setup, robot="twin", addresses=Addresses()), tmp_path / "process")
    assert recorded.fields == {name: field for name, field in in_process.fields.items() if name != SCENE_POSITION}
    for episode in (recorded, in_process):
        for part in ("hand", "arm"):
            np.testing.assert_array_equal(episode[f"sent_{part}"][:-1], episode[f"held_{part}"][1:])
        assert episode["clutch"].all() and episode["skill"].all() and (episode["age"] >= 0).all()
        assert np.abs(episode["asked_arm"] - episode["held_arm"]).max() < 0.01
    for name in ("arm_q", "held_arm", "asked_arm", "sent_arm"):  # the hand begins where the tests before have left it
        np.testing.assert_allclose(recorded[name], in_process[name], atol=0.02, err_msg=name)
    np.testing.assert_allclose(recorded["tcp_pose"][:, :3], in_process["tcp_pose"][:, :3], atol=0.01)
    merged = merge([tmp_path / "process", tmp_path / "network"], tmp_path / "all")
    assert merged == Merged(2, 0, (SCENE_POSITION,)) and len(Demonstrations(tmp_path / "all")) == 2


def test_the_doctor_passes_with_and_without_motion(twin, capsys):
    assert doctor.main(["--arm", HOST, "--hand", CONFIG.hand, "--move", "--yes"]) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    for name in ("ports of the arm", "arm reads", "hand reads", "taxels at rest", "fingers move", "wrist moves"):
        assert f"ok    {name}" in out


def test_the_doctor_asks_before_it_moves(twin, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "no")
    assert doctor.main(["--arm", HOST, "--hand", CONFIG.hand, "--move"]) == 0
    out = capsys.readouterr().out
    assert "fingers move" not in out
    assert out.splitlines()[-1] == "the checks at rest passed; motion not checked"


def test_the_doctor_finds_a_wrong_order_of_joints(twin, capsys, monkeypatch):
    command = UR5eXHand.command

    def swapped(self, hand, arm):
        hand = hand.copy()
        hand[[1, 3]] = hand[[3, 1]]
        command(self, hand, arm)

    monkeypatch.setattr(UR5eXHand, "command", swapped)
    assert doctor.main(["--arm", HOST, "--hand", CONFIG.hand, "--move", "--yes"]) == Status.STOPPED
    # Which joint it is found at depends on how far apart the two stand at first.
    assert re.search(r"\w+ was told to move, and (mid|index)_1 did: the order of joints", capsys.readouterr().out)


def test_the_doctor_tells_a_finger_that_lies_against_something_from_one_that_is_stuck(twin, capsys, monkeypatch):
    command, first = UR5eXHand.command, []

    def blocked(self, hand, arm):
        first.append(hand.copy())
        hand = hand.copy()
        hand[0] = max(hand[0], first[0][0])
        hand[1] = first[0][1]
        command(self, hand, arm)

    monkeypatch.setattr(UR5eXHand, "command", blocked)
    assert doctor.main(["--arm", HOST, "--hand", CONFIG.hand, "--move", "--yes"]) == Status.STOPPED
    assert f"FAIL  fingers move: {JOINTS[1]} moves neither way by 0.1 rad" in capsys.readouterr().out


def test_the_doctor_says_what_is_missing(capsys):
    assert doctor.main(["--arm", NOBODY, "--hand", f"tcp://{NOBODY}:5557", "--move", "--yes"]) == Status.STOPPED
    out = capsys.readouterr().out
    assert f"nothing answers at {NOBODY}:30004 (RTDE)" in out
    assert "FAIL  hand connects" in out and "no motion: the checks above must pass first" in out


def test_the_doctor_wants_keys_for_another_computer(capsys):
    assert doctor.main(["--arm", HOST, "--hand", "tcp://192.0.2.1:5557"]) == Status.REFUSED
    assert "needs keys" in capsys.readouterr().err


def test_a_robot_without_a_hand_lets_go_of_the_arm(twin):
    robot = UR5eXHand(RobotConfig(arm=HOST, hand=f"tcp://{NOBODY}:5557"))
    with pytest.raises(RobotError, match=NOBODY):
        robot.connect()
    again = UR5eXHand(CONFIG)
    try:
        again.connect()
        time.sleep(0.3)
        assert again.read().arm.mode is ArmMode.RUNNING
    finally:
        again.close()


def test_waiting_keeps_the_pace_and_does_not_make_up_for_lost_time():
    robot = UR5eXHand(CONFIG)
    robot.wait(0.0)
    began = time.monotonic()
    periods = [robot.wait(0.05) for _ in range(6)]
    assert time.monotonic() - began >= 0.3 - 1e-3
    assert sum(periods) == pytest.approx(time.monotonic() - began, abs=0.02)
    time.sleep(0.2)
    assert robot.wait(0.05) >= 0.2
    assert robot.wait(0.05) >= 0.05 - 1e-3


def test_after_a_pause_a_step_still_takes_its_time(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(hardware, "time", clock)
    robot = UR5eXHand(RobotConfig(arm="127.0.0.1", hand="tcp://127.0.0.1:1"))
    robot.wait(0.0)
    for elapsed, slept in ((0.02, 0.03), (0.07, 0.0), (1.0, 0.05)):  # in time; late; after a pause
        clock.now += elapsed
        began = clock.now
        assert robot.wait(0.05) == pytest.approx(elapsed + slept)
        assert clock.now - began == pytest.approx(slept)
