"""The Shadow hand of the examples: it begins without contact, and goes the whole way from training to export."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from baselines import evaluate, export, policies, ppo_oracle, student
from dexscrew_envs.hands import load_hand
from dexscrew_envs.vector_env import DexScrewVectorEnv
from real.skill import load_skill

pytestmark = pytest.mark.skipif(find_spec("gymnasium_robotics") is None, reason="needs the package gymnasium-robotics")
FILE = Path(__file__).parents[2] / "examples" / "shadow_hand.py"
TINY = ("--num-envs", "8", "--n-steps", "4", "--batch-size", "16", "--threads", "1", "--evaluation-episodes", "2",
        "--no-video", "--steps", "64", "--hand", str(FILE), "--env.episode-steps", "20")  # fmt: skip


@pytest.fixture(scope="module")
def hand():
    return load_hand(str(FILE))


@pytest.mark.slow
def test_episodes_begin_without_contact_and_a_still_hand_turns_nothing(hand):
    env = DexScrewVectorEnv("nut", 32, hand=hand, num_threads=1, observe=("proprio", "fingertip_force"))
    observation, _ = env.reset(seed=0)
    assert observation["proprio"].shape == (32, 3, 44)
    assert not observation["fingertip_force"].any()
    assert all(env.sim.render_state(k)[1].ncon == 0 for k in range(32))
    assert env.sim.start_states.rejected < 200
    for _ in range(20):
        _, _, terminated, _, infos = env.step(torch.zeros(32, 22))
    assert not terminated.any()
    assert infos["rotations"].abs().max() < 0.01


@pytest.mark.slow
def test_it_trains_distils_and_exports(hand, tmp_path, capsys):
    oracle, pupil = tmp_path / "oracle", tmp_path / "student"
    assert ppo_oracle.main([*TINY, "--folder", str(oracle)]) == 0
    policy = policies.load(oracle / "policy.pt")
    assert policy.task_fields["hand"] == "shadow_right"
    assert json.loads((oracle / "config.json").read_text())["config"]["env"]["hand"] == "shadow_right"
    assert student.main([*TINY, "--oracle", str(oracle / "policy.pt"), "--folder", str(pupil)]) == 0
    assert policies.load(pupil / "policy.pt").shapes == {"proprio": (3, 44), "history": (30, 44)}
    arguments = ["--policy", str(pupil / "policy.pt"), "--hand", str(FILE)]
    assert evaluate.main([*arguments, "--episodes", "2", "--threads", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["episodes"] == 2
    pytest.importorskip("onnxscript")
    assert export.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    contract = json.loads((tmp_path / "out" / "contract.json").read_text())
    assert [joint["name"] for joint in contract["joints"]] == list(hand.joints)
    assert contract["output"]["shape"] == ["batch", 22]
    with pytest.raises(ValueError, match="made for the hand shadow_right, and here it is xhand_left"):
        load_skill(str(pupil / "policy.pt"))


@pytest.mark.slow
def test_a_policy_of_our_hand_is_refused_with_it(hand):
    policy = policies.load("nut-student")
    env = DexScrewVectorEnv("nut", 2, hand=hand, num_threads=1, observe=policy.observe)
    with pytest.raises(ValueError, match=r"proprio of shape \(3, 24\), got \(3, 44\)"):
        policy.act(env.reset(seed=0)[0])
