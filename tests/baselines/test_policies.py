from __future__ import annotations

import io
import pickle
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import SHAPES

from baselines import policies
from baselines.policies import ActorPolicy
from dexscrew_envs.tasks import make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv


def make_policy(shapes: dict[str, tuple[int, ...]] = SHAPES, seed: int = 0) -> ActorPolicy:
    torch.manual_seed(seed)
    actor = policies.build_actor(shapes)
    actor.body.update_norms({key: 2 + torch.randn(50, *shape) for key, shape in shapes.items()})
    return ActorPolicy(actor, "nut", {"seed": seed, "steps": 10, "evaluation": {"rotations_mean": 1.5}})


def observations(count: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {key: torch.randn(count, *shape) for key, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.pt"
    policies.save(make_policy(), path)
    return path


def content_of(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def as_torch_file(content: object, **kwargs) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **kwargs)
    return stream.getvalue()


# -- round trip -------------------------------------------------------------------------------------------------------


def test_a_loaded_policy_acts_as_the_saved_one_and_keeps_its_card(saved):
    policy, loaded = make_policy(), policies.load(saved)
    assert torch.equal(loaded.act(observations()), policy.act(observations()))
    assert not torch.equal(make_policy(seed=1).act(observations()), policy.act(observations()))
    assert (loaded.task, loaded.card, loaded.shapes) == ("nut", policy.card, SHAPES)
    assert set(loaded.observe) == set(SHAPES)


def test_a_policy_without_privileged_information_makes_the_round_trip(tmp_path):
    policy = make_policy({"proprio": (3, 24)})
    policies.save(policy, tmp_path / "sub" / "policy.pt")
    loaded = policies.load(str(tmp_path / "sub" / "policy.pt"))
    assert loaded.observe == ("proprio",)
    assert torch.equal(loaded.act(observations()), policy.act(observations()))


def test_a_policy_acts_without_noise_between_minus_and_plus_one():
    policy = make_policy()
    with torch.no_grad():
        policy.actor.head.weight.mul_(1e3)
    actions = policy.act(observations())
    assert actions.shape == (5, 12) and actions.dtype == torch.float32 and not actions.requires_grad
    assert actions.abs().max() == 1
    assert torch.equal(policy.act(observations()), actions)


@pytest.mark.slow
def test_a_policy_acts_in_an_environment_and_ignores_keys_that_it_does_not_need():
    env = DexScrewVectorEnv("nut", 2, observe=("history", "proprio", "privileged"), num_threads=1)
    observation, _ = env.reset(seed=0)
    policy = make_policy({key: tuple(observation[key].shape[1:]) for key in ("proprio", "privileged")})
    policy.reset(None)
    observation, *_ = env.step(policy.act(observation))
    policy.reset(torch.tensor([True, False]))
    assert policy.act(observation).shape == (2, 12)


# -- wrong observations -----------------------------------------------------------------------------------------------


def test_a_missing_key_is_named():
    observation = observations()
    del observation["privileged"]
    with pytest.raises(ValueError, match=r"needs 'privileged' .*observe=\(.*'proprio'"):
        make_policy().act(observation)


def test_a_wrong_shape_is_named_with_both_shapes():
    observation = observations() | {"proprio": torch.zeros(5, 4, 24)}
    with pytest.raises(ValueError, match=r"proprio of shape \(3, 24\), got \(4, 24\).* another version of DexScrew"):
        make_policy().act(observation)


# -- cards ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--oracle /data/jane/runs/o/policy.pt --lr 1e-3", "--oracle policy.pt --lr 1e-3"),
        ("--folder=/data/jane/x", "--folder=x"),
        ("~/x/policy.pt ../../jane/policy.pt", "policy.pt policy.pt"),
        ("'/data/jane doe/policy.pt' \"~/my runs/policy.pt\"", "'policy.pt' \"policy.pt\""),
        ("C:\\Users\\jane\\policy.pt", "policy.pt"),
        ("runs/oracle/policy.pt ./x 1/2 N/kg tcp://127.0.0.2:5557 https://a.b/c", None),
        (["/data/jane/x", 3, 1.5, None, {"a": "/data/jane/y"}], ["x", 3, 1.5, None, {"a": "y"}]),
        (f"{Path.home()}/x/policy.pt {Path.cwd()}/runs/policy.pt", "policy.pt policy.pt"),
    ],
)
def test_paths_that_tell_whose_machine_it_was_are_cut_to_their_names(text, expected):
    assert policies.without_paths(text) == (text if expected is None else expected)


