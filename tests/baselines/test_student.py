from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fakes import TINY

from baselines import policies, student
from baselines.policies import ActorPolicy
from dexscrew_envs.tasks import NUT, make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv


def save_oracle(path: Path, task: str = "nut", privileged: int | None = None) -> Path:
    space = DexScrewVectorEnv(task, 1, num_threads=1).single_observation_space
    shapes = {"proprio": (3, 24), "privileged": space["privileged"].shape if privileged is None else (privileged,)}
    torch.manual_seed(0)
    policies.save(ActorPolicy(policies.build_actor(shapes), task, {}), path)
    return path


@pytest.fixture(scope="module")
def oracle(tmp_path_factory, short_nut) -> Path:
    return save_oracle(tmp_path_factory.mktemp("oracle") / "oracle.pt")


@pytest.fixture
def distil(oracle) -> Callable[..., int]:
    def run(folder: Path, *arguments: str) -> int:
        return student.main([*TINY, "--oracle", str(oracle), "--steps", "96", "--folder", str(folder), *arguments])

    return run


@pytest.mark.slow
def test_a_distillation_leaves_a_student_that_sees_no_privileged_number(tmp_path, distil):
    assert distil(tmp_path / "run") == 0
    policy = policies.load(tmp_path / "run" / "policy.pt")
    assert set(policy.observe) == {"proprio", "history"}
    assert policy.task_fields == make_task("nut").student_fields
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert results["agent"] == "student" and results["steps"] == 96
    actions = []
    for observe in (policy.observe, ("proprio", "history", "privileged")):
        env = DexScrewVectorEnv("nut", 4, observe=observe, num_threads=1, **policy.task_fields)
        observation, _ = env.reset(seed=0)
        for _ in range(5):
            actions.append(policy.act(observation))
            observation, *_ = env.step(actions[-1])
    assert torch.equal(torch.stack(actions[:5]), torch.stack(actions[5:]))


@pytest.mark.slow
def test_a_student_is_trained_under_wider_noise_and_a_wider_reset_distance(monkeypatch, tmp_path, distil):
    seen: list[dict] = []
    make = DexScrewVectorEnv.__init__

    def record(self, *args, **kwargs) -> None:
        make(self, *args, **kwargs)
        seen.append({name: getattr(self.task, name) for name in ("observation_noise", "reset_distance")})

    monkeypatch.setattr(DexScrewVectorEnv, "__init__", record)
    assert distil(tmp_path / "run") == 0
    expected = {"observation_noise": (0.02, 0.01), "reset_distance": 0.12}
    assert seen == [expected, expected]  # training and evaluation
    assert NUT.observation_noise == (0.01, 0.005)


@pytest.mark.slow
def test_a_distillation_goes_on(tmp_path, distil):
    assert distil(tmp_path / "run") == 0
    assert distil(tmp_path / "run", "--steps", "160") == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["steps"] == 160


@pytest.mark.slow
def test_another_oracle_is_another_configuration(tmp_path, distil, capsys):
    assert distil(tmp_path / "run") == 0
    other = save_oracle(tmp_path / "other.pt")
    assert distil(tmp_path / "run", "--oracle", str(other)) == 2
    assert "oracle (there" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"task": "screwdriver"}, "made for the task 'screwdriver'"),
        ({"privileged": 7}, "trained with privileged of shape (7,)"),
    ],
)
def test_an_oracle_that_does_not_fit_is_refused_before_anything_is_learned(
    tmp_path, distil, capsys, arguments, expected
):
    other = save_oracle(tmp_path / "other.pt", **arguments)
    assert distil(tmp_path / "run", "--oracle", str(other)) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_unknown_oracle_is_refused_by_name(tmp_path, distil, capsys):
    assert distil(tmp_path / "run", "--oracle", "nut-orakel") == 2
    assert "did you mean 'nut-oracle'?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_student_is_no_oracle(tmp_path, distil, capsys):
    assert distil(tmp_path / "run", "--oracle", "nut-student") == 2
    assert "nut-student sees proprio, history only, as a student does" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_without_randomisation_the_oracles_own_ranges_collapse_too(tmp_path, short_nut, capsys):
    path = save_oracle(tmp_path / "oracle.pt")
    oracle = policies.load_actor(path)
    oracle.task_fields["mass"] = (0.02, 0.08)
    policies.save(oracle, path)
    call = [*TINY, "--oracle", str(path), "--steps", "96", "--no-randomize"]
    assert student.main([*call, "--folder", str(tmp_path / "run")]) == 0
    fields = policies.load(tmp_path / "run" / "policy.pt").task_fields
    assert fields["mass"] == (0.05, 0.05) and fields["reset_distance"] == 0.12
    assert student.main([*call, "--folder", str(tmp_path / "given"), "--env.mass", "0.03", "0.04"]) == 0
    assert policies.load(tmp_path / "given" / "policy.pt").task_fields["mass"] == (0.03, 0.04)
