from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from clone_data import JOINTS, record_waves

from baselines import policies
from baselines.bc.design import PRESETS, Design
from baselines.bc.features import REST_STEPS, sizes
from baselines.bc.network import CloneNetwork
from baselines.bc.normalisation import fit
from baselines.bc.policy import ClonePolicy, build, load, make_interface, save
from baselines.bc.windows import load_episodes, make_samples

DESIGN = Design(history=6, touch_history=3, horizon=4, encoder=(16,), widths=(16,))
SHAPES = {"hand_q": (3,), "arm_q": (6,), "held_hand": (3,), "held_arm": (6,), "tactile": (2, 10, 3),
          "resultant": (2, 3)}  # fmt: skip


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clones") / "demos"
    record_waves(folder)
    return load_episodes([folder], DESIGN, 0.7)


def make(episodes, design):
    """A clone with random weights and the data's normalisation."""
    torch.manual_seed(0)
    interface = make_interface(design, episodes[0].header, {k: f.shape for k, f in episodes[0].fields.items()})
    network = build(design, interface)
    fit(network, make_samples(episodes, design), design, 2)
    return ClonePolicy(network, interface, {"seed": 0})


def rows(episode, design):
    return [{key: episode[key][k] for key in design.fields} for k in range(len(episode))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{}, {"targets": "absolute", "held": False}, {"touch": "taxels"}, {"touch": "contact", "touch_memory": 1},
     {"touch": "pressure"},
     {"tactile": False}, {"history": 1},
     {"decoder": "hourglass", "widths": (8, 16)}, {"shared_encoder": True, "memory": 0}],
)  # fmt: skip
def test_it_sees_on_the_robot_what_it_saw_in_training(episodes, changes):
    design = replace(DESIGN, **changes)
    policy, episode = make(episodes, design), episodes[0]
    samples = make_samples([episode], design)
    acted = [np.concatenate(policy.act(row)) for row in rows(episode, design)]
    windows, _, _ = samples.windows(design, torch.arange(len(episode)))
    expected = policy.network.targets(windows)[:, 0].detach().numpy()
    if design.targets == "increments":
        expected += np.concatenate([episode["held_hand"], episode["held_arm"]], -1)
    start = REST_STEPS if design.tactile else 0
    np.testing.assert_allclose(acted[start:], expected[start:], atol=1e-5)
    for target, row in zip(acted[:start], rows(episode, design), strict=False):
        np.testing.assert_array_equal(target, np.concatenate([row["held_hand"], row["held_arm"]]))


def test_reset_forgets(episodes):
    policy = make(episodes, DESIGN)
    first = [policy.act(row)[0] for row in rows(episodes[0], DESIGN)]
    policy.reset()
    again = [policy.act(row)[0] for row in rows(episodes[0], DESIGN)]
    np.testing.assert_array_equal(first, again)


def test_a_chunk_is_followed_for_as_long_as_the_design_says(episodes):
    design = replace(DESIGN, execute=3, tactile=False)
    policy = make(episodes, design)
    steps = rows(episodes[0], design)
    windows, _, _ = make_samples(episodes[:1], design).windows(design, torch.tensor([0]))
    chunk = policy.network.targets(windows)[0].detach().numpy() + np.r_[steps[0]["held_hand"], steps[0]["held_arm"]]
    followed = [np.concatenate(policy.act(step)) for step in steps[:3]]
    np.testing.assert_allclose(followed, chunk[:3], atol=1e-6)