def test_a_home_folder_with_a_space_in_its_name_is_not_told(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/jane doe"))
    assert policies.without_paths("--oracle /home/jane doe/policy.pt") == "--oracle policy.pt"


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoints(tmp_path, monkeypatch) -> Path:
    """A package whose shipped policies are in this folder."""
    monkeypatch.setattr(policies, "_SHIPPED", tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def test_shipped_policies_are_found_by_name(checkpoints):
    assert policies.shipped() == ()
    for name in ("screwdriver-oracle", "nut-oracle"):
        policies.save(make_policy(), checkpoints / f"{name}.pt")
    (checkpoints / "README.md").write_text("no policy")
    assert policies.shipped() == ("nut-oracle", "screwdriver-oracle")
    assert torch.equal(policies.load("nut-oracle").act(observations()), make_policy().act(observations()))


def test_an_unknown_name_suggests_the_nearest_and_lists_all(checkpoints):
    policies.save(make_policy(), checkpoints / "nut-oracle.pt")
    policies.save(make_policy(), checkpoints / "screwdriver-oracle.pt")
    with pytest.raises(
        ValueError, match=r"unknown policy 'nut-orcale'; did you mean 'nut-oracle'\?.*screwdriver-oracle"
    ):
        policies.load("nut-orcale")
    with pytest.raises(
        ValueError, match=r"unknown policy 'xyzzy'; the shipped ones are nut-oracle, screwdriver-oracle"
    ):
        policies.load("xyzzy")


@pytest.mark.slow
@pytest.mark.parametrize("name", policies.shipped())
def test_every_shipped_policy_loads_and_acts_on_its_task(name):
    policy = policies.load(name)
    env = DexScrewVectorEnv(policy.task, 2, observe=policy.observe, num_threads=1)
    observation, _ = env.reset(seed=0)
    assert policy.act(observation).shape == (2, 12)
    assert policy.card["steps"] > 0


# -- damaged and foreign files ----------------------------------------------------------------------------------------


def assert_refused(path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        policies.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", [None, 3, b"nut-student", ["nut-student"]])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(TypeError, match="a policy is given by its name, or by the path of a file, got"):
        policies.load(name)


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "policy.pt")):
        policies.load(tmp_path / "policy.pt")


@pytest.mark.parametrize("share", [0.0, 1e-5, 0.01, 0.25, 0.5, 0.9, 0.999])
def test_a_file_cut_to_a_share_of_its_bytes_is_refused(saved, tmp_path, share):
    data = saved.read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: int(share * len(data))])
    assert_refused(tmp_path / "cut.pt")


@pytest.mark.parametrize("missing", [1, 2, 21, 22, 23, 100, 4096])
def test_a_file_without_its_last_bytes_is_refused(saved, tmp_path, missing):
    (tmp_path / "cut.pt").write_bytes(saved.read_bytes()[:-missing])
    assert_refused(tmp_path / "cut.pt")


FOREIGN = {
    "a tensor": lambda: as_torch_file(torch.zeros(3)),
    "a bare state": lambda: as_torch_file(make_policy().actor.state_dict()),
    "a whole module": lambda: as_torch_file(torch.nn.Linear(2, 2)),
    "a tensor in the old format": lambda: as_torch_file(torch.zeros(3), _use_new_zipfile_serialization=False),
    "a checkpoint": lambda: as_torch_file({"format": "dexscrew-checkpoint", "version": 1}),
    "text": lambda: b"It is a text.\n" * 20,
    "zeros": lambda: bytes(1000),
    "a NumPy file": lambda: _numpy_file(),
}


