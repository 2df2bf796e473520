from __future__ import annotations

import pytest
import torch
from fakes import SHAPES, FakeEnv

from baselines import policies
from baselines.policies import ActorPolicy
from baselines.rl.actor_critic import DexScrewActorCritic
from baselines.rl.dagger import TensorDAgger, distillation_losses
from baselines.rl.sb3_env import TensorVecEnv

ALL = SHAPES | {"history": (30, 24)}
WIDTHS = {"encoder": (8, 4), "trunk": (32, 16)}


def make_oracle(shapes: dict[str, tuple[int, ...]] = SHAPES) -> ActorPolicy:
    torch.manual_seed(3)
    actor = policies.build_actor(shapes, WIDTHS)
    actor.body.update_norms({key: 2 + torch.randn(50, *shape) for key, shape in shapes.items()})
    return ActorPolicy(actor, "nut", {})


def make(oracle: ActorPolicy, **kwargs) -> TensorDAgger:
    env = TensorVecEnv(FakeEnv([5] * 8, shapes=ALL))
    kwargs = {"n_steps": 8, "batch_size": 32, "n_epochs": 4, "learning_rate": 1e-3, "seed": 0, "device": "cpu"} | kwargs
    policy_kwargs = {"actor": ("proprio", "history"), **WIDTHS}
    return TensorDAgger(DexScrewActorCritic, env, oracle=oracle, policy_kwargs=policy_kwargs, **kwargs)


def test_the_losses_are_squared_errors_summed_over_components():
    student = policies.build_actor({"proprio": (3, 24), "history": (30, 24)}, WIDTHS)
    seen = {"proprio": torch.randn(6, 3, 24), "history": torch.randn(6, 30, 24)}
    with torch.no_grad():
        action, latent = student.act_and_latent(seen)
        losses = distillation_losses(student, seen, action + 0.5, latent - 0.1)
    assert float(losses["action"]) == pytest.approx(12 * 0.25, rel=1e-5)
    assert float(losses["latent"]) == pytest.approx(4 * 0.01, rel=1e-4)


def test_the_student_starts_with_the_trunk_and_head_of_its_oracle():
    oracle = make_oracle()
    student = make(oracle).policy.actor()
    latent = torch.rand(5, 4)
    proprio = torch.randn(5, 3, 24)
    with torch.no_grad():
        ours = student.head(student.body.features(proprio, latent))
        theirs = oracle.actor.head(oracle.actor.body.features(proprio, latent))
    assert torch.equal(ours, theirs)


@pytest.mark.slow
def test_the_student_learns_what_the_oracle_does_and_the_oracle_stays_as_it_was():
    oracle = make_oracle()
    before = {key: value.clone() for key, value in oracle.actor.state_dict().items()}
    model = make(oracle)
    losses: list[tuple[float, float]] = []
    train = model.train

    def record() -> None:
        train()
        logged = model.logger.name_to_value
        losses.append((logged["train/action_loss"], logged["train/latent_loss"]))

    model.train = record  # type: ignore[method-assign]
    model.learn(30 * 64)
    assert losses[-1][0] < 0.2 * losses[0][0]
    assert losses[-1][1] < 0.2 * losses[0][1]
    assert all(torch.equal(value, before[key]) for key, value in oracle.actor.state_dict().items())


def test_the_student_acts_on_its_own_observation_while_the_oracle_only_labels():
    model = make(make_oracle())
    sent: list[torch.Tensor] = []
    step = model.env.env.step
    model.env.env.step = lambda actions: (sent.append(actions), step(actions))[1]
    _, callback = model._setup_learn(64)
    observation = {key: value.clone() for key, value in model._last_obs.items()}
    assert model.collect_rollouts(model.env, callback, None, 1)
    with torch.no_grad():
        student = model.policy.actor()(observation)
        oracle = model.oracle.actor(observation)
    torch.testing.assert_close(sent[0], student, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.data["action"], oracle)
    assert not torch.allclose(student, oracle, atol=1e-3)
    assert set(model.data) == {"proprio", "history", "action", "latent"}


def test_an_oracle_of_other_observations_is_refused():
    with pytest.raises(ValueError, match=r"trained with privileged of shape \(7,\), got \(4,\)"):
        make(make_oracle({"proprio": (3, 24), "privileged": (7,)}))


def test_an_oracle_without_a_latent_is_refused():
    with pytest.raises(ValueError, match="no latent"):
        make(make_oracle({"proprio": (3, 24)}))
