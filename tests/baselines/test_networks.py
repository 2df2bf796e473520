from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from fakes import SHAPES, box
from torch.distributions import Independent, Normal, kl_divergence

from baselines.networks import RunningNorm, Trunk, gaussian_kl, log_probability, mlp
from baselines.rl.actor_critic import DexScrewActorCritic


def norm_of(batches: list[torch.Tensor]) -> RunningNorm:
    norm = RunningNorm(batches[0].shape[1:])
    for batch in batches:
        norm.update(batch)
    return norm


@pytest.fixture
def batches() -> list[torch.Tensor]:
    torch.manual_seed(0)
    sizes = (7, 64, 1, 500)
    return [30 * k + (k + 1) * torch.randn(size, 3, 2) for k, size in enumerate(sizes)]


def test_the_running_norm_has_the_mean_and_variance_of_all_batches_and_of_one_standard_normal_sample(batches):
    norm = norm_of(batches)
    every = torch.cat(batches).double().numpy()
    # It begins with the weight of one sample of mean 0 and variance 1: one of +1 and one of -1, of half a weight each.
    prior = np.stack([np.ones((3, 2)), -np.ones((3, 2))])
    weights = np.concatenate([np.ones(len(every)), [0.5, 0.5]])
    values = np.concatenate([every, prior])
    mean = np.average(values, axis=0, weights=weights)
    np.testing.assert_allclose(norm.mean.numpy(), mean, rtol=1e-9)
    np.testing.assert_allclose(norm.var.numpy(), np.average((values - mean) ** 2, axis=0, weights=weights), rtol=1e-9)
    assert float(norm.count) == 1 + len(every)