def _numpy_file() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, weights=np.zeros(3))
    return stream.getvalue()


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_refused(tmp_path, kind):
    path = tmp_path / "foreign.pt"
    path.write_bytes(FOREIGN[kind]())
    assert_refused(path)


@pytest.mark.slow
def test_files_of_random_bytes_are_refused(tmp_path):
    rng = random.Random(0)
    for size in (1, 2, 5, 20, 100, 1000, 100_000):
        for _ in range(30):
            path = tmp_path / "random.pt"
            path.write_bytes(rng.randbytes(size))
            assert_refused(path)


def test_a_file_that_ends_where_a_pickle_has_nothing_to_return_is_refused(tmp_path):
    (tmp_path / "stop.pt").write_bytes(b".")
    assert_refused(tmp_path / "stop.pt")


class Malicious:
    """Would write a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.write_text, (self.marker, "executed")


def _unsafe_torch_load(data: bytes) -> object:
    return torch.load(io.BytesIO(data), weights_only=False)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize(
    "write, unsafe_read",
    [
        (as_torch_file, _unsafe_torch_load),
        (lambda content: as_torch_file(content, _use_new_zipfile_serialization=False), _unsafe_torch_load),
        (pickle.dumps, pickle.loads),
    ],
    ids=["zip", "old format", "pickle"],
)
def test_a_malicious_object_is_refused_and_not_executed(saved, tmp_path, write, unsafe_read):
    marker, path = tmp_path / "marker", tmp_path / "malicious.pt"
    path.write_bytes(write(content_of(saved) | {"card": Malicious(marker)}))
    assert_refused(path)
    assert not marker.exists()
    unsafe_read(path.read_bytes())
    assert marker.exists()  # it would have been executed


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            0,
            r"of an older version of DexScrew: .*version 0, expected 2; train it again, or use it with the version",
        ),
        (3, r"of a newer version of DexScrew: .*version 3, expected 2; update this installation"),
        ("1", r"is damaged: version '1' .*expected 2"),
        (None, r"is damaged: version None .*expected 2"),
        (True, r"is damaged: version True .*expected 2"),
    ],
)
def test_another_version_is_named_as_older_or_newer_with_what_to_do(saved, tmp_path, version, expected):
    path = tmp_path / "other.pt"
    torch.save(content_of(saved) | {"version": version}, path)
    with pytest.raises(ValueError, match=expected) as caught:
        policies.load(path)
    assert str(path) in str(caught.value)


def test_a_file_of_the_first_version_is_read_as_the_task_is_today(saved, tmp_path):
    content = content_of(saved)
    del content["interface"]
    content |= {"version": 1, "task_fields": {"thumb_bend_range": (0.1, 1.5), "action_scale": 0.03}}
    torch.save(content, tmp_path / "first.pt")
    policy = policies.load(tmp_path / "first.pt")
    assert policy.task_fields["target_ranges"] == (("thumb_bend", 0.1, 1.5),)
    assert policy.interface["scale_rad"] == 0.03 and policy.interface["range_rad"][9] == [0.1, 1.5]


def test_a_file_of_this_version_without_the_meaning_of_its_actions_is_refused(saved, tmp_path):
    content = content_of(saved)
    del content["interface"]
    torch.save(content, tmp_path / "lacking.pt")
    with pytest.raises(ValueError, match="it lacks 'interface', the meaning of its actions"):
        policies.load(tmp_path / "lacking.pt")


def test_every_shipped_policy_says_what_its_actions_mean():
    for name in policies.shipped():
        policy = policies.load(name)
        assert policy._made_for is not None, name
        policy.check_task(make_task(policy.task, **policy.task_fields))


@pytest.mark.parametrize(
    "keys", [("task",), ("shapes",), ("state",), ("card",), ("widths",), ("widths", "task_fields")]
)
def test_a_file_without_some_of_its_parts_is_named_as_old_with_what_to_do(saved, tmp_path, keys):
    """Files of the first commits have no widths and no task_fields."""
    content = {key: value for key, value in content_of(saved).items() if key not in keys}
    torch.save(content, tmp_path / "part.pt")
    with pytest.raises(ValueError) as caught:
        policies.load(tmp_path / "part.pt")
    message = str(caught.value)
    assert f"{tmp_path / 'part.pt'} is a dexscrew-policy file of an older version of DexScrew" in message
    lacking = sorted(re.findall("'([^']*)'", message.split("it lacks")[1]))
    assert lacking == sorted(keys) and "train it again" in message


@pytest.mark.parametrize("key, value", [("shapes", [3, 24]), ("state", [1.0]), ("task", ["nut"])])
def test_a_file_with_a_part_of_the_wrong_kind_is_refused(saved, tmp_path, key, value):
    torch.save(content_of(saved) | {key: value}, tmp_path / "kind.pt")
    assert_refused(tmp_path / "kind.pt")


def test_an_unknown_task_is_named(saved, tmp_path):
    torch.save(content_of(saved) | {"task": "bolt"}, tmp_path / "bolt.pt")
    with pytest.raises(ValueError, match="'bolt'"):
        policies.load(tmp_path / "bolt.pt")


def test_weights_of_another_network_are_refused(saved, tmp_path):
    content = content_of(saved)
    content["state"]["action_net.weight"] = torch.zeros(12, 7)
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(
        ValueError, match=r"other.pt does not .*another version of DexScrew.*action_net.*train it again"
    ):
        policies.load(tmp_path / "other.pt")


# -- writing ----------------------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file(saved, tmp_path, monkeypatch):
    path = tmp_path / "policy.pt"
    path.write_bytes(saved.read_bytes())

    def fail(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:100])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no space left"):
        policies.save(make_policy(seed=5), path)
    monkeypatch.undo()
    assert path.read_bytes() == saved.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy.pt"]
    policies.save(make_policy(seed=5), path)
    assert torch.equal(policies.load(path).act(observations()), make_policy(seed=5).act(observations()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task_fields": {"old_field": 1}}, "has no field 'old_field'"),
        ({"task_fields": {"friction": (2.0, 1.0)}}, "friction must be"),
        ({"task_fields": None}, "its task_fields are not values by name"),
        ({"task_fields": {3: 1}}, "its task_fields are not values by name"),
        ({"card": "abc"}, "its card are not values by name"),
        ({"kind": "gru"}, "a policy of the kind 'gru'"),
        ({"shapes": {"proprio": [10**9]}}, "layers of 1,000,000,000 numbers"),
    ],
)
def test_a_file_with_parts_of_other_kinds_is_named_with_what_to_do(tmp_path, change, words):
    content = policies.read(policies._SHIPPED / "nut-student.pt", policies.FORMAT, versions=(1, policies.VERSION))
    torch.save(content | change, tmp_path / "p.pt")
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        policies.load(tmp_path / "p.pt")
    assert str(tmp_path / "p.pt") in str(refused.value) and "train it again" in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(saved, tmp_path, value):
    content = torch.load(saved, weights_only=True)
    next(tensor for name, tensor in content["state"].items() if name.endswith("weight")).view(-1)[0] = value
    torch.save(content, tmp_path / "policy.pt")
    with pytest.raises(ValueError, match="it has weights that are not finite"):
        policies.load(tmp_path / "policy.pt")


def test_a_clone_is_named_as_such_and_who_takes_it():
    for name in ("nut-bc", policies._SHIPPED / "clones" / "nut-bc.pt"):
        with pytest.raises(
            ValueError, match=r"nut-bc\S* is (not a dexscrew-policy file; it is )?a clone of hand and arm: "
        ):
            policies.load(name)


def test_a_path_may_be_a_string(tmp_path):
    policies.save(policies.load("nut-student"), str(tmp_path / "policy.pt"))
    assert policies.load(str(tmp_path / "policy.pt")).task == "nut"
