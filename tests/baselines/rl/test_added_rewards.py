from __future__ import annotations

import sys

import pytest
import torch
from runs import UPDATE, read_json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from baselines.rl import added_rewards
from dexscrew_envs.vector_env import DexScrewVectorEnv

TERM = """
import torch
def gentle(step):
    return -{weight} * step.state.tip_force.norm(dim=2).sum(dim=1)
def calm(step):
    return -step.targets.abs().sum(dim=1)
"""


@pytest.fixture
def terms(tmp_path):
    path = tmp_path / "my_terms.py"
    path.write_text(TERM.format(weight=0.05))
    return path


def rollout(**kwargs) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    env = DexScrewVectorEnv("nut", 4, num_threads=1, **kwargs)
    env.reset(seed=3)
    for _ in range(5):
        _, reward, _, _, infos = env.step(torch.ones(4, 12))
    force = torch.linalg.vector_norm(env._state.tip_force, dim=2).sum(dim=1)
    env.close()
    return reward, infos["reward_terms"] | {"force": force}


def test_a_term_is_added_to_the_reward_and_to_the_infos(terms):
    plain, _ = rollout()
    reward, found = rollout(reward_terms=added_rewards.load([f"{terms}:gentle"]))
    torch.testing.assert_close(found["gentle"], -0.05 * found["force"])
    assert found["gentle"].min() < 0
    torch.testing.assert_close(reward, plain + found["gentle"])


@pytest.mark.slow
def test_training_logs_terms_and_goes_on_only_with_the_same_file(tmp_path, train, terms, capsys):
    folder, given = tmp_path / "run", ("--reward", f"{terms}:gentle", f"{terms}:calm", "--evaluation-episodes", "0")
    assert train(folder, "--steps", str(8 * UPDATE), *given) == 0
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert {"reward/gentle", "reward/calm", "reward/rotate"} <= set(events.Tags()["scalars"])
    assert set(read_json(folder / "config.json")["config"]["reward"]) == {"gentle", "calm"}
    assert train(folder, "--steps", str(9 * UPDATE), *given) == 0
    terms.write_text(TERM.format(weight=0.5))
    assert train(folder, "--steps", str(10 * UPDATE), *given) == 2
    assert "reward.gentle (there " in capsys.readouterr().err
    assert train(folder, "--steps", str(10 * UPDATE), "--evaluation-episodes", "0") == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gentle", "takes file.py:name or module:name"),
        ("no.py:gentle", "there is no file no.py"),
        ("nowhere.at_all:gentle", "nowhere.at_all cannot be loaded"),
        ("{terms}:rough", "there is no 'rough' in"),
        ("{broken}:gentle", "cannot be loaded: ZeroDivisionError"),
        ("{ends}:gentle", "cannot be loaded: SystemExit"),
        ("math:sin", "takes functions written in Python, and math:sin is not one"),
        ("os.path:join", "takes functions that stand in a file, and os.path:join stands in <frozen"),
    ],
)
def test_what_cannot_be_loaded_is_refused_before_any_work(tmp_path, train, terms, capsys, name, words):
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "ends.py").write_text("import sys\nsys.exit(0)")
    name = name.format(terms=terms, broken=tmp_path / "broken.py", ends=tmp_path / "ends.py")
    assert train(tmp_path / "run", "--steps", "32", "--reward", name) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_two_functions_of_one_name_are_refused(terms):
    with pytest.raises(ValueError, match="two functions called 'gentle'"):
        added_rewards.load([f"{terms}:gentle", f"{terms}:gentle"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rotate": lambda step: step.rotated}, "'rotate' is a term of the task"),
        ({"x": 3}, "must be functions by name"),
        ([len], "must be a dict of functions"),
        ({"x": lambda step: step.state.tip_force}, r"must return a float tensor \(4,\), got torch.float32 \(4, 5, 3\)"),
        ({"x": lambda step: 1.0}, r"must return a float tensor \(4,\), got 1.0"),
        ({"x": lambda step: step.rotated > 0}, r"got torch.bool \(4,\)"),
        ({"x": lambda step: step.nothing}, "the reward term 'x' failed: AttributeError"),
        ({"x": lambda step: sys.exit(0)}, "the reward term 'x' failed: SystemExit"),
        ({"x": lambda: 0}, "the reward term 'x' failed: TypeError"),
        ({"x": lambda step: step.rotated / 0}, r"the reward term 'x' is not finite in environments \[0, 1, 2, 3\]"),
    ],
)
def test_terms_that_are_none_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        rollout(reward_terms=given)


@pytest.mark.slow
@pytest.mark.parametrize("body", ["undefined", "torch.zeros(3)", "0.5"])
def test_a_term_that_fails_leaves_the_folder_free(tmp_path, train, capsys, body):
    path = tmp_path / "mine.py"
    path.write_text(f"import torch\n\n\ndef bad(step):\n    return {body}\n")
    folder = tmp_path / "run"
    assert train(folder, "--reward", f"{path}:bad") == 2
    assert "the reward term 'bad'" in capsys.readouterr().err and not folder.exists()