def test_a_file_comes_back_as_the_same_policy(episodes, tmp_path):
    policy = make(episodes, DESIGN)
    path = tmp_path / "nut-bc" / "policy.pt"
    save(policy, path)
    torch.manual_seed(5)
    drawn = torch.get_rng_state()
    loaded = load(path)
    assert torch.equal(torch.get_rng_state(), drawn)  # the caller's draws are untouched
    assert (loaded.name, loaded.task, loaded.card) == ("nut-bc", "nut", {"seed": 0})
    assert loaded.interface["observations"] == {key: list(SHAPES[key]) for key in DESIGN.fields}
    for row in rows(episodes[0], DESIGN)[:20]:
        np.testing.assert_array_equal(np.concatenate(policy.act(row)), np.concatenate(loaded.act(row)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hand": "large"}, "made for the hand small, and here it is large"),
        ({"joints": ("a", "c", "b")}, r"the joints in the order \(a, b, c\), and here it is \(a, c, b\)"),
        ({"period": 0.1}, r"a rate \(Hz\) of 20, and here it is 10"),
        ({"shapes": {"hand_q": (3,)}}, "needs 'arm_q' among the observations"),
        ({"shapes": {**SHAPES, "resultant": (5, 3)}}, r"resultant of shape \(2, 3\), got \(5, 3\)"),
    ],
)
def test_a_robot_that_differs_is_refused_by_name_and_value(episodes, changes, words):
    policy = make(episodes, DESIGN)
    fitting = {"hand": "small", "joints": JOINTS, "shapes": SHAPES, "period": 0.05}
    policy.check(**fitting)
    with pytest.raises(ValueError, match=words):
        policy.check(**fitting | changes)


def test_a_step_that_cannot_be_is_refused(episodes):
    policy = make(episodes, DESIGN)
    step = rows(episodes[0], DESIGN)[0]
    with pytest.raises(ValueError, match="needs 'resultant' in the step"):
        policy.act({key: value for key, value in step.items() if key != "resultant"})
    with pytest.raises(ValueError, match=r"hand_q must have the shape \(3,\), got \(2,\)"):
        policy.act(step | {"hand_q": np.zeros(2)})
    with pytest.raises(ValueError, match="arm_q must be finite"):
        policy.act(step | {"arm_q": np.full(6, np.nan)})


def test_files_that_are_no_clones_are_refused(episodes, tmp_path):
    with pytest.raises(ValueError, match="is not a dexscrew-clone file; it is a policy of the fingers alone"):
        load(policies._SHIPPED / "nut-student.pt")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(tmp_path / "none.pt")
    with pytest.raises(ValueError, match="unknown clone 'nut-bd'"):
        load("nut-bd")
    with pytest.raises(TypeError, match="by its name"):
        load(3)
    path = tmp_path / "policy.pt"
    save(make(episodes, DESIGN), path)
    content = torch.load(path, weights_only=True)
    content["design"]["history"] = 7
    policies.write_atomically(content, path)
    with pytest.raises(ValueError, match="does not hold a clone that this version can build"):
        load(path)
    for part, change, words in (
        ("state", {"hand_center": torch.full((6,), torch.nan)}, "weights that are not finite"),
        ("interface", {"rate_hz": None}, "its interface has no rate_hz"),
    ):
        save(make(episodes, DESIGN), path)
        content = torch.load(path, weights_only=True)
        content[part] = {key: value for key, value in (content[part] | change).items() if value is not None}
        policies.write_atomically(content, path)
        with pytest.raises(ValueError, match=words):
            load(path)
    save(make(episodes, DESIGN), path)
    content = torch.load(path, weights_only=True)
    del content["interface"]["observations"]["held_hand"]
    policies.write_atomically(content, path)
    with pytest.raises(ValueError, match="its interface has no observation held_hand, which its design needs"):
        load(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="not a whole dexscrew-clone file"):
        load(path)
    with pytest.raises(ValueError, match="is a clone of hand and arm"):
        save(make(episodes, DESIGN), path)
        policies.load(path)


@pytest.mark.real_time
def test_the_default_answers_within_ten_milliseconds():
    design = PRESETS["default"]
    network = CloneNetwork(design, sizes(design, 12, (5, 120)), 18)
    interface = {"task": "nut", "hand": "h", "joints": ["j"] * 12, "fingers": ["f"] * 5, "rate_hz": 20.0,
                 "observations": {"hand_q": [12], "arm_q": [6], "held_hand": [12], "held_arm": [6],
                                  "tactile": [5, 120, 3], "resultant": [5, 3]}}  # fmt: skip
    policy = ClonePolicy(network, interface, {})
    step = {key: np.zeros(shape) for key, shape in interface["observations"].items()}
    before, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(60):
            began = time.perf_counter()
            policy.act(step)
            before.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    assert np.median(before[20:]) < 0.01