def test_the_running_norm_of_many_values_is_that_of_numpy():
    torch.manual_seed(0)
    batches = [5 + 3 * torch.randn(20_000, 4) for _ in range(3)]
    norm = norm_of(batches)
    every = torch.cat(batches).double().numpy()
    np.testing.assert_allclose(norm.mean.numpy(), every.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(norm.var.numpy(), every.var(axis=0), rtol=1e-3)


def test_the_running_norm_does_not_depend_on_how_values_are_batched(batches):
    split, whole = norm_of(batches), norm_of([torch.cat(batches)])
    torch.testing.assert_close(split.mean, whole.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(split.var, whole.var, rtol=1e-12, atol=1e-12)


def test_the_running_norm_stays_exact_far_from_zero():
    torch.manual_seed(0)
    batches = [1e6 + torch.randn(1000, 1).double() for _ in range(100)]
    norm = RunningNorm((1,))
    norm.mean.fill_(1e6)
    for batch in batches:
        norm.update(batch)
    assert float(norm.var) == pytest.approx(float(torch.cat(batches).var()), rel=1e-2)


def test_normalised_values_have_mean_zero_and_variance_one():
    torch.manual_seed(0)
    values = torch.tensor([3.0, -100.0]) + torch.tensor([0.1, 40.0]) * torch.randn(100_000, 2)
    normalised = norm_of([values])(values)
    torch.testing.assert_close(normalised.mean(dim=0), torch.zeros(2), atol=0.02, rtol=0)
    torch.testing.assert_close(normalised.std(dim=0), torch.ones(2), atol=0.02, rtol=0)


def test_denormalize_inverts_the_normalisation_where_nothing_was_clipped(batches):
    norm = norm_of(batches)
    values = torch.cat(batches)
    inside = ((values - norm.mean) / norm.var.sqrt()).abs() < 5
    assert inside.any()
    torch.testing.assert_close(norm.denormalize(norm(values))[inside], values[inside], rtol=1e-4, atol=1e-4)


def test_normalised_values_are_clipped_to_five():
    norm = norm_of([torch.randn(100, 1)])
    far = norm(torch.tensor([[1e6], [-1e6]]))
    assert far.flatten().tolist() == [5.0, -5.0]


def test_the_running_norm_survives_a_round_trip_through_its_state(batches):
    norm, other = norm_of(batches), RunningNorm((3, 2))
    other.load_state_dict(norm.state_dict())
    assert torch.equal(other(batches[0]), norm(batches[0]))
    assert not torch.equal(RunningNorm((3, 2))(batches[0]), norm(batches[0]))


def test_an_mlp_ends_with_an_activation_only_if_asked():
    assert [type(layer).__name__ for layer in mlp([3, 4, 2])] == ["Linear", "ELU", "Linear", "ELU"]
    assert [type(layer).__name__ for layer in mlp([3, 4, 2], last=False)] == ["Linear", "ELU", "Linear"]


def test_log_probability_is_that_of_torch():
    torch.manual_seed(0)
    mean, std, actions = torch.randn(9, 12), torch.rand(12) + 0.1, torch.randn(9, 12)
    torch.testing.assert_close(
        log_probability(actions, mean, std), Independent(Normal(mean, std), 1).log_prob(actions), rtol=1e-5, atol=1e-5
    )


def test_gaussian_kl_is_that_of_torch_from_old_to_new():
    torch.manual_seed(0)
    mean, old_mean = torch.randn(9, 12), torch.randn(9, 12)
    std, old_std = torch.rand(12) + 0.1, torch.rand(12) + 0.1
    new, old = Independent(Normal(mean, std), 1), Independent(Normal(old_mean, old_std), 1)
    torch.testing.assert_close(gaussian_kl(mean, std, old_mean, old_std), kl_divergence(old, new), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(kl_divergence(old, new), kl_divergence(new, old), rtol=0.1)


def test_gaussian_kl_of_equal_distributions_is_zero():
    mean, std = torch.randn(9, 12), torch.rand(12) + 0.1
    torch.testing.assert_close(gaussian_kl(mean, std, mean, std), torch.zeros(9), atol=1e-6, rtol=0)


def trunk_of(*keys: str, **kwargs) -> Trunk:
    torch.manual_seed(0)
    return Trunk(gymnasium.spaces.Dict({key: box(1.0, SHAPES[key]) for key in keys}), keys, **kwargs)


def observations(*keys: str) -> dict[str, torch.Tensor]:
    return {key: torch.randn(5, *SHAPES[key]) for key in keys}


@pytest.mark.parametrize("key", ["proprio", "privileged"])
def test_the_trunk_reads_every_number_of_its_observation(key):
    trunk, inputs = trunk_of("proprio", "privileged"), observations("proprio", "privileged")
    inputs[key].requires_grad_()
    trunk(inputs).square().sum().backward()
    assert (inputs[key].grad != 0).all()


def test_the_trunk_works_without_privileged_information():
    trunk, inputs = trunk_of("proprio", trunk=(32, 16)), observations("proprio", "privileged")
    assert trunk.encoder is None
    features = trunk({"proprio": inputs["proprio"]})
    assert features.shape == (5, 16)
    assert torch.equal(trunk(inputs), features)


def test_the_latent_has_the_width_of_the_encoder_and_lies_between_minus_and_plus_one():
    trunk = trunk_of("proprio", "privileged", encoder=(16, 6))
    latent = trunk.latent({"privileged": 1e3 * torch.randn(50, *SHAPES["privileged"])})
    assert latent.shape == (50, 6)
    assert latent.abs().max() <= 1


def test_update_norms_takes_in_each_key():
    trunk, inputs = trunk_of("proprio", "privileged"), observations("proprio", "privileged")
    trunk.update_norms(inputs)
    for key, norm in trunk.norms.items():
        torch.testing.assert_close(norm.mean.float(), inputs[key].sum(dim=0) / 6)


@pytest.fixture
def policy() -> DexScrewActorCritic:
    torch.manual_seed(0)
    space = gymnasium.spaces.Dict({key: box(1.0, shape) for key, shape in SHAPES.items()})
    policy = DexScrewActorCritic(space, box(1.0, (12,)), lambda _: 1e-3)
    policy.value_norm.update(3 + 2 * torch.randn(1000, 1))
    return policy


def test_the_values_of_a_policy_are_in_units_of_the_return(policy):
    inputs = observations(*SHAPES)
    with torch.no_grad():
        _, _, normalised = policy.distribution_and_value(inputs)
        expected = policy.value_norm.denormalize(normalised)
        _, values, _ = policy(inputs)
        assert not torch.allclose(expected, normalised, atol=0.5)
        assert torch.equal(policy.values(inputs), expected)
        assert torch.equal(policy.predict_values(inputs)[:, 0], expected)
        assert torch.equal(values[:, 0], expected)


@pytest.mark.slow
def test_a_policy_draws_actions_from_the_distribution_that_it_reports(policy):
    inputs = {key: tensor[:1].expand(20_000, *tensor.shape[1:]) for key, tensor in observations(*SHAPES).items()}
    with torch.no_grad():
        policy.log_std.copy_(torch.linspace(-2, 0, 12))
        mean, std, _ = policy.distribution_and_value(inputs)
        actions, _, log_probs = policy(inputs)
        assert torch.equal(policy(inputs, deterministic=True)[0], mean)
    torch.testing.assert_close(actions.mean(dim=0), mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(actions.std(dim=0), std, atol=0.03, rtol=0)
    torch.testing.assert_close(log_probs, policy.get_distribution(inputs).log_prob(actions), rtol=1e-4, atol=1e-4)
