"""Arguments of kinds that nobody meant, to both simulated environments: each is refused in a sentence that names it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from dexscrew_envs.env import DexScrewEnv
from dexscrew_envs.tasks import Task, make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv


class Thing:
    """Nothing that an argument may be; its name is the same in every process, as tests side by side need it."""

    def __repr__(self) -> str:
        return "<a thing>"


THING = Thing()


FIXED = ("name", "shapes", "on_robot")
ODD = (
    "yes", "no", "", b"x", 1.5, -1, 2**31, 10**30, float("nan"), (None,), [], {}, {"a"}, THING, 2 + 1j,
    np.array([1.0, 2.0]), torch.zeros(2), torch.float32,
)  # fmt: skip
FINE = {
    "device": (None, "cpu", torch.device("cpu"), torch.device("cpu", 0)),
    "num_threads": (0, np.int32(2)),
}


@pytest.fixture(params=[DexScrewVectorEnv, DexScrewEnv])
def kind(request):
    return request.param


@pytest.mark.parametrize("value", [*ODD, 0, 1, None, "True", np.int64(1), np.float32(0)], ids=repr)
def test_only_booleans_are_booleans(kind, value):
    with pytest.raises(ValueError, match="randomize must be True or False, got"):
        kind("nut", randomize=value)
    with pytest.raises(ValueError, match="randomize must be True or False, got"):
        make_task("nut", randomize=value)
    with pytest.raises(ValueError, match="autoreset must be True or False, got"):
        DexScrewVectorEnv("nut", autoreset=value)


@pytest.mark.slow
def test_numpys_booleans_are_taken():
    env = DexScrewVectorEnv("nut", 1, randomize=np.bool_(False), autoreset=np.bool_(False), num_threads=1)
    assert env.task.push_probability == 0.0
    assert env.autoreset is False


@pytest.mark.slow
@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("task", "unknown task"),
        ("shape", "nut: (unknown shape|shape must)"),
        ("observe", "(unknown observation|observe must name at least one of proprio)"),
        ("engine", "unknown engine .*choose from mujoco, warp"),
        ("device", "(device must be a torch device or its name|runs on device 'cpu', not on)"),
        ("num_threads", "num_threads must be"),
        ("max_contacts", "max_contacts must be"),
        ("render_mode", "unknown render_mode .*choose None or 'rgb_array'"),
        ("camera", "unknown camera .*choose from side, or None"),
        ("max_episode_steps", "max_episode_steps must be"),
    ],
)
def test_an_argument_of_an_odd_kind_is_refused(kind, name, told, value):
    with pytest.raises(ValueError, match=told):
        kind(**{"num_threads": 1, name: value})


@pytest.mark.parametrize("value", [*ODD, None, 0, True], ids=repr)
def test_num_envs_is_a_number(value):
    with pytest.raises(ValueError, match="num_envs must be"):
        DexScrewVectorEnv("nut", value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("num_threads", "2", "num_threads must be 0 .* or positive, got '2'"),
        ("num_threads", True, "num_threads must be 0 .* or positive, got True"),
        ("num_threads", 2.0, "num_threads must be 0 .* or positive, got 2.0"),
        ("max_contacts", 8, "max_contacts is for the warp engine"),
        ("max_contacts", 0, "max_contacts must be an integer of at least 1, got 0"),
        ("observe", None, "observe must name at least one of proprio"),
        ("observe", ("proprio", None), "unknown observation None"),
        ("camera", "nope", "unknown camera 'nope'"),
        ("device", 0, "device must be a torch device or its name, such as 'cpu', got 0"),
        ("device", torch.device("cuda"), "runs on device 'cpu', not on 'cuda'"),
    ],
)
def test_what_is_nearly_right_is_told_exactly(kind, name, value, told):
    with pytest.raises(ValueError, match=told):
        kind("nut", **{name: value})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "values"), FINE.items())
def test_all_forms_of_what_is_right_are_taken(kind, name, values):
    for value in values:
        kind("nut", **{"num_threads": 1, name: value}).close()
    kind("nut", num_threads=1, shape=["triangle", "square"], observe=["proprio"], render_mode="rgb_array").close()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [["square"], {"square"}, np.array(["square"])], ids=repr)
def test_shapes_may_be_in_any_collection(kind, shape):
    env = kind("nut", num_threads=1, shape=shape, randomize=False)
    assert env.task.sampled_shapes == ("square",)
    env.close()


def test_a_single_environment_has_no_autoreset():
    with pytest.raises(TypeError, match=r"reset by its caller; autoreset is for gymnasium.make_vec"):
        DexScrewEnv("nut", autoreset=True)


@pytest.mark.parametrize(
    "field", [field.name for field in fields(Task) if field.name not in ("name", "shapes", "on_robot")]
)
def test_every_field_of_a_task_names_itself_when_it_is_wrong(field):
    for value in ODD:
        try:
            make_task("nut", **{field: value})
        except ValueError as error:
            assert field in str(error) and str(error).startswith("nut: ")
        else:  # there is nothing odd about it for this field
            assert isinstance(value, (int, float, list)) or value == "", value


@pytest.mark.slow
@pytest.mark.parametrize("task", [make_task("nut"), "nut"], ids=["task", "name"])
def test_fields_of_a_task_and_of_its_name_are_checked_alike(task):
    with pytest.raises(TypeError, match="no field 'reset_distanc'; did you mean 'reset_distance'"):
        DexScrewVectorEnv(task, 1, reset_distanc=0.1)
    assert DexScrewVectorEnv(task, 1, num_threads=1, mass=[0.03, 0.04]).task.mass == (0.03, 0.04)


# -- calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"seed": 3}, {"reset_maks": [True]}, {0: 1}, [True], "reset_mask", 3], ids=repr)
def test_unknown_options_are_refused(kind, options):
    env = kind("nut", num_threads=1)
    with pytest.raises(ValueError, match=r"(unknown option|options must be a dict or None, got)"):
        env.reset(options=options)
    env.reset(options={})
    env.reset(options=None)
    env.close()


def test_a_mask_is_not_for_a_single_environment():
    env = DexScrewEnv("nut", num_threads=1)
    with pytest.raises(ValueError, match="unknown option 'reset_mask' of reset; this environment has none"):
        env.reset(options={"reset_mask": np.array([True])})


@pytest.mark.parametrize("mask", ["yes", 1, THING, [None] * 2, ["a", "b"], {}, np.array([[True, True]])], ids=repr)
def test_a_mask_of_an_odd_kind_is_refused(mask):
    env = DexScrewVectorEnv("nut", 2, num_threads=1)
    with pytest.raises(ValueError, match="reset_mask must be 2 booleans"):
        env.reset(options={"reset_mask": mask})


def test_a_refused_reset_changes_nothing():
    first, second = (DexScrewVectorEnv("nut", 2, num_threads=1) for _ in range(2))
    for env in (first, second):
        env.reset(seed=1)
    for wrong in (
        {"options": {"reset_mask": [1, 0]}, "seed": 5}, {"seed": -1}, {"seed": 5, "options": {"x": 1}},
        {"options": {"random_ages": "yes"}, "seed": 5},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"must be|unknown option"):
            first.reset(**wrong)
    assert torch.equal(first.reset()[0]["privileged"], second.reset()[0]["privileged"])


@pytest.mark.parametrize("seed", [[0, 1], (1,), "0", np.array([1]), 1.0, torch.tensor(1), np.True_], ids=repr)
def test_a_seed_of_an_odd_kind_is_refused(seed):
    env = DexScrewVectorEnv("nut", 2, num_threads=1)
    with pytest.raises(ValueError, match=r"seed must be a non-negative integer below 2\^63, got"):
        env.reset(seed=seed)


def test_numpys_seeds_are_taken_by_a_single_environment():
    env = DexScrewEnv("nut", num_threads=1)
    first, second = (env.reset(seed=seed)[0] for seed in (np.uint8(3), 3))
    np.testing.assert_array_equal(first["history"], second["history"])


@pytest.mark.parametrize("actions", [None, "x", THING, [[None] * 12] * 2, [[1.0], [1.0, 2.0]]], ids=repr)
def test_actions_of_an_odd_kind_are_refused(actions):
    env = DexScrewVectorEnv("nut", 2, num_threads=1)
    env.reset(seed=0)
    with pytest.raises(TypeError, match="actions must be a floating-point tensor with values, got"):
        env.step(actions)
    with pytest.raises(TypeError, match="actions must be a floating-point tensor with values, got Tensor"):
        env.step(torch.zeros(2, 12, device="meta"))
