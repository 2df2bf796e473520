from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dexscrew_envs.mdp.randomization import noisy, push, sample_episode
from dexscrew_envs.tasks import NUT, SCREWDRIVER
from dexscrew_envs.tasks.declare import drawn_sizes

COUNT = 20_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def episode():
    return sample_episode(NUT, COUNT, 100, generator())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mass", "center_of_mass", "friction", "restitution", "joint_friction", "kp", "kd"])
@pytest.mark.parametrize("task", [NUT, SCREWDRIVER], ids=lambda task: task.name)
def test_draws_fill_their_range_evenly(name, task):
    low, high = getattr(task, name)
    drawn = sample_episode(task, COUNT, 100, generator()).drawn[name]
    assert drawn.dtype == torch.float32
    unit = (drawn - low) / (high - low)
    assert -1e-5 <= unit.min() < 0.01
    assert 0.99 < unit.max() <= 1 + 1e-5
    torch.testing.assert_close(unit.mean(dim=0), torch.full(unit.shape[1:], 0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(unit.std(dim=0), torch.full(unit.shape[1:], 12**-0.5), atol=0.005, rtol=0)


def test_shapes_are_one_row_per_episode(episode):
    sizes = {name: tuple(tensor.shape[1:]) for name, tensor in episode.tensors().items()}
    ones = dict.fromkeys(("mass", "friction", "restitution", "joint_friction"), (1,))
    twelves = dict.fromkeys(("kp", "kd", "observation_bias", "action_bias"), (12,))
    expected = {"start": (), "center_of_mass": (3,), **ones, **twelves}
    assert {name: sizes[name] for name in expected} == expected
    assert {name: (size,) for name, size in drawn_sizes(NUT).items()}.items() <= sizes.items()
    assert {len(tensor) for tensor in episode.tensors().values()} == {COUNT}


def test_every_start_state_is_drawn(episode):
    counts = torch.bincount(episode.start)
    assert len(counts) == 100
    assert counts.min() > 0.6 * COUNT / 100
    assert counts.max() < 1.4 * COUNT / 100


def test_gains_are_drawn_per_joint(episode):
    correlation = torch.corrcoef(torch.cat([episode.drawn["kp"], episode.drawn["kd"]], dim=1).T)
    assert (correlation - torch.eye(24)).abs().max() < 0.05


@pytest.mark.parametrize("name", ["observation_bias", "action_bias"])
def test_noise_of_an_episode_is_normal(episode, name):
    bias = getattr(episode, name)
    assert bias.mean().abs() < 1e-4
    assert bias.std() == pytest.approx(0.01, rel=0.01)
    assert (bias.abs() < 0.01).float().mean() == pytest.approx(0.683, abs=0.01)


def test_biases_are_drawn_apart(episode):
    both = torch.stack([episode.observation_bias.flatten(), episode.action_bias.flatten()])
    assert torch.corrcoef(both)[0, 1].abs() < 0.02


def test_noise_of_a_step_comes_on_top_of_the_bias():
    value, bias = torch.full((COUNT, 12), 0.5), torch.full((COUNT, 12), 0.01)
    rng = generator()
    first, second = noisy(value, bias, 0.005, rng), noisy(value, bias, 0.005, rng)
    assert first.mean() == pytest.approx(0.51, abs=1e-4)
    assert first.std() == pytest.approx(0.005, rel=0.01)
    assert torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].abs() < 0.02


def test_no_noise_leaves_the_value():
    value = torch.rand(3, 12)
    assert torch.equal(noisy(value, torch.zeros(3, 12), 0.0, generator()), value)


def test_without_randomization_episodes_are_all_the_same():
    for task in (NUT, SCREWDRIVER):
        still = sample_episode(task.without_randomization(), 50, 1, generator())
        for tensor in still.tensors().values():
            torch.testing.assert_close(tensor, tensor[:1].expand_as(tensor))
        assert still.drawn["mass"][0].item() == pytest.approx(0.05)
        assert still.drawn["friction"][0].item() == pytest.approx(4.25)
        assert still.drawn["restitution"][0].item() == 0.0
        assert still.drawn["center_of_mass"].abs().max() < 1e-9
        torch.testing.assert_close(still.drawn["kp"], torch.full((50, 12), 3.0))
        torch.testing.assert_close(still.drawn["kd"], torch.full((50, 12), 0.01))
        assert not still.observation_bias.any()
        assert not still.action_bias.any()


def test_same_generator_state_gives_the_same_episode():
    first, second = sample_episode(NUT, 5, 10, generator(3)), sample_episode(NUT, 5, 10, generator(3))
    other = sample_episode(NUT, 5, 10, generator(4))
    for name, tensor in first.tensors().items():
        assert torch.equal(tensor, second.tensors()[name])
    assert not torch.equal(first.drawn["mass"], other.drawn["mass"])


def test_push_hits_with_two_draws_a_step():
    mass = torch.full((COUNT, 1), 0.05)
    force = push(NUT, torch.zeros(COUNT, 3), mass, generator())
    hit = force.any(dim=1)
    assert hit.float().mean() == pytest.approx(1 - 0.75**2, abs=0.015)
    assert force[hit].mean().abs() < 0.002
    torch.testing.assert_close(force[hit].std(dim=0), torch.full((3,), 2.0 * 0.05), rtol=0.03, atol=0)


def test_push_grows_with_the_mass():
    certain = replace(NUT, push_probability=1.0)
    light = push(certain, torch.zeros(COUNT, 3), torch.full((COUNT, 1), 0.01), generator())
    heavy = push(certain, torch.zeros(COUNT, 3), torch.full((COUNT, 1), 0.03), generator())
    torch.testing.assert_close(heavy, 3 * light)


def test_push_decays_by_a_tenth_each_80_ms():
    rare = replace(NUT, push_probability=1e-9)
    force, mass = torch.tensor([[1.0, -2.0, 3.0]]), torch.ones(1, 1)
    start = force.clone()
    for _ in range(8):  # 0.4 s are five intervals
        force = push(rare, force, mass, generator())
    torch.testing.assert_close(force, start * 0.9**5)


def test_fresh_push_replaces_the_old():
    certain = replace(NUT, push_probability=1.0)
    force = push(certain, torch.full((COUNT, 3), 100.0), torch.full((COUNT, 1), 0.05), generator())
    assert force.abs().max() < 1.0


@pytest.mark.parametrize("changes", [{"push_probability": 0.0}, {"push_force": 0.0}])
def test_push_can_be_switched_off(changes):
    rng = generator()
    before = rng.get_state()
    assert not push(replace(NUT, **changes), torch.zeros(COUNT, 3), torch.ones(COUNT, 1), rng).any()
    assert torch.equal(rng.get_state(), before)
