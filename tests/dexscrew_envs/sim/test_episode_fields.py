from __future__ import annotations

import pytest
import torch

from dexscrew_envs.mdp.randomization import sample_episode
from dexscrew_envs.sim import make_simulator
from dexscrew_envs.sim.episode_fields import FIELDS, NAMES, EpisodeField, check_fields, damping_ratio
from dexscrew_envs.tasks import NUT, make_task
from dexscrew_envs.tasks.declare import drawn_sizes

TASK = make_task("nut", min_contact_damping_ratio=0.05)  # so that few restitutions are at the bound


def test_every_quantity_that_an_episode_draws_has_a_place_in_the_model():
    assert {entry.quantity for entry in FIELDS} == set(drawn_sizes(TASK))
    assert {entry.field for entry in FIELDS} <= set(NAMES)


def test_a_row_and_a_quantity_without_the_other_are_refused():
    with pytest.raises(ValueError, match="a row writes 'softness', which no field of Task draws; those drawn are"):
        check_fields([*FIELDS, EpisodeField("geom_friction", "softness", lambda at: (at.nut,))])
    with pytest.raises(ValueError, match="Task draws 'restitution', and no row of the table writes it"):
        check_fields([field for field in FIELDS if field.quantity != "restitution"])


@pytest.mark.slow
@pytest.mark.parametrize("entry", FIELDS, ids=lambda entry: f"{entry.quantity} in {entry.field}")
def test_a_reset_writes_each_quantity_where_the_table_says_and_for_its_environments_only(entry):
    sim = make_simulator("mujoco", TASK, 4, num_threads=1)
    episode = sample_episode(TASK, 4, 1024, torch.Generator().manual_seed(0))
    sim.reset(torch.arange(4), episode)
    array, place = sim._model[entry.field], entry.place(sim._readout)
    before = torch.from_numpy(array[(slice(None), *place)].copy())
    expected = entry.values(TASK, episode, torch.float64)
    torch.testing.assert_close(before, expected.expand_as(before), rtol=1e-6, atol=0)

    other = sample_episode(TASK, 2, 1024, torch.Generator().manual_seed(1))
    sim.reset(torch.tensor([1, 3]), other)
    after = torch.from_numpy(array[(slice(None), *place)].copy())
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert not torch.equal(after[[1, 3]], before[[1, 3]])


def test_restitution_becomes_the_same_damping_ratio_in_both_precisions():
    values = torch.linspace(0, 1, 41)[:, None]
    single, double = damping_ratio(NUT, values), damping_ratio(NUT, values.double())
    torch.testing.assert_close(single.double(), double, atol=1e-5, rtol=0)
    assert float(double[0]) == pytest.approx(1.0, abs=0.03) and float(double[-1]) == NUT.min_contact_damping_ratio
