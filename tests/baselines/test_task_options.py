"""Fields of the task from the command line reach training, evaluation, policy file and run folder."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import pytest
import tyro
from runs import UPDATE, read_json

from baselines import evaluate, policies, student
from baselines.task_options import TaskOptions, changes
from dexscrew_envs.tasks import NUT, Task
from dexscrew_envs.vector_env import DexScrewVectorEnv


@dataclass
class Args:
    env: TaskOptions = field(default_factory=TaskOptions)


def parse(*arguments: str) -> dict:
    return changes(tyro.cli(Args, args=arguments).env)


@pytest.mark.slow
def test_every_field_of_a_task_can_be_given():
    """Each with the value that the nut has, as it would be typed."""
    for item in fields(Task):
        if item.name in ("name", "shapes", "hand", "on_robot"):
            continue
        value = getattr(NUT, item.name)
        flat = value[0] if item.name == "target_ranges" else value
        typed = list(map(str, flat)) if isinstance(flat, tuple) else [str(flat)]
        found = parse(f"--env.{item.name.replace('_', '-')}", *typed)
        assert found == {item.name: (value,) if item.name == "shape" else value}


def test_nothing_given_changes_nothing():
    assert parse() == {}


@pytest.mark.slow
def test_fields_reach_training_evaluation_policy_and_configuration(tmp_path, train, monkeypatch):
    tasks = []
    make = DexScrewVectorEnv.__init__

    def recording(self, *args, **kwargs):
        make(self, *args, **kwargs)
        tasks.append(self.task)

    monkeypatch.setattr(DexScrewVectorEnv, "__init__", recording)
    given = ("--env.shape", "square", "--env.friction", "0.3", "1", "--env.rotate-weight", "7")
    folder = tmp_path / "run"
    assert train(folder, "--steps", str(UPDATE), *given) == 0
    assert len(tasks) == 2, "training and evaluation"
    for task in tasks:
        assert (task.sampled_shapes, task.friction, task.rotate_weight) == (("square",), (0.3, 1.0), 7.0)
    recorded = read_json(folder / "config.json")["config"]["env"]
    assert (recorded["shape"], recorded["friction"], recorded["rotate_weight"]) == (["square"], [0.3, 1.0], 7.0)
    assert recorded["kp"] == list(NUT.kp), "what was not given is recorded, too"
    policy = policies.load(folder / "policy.pt")
    assert policy.task_fields["friction"] == (0.3, 1.0)
    tasks.clear()
    shared = ["--policy", str(folder / "policy.pt"), "--episodes", "2", "--threads", "1"]
    assert evaluate.main(shared) == 0
    assert tasks[0].sampled_shapes == ("square",) and tasks[0].friction == (0.3, 1.0)
    assert evaluate.main([*shared, "--env.friction", "2", "2", "--shape", "cross"]) == 0
    assert tasks[1].sampled_shapes == ("cross",) and tasks[1].friction == (2.0, 2.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--env.friction", "0.3", "1"), "env.friction (there [0.5, 8.0], now [0.3, 1.0])"),
        (("--env.work-weight", "-1"), "env.work_weight (there -0.01, now -1.0)"),
        (("--env.shape", "cross"), "env.shape (there 'triangle', now ['cross'])"),
    ],
)
def test_a_folder_with_other_fields_is_refused_by_name(run, train, capsys, arguments, expected):
    assert train(run, "--steps", str(20 * UPDATE), *arguments) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--env.shape", "octagon"), "unknown shape 'octagon'; choose from triangle, square"),
        (("--env.friction", "2", "1"), "friction must be (low, high) with low <= high, got (2.0, 1.0)"),
        (("--env.start-pose", "1"), "start_pose must have 12 numbers"),
        (("--env.timestep", "nan"), "timestep must be a number, got nan"),
    ],
)
def test_impossible_fields_are_refused_before_the_folder_is_made(tmp_path, train, capsys, arguments, words):
    assert train(tmp_path / "run", "--steps", "32", *arguments) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_names_for_the_shape_must_agree(run, capsys):
    arguments = ["--policy", str(run / "policy.pt"), "--shape", "cross", "--env.shape", "square"]
    assert evaluate.main(arguments) == 2
    assert "--shape and --env.shape name different shapes" in capsys.readouterr().err


@pytest.mark.slow
def test_a_student_takes_over_what_its_oracle_was_trained_with(run, tmp_path):
    oracle = policies.load(run / "policy.pt")
    oracle.task_fields = {"shape": ("square",), "friction": (1.0, 2.0)}
    policies.save(oracle, tmp_path / "oracle.pt")
    config = student.StudentConfig(
        oracle=str(tmp_path / "oracle.pt"), env=TaskOptions(friction=(3.0, 3.0), reset_distance=0.2)
    )
    agent = student.agent(config)
    assert agent.task_fields["shape"] == ("square",)
    assert {**agent.task_fields, **changes(config.env)}["reset_distance"] == 0.2
    assert agent.inputs["oracle_weights"] == policies.fingerprint(oracle)
