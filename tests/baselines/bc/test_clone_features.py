from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.bc.design import Design
from baselines.bc.features import STATISTICS, as_tensors, contact, observe, pressure, rest, sizes, touch_statistics


def frames(steps=20, fingers=2, taxels=10):
    rng = np.random.default_rng(0)
    bias = rng.integers(-8, 8, (fingers, taxels, 3))
    return np.repeat(bias[None], steps, 0).astype(np.int16), bias


def test_rest_is_not_fooled_by_an_empty_first_frame():
    tactile, bias = frames()
    tactile[0] = 0
    tactile[12:] += 100  # contact, later
    np.testing.assert_array_equal(rest(tactile), bias)


def test_touch_says_how_much_and_where():
    counts = torch.zeros(1, 2, 11, 3)
    counts[0, 1, 10, 2] = 1008
    resultant = torch.arange(6.0).reshape(1, 2, 3)
    found = touch_statistics(counts, resultant)
    assert found.shape == (1, 2, STATISTICS) and found.dtype == torch.float32
    np.testing.assert_array_equal(found[0, :, :3], resultant[0])
    np.testing.assert_array_equal(found[0, 0, 3:], 0)
    total, centre, spread = found[0, 1, 3:]
    assert total == 1000 and centre == pytest.approx(1, abs=0.05) and spread < 0.2


def test_contact_says_how_firmly_and_nothing_of_noise():
    force = torch.tensor([[[0.0, 0.0, 0.0], [3.0, -2.0, 2.0]], [[6.0, 0.0, 8.0], [30.0, 20.0, 60.0]]])
    found = contact(force)
    assert found.shape == (2, 2) and not found[0].any()
    assert 0.2 < found[1, 0] < 0.3 and found[1, 1] > 0.99


def test_pressure_tells_how_hard_where_contact_hardly_does():
    force = torch.tensor([[[0.0, 0.0, 40.0], [0.0, 60.0, 80.0], [0.0, 0.0, 150.0]]])
    found = pressure(force)
    assert found.shape == (1, 3, 2)
    torch.testing.assert_close(found[..., 0], contact(force))
    assert found[0, :, 1].tolist() == [0.0, 1.0, 2.0] and found[0, 2, 0] - found[0, 1, 0] < 0.001


def test_noise_and_drift_of_a_few_counts_are_no_contact():
    counts = 2 * torch.randn(50, 2, 10, 3, generator=torch.Generator().manual_seed(0)).clamp(-4, 4)
    assert not touch_statistics(counts, torch.zeros(50, 2, 3))[..., 3:].any()


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("targets", ["increments", "absolute"])
@pytest.mark.parametrize("touch", ["contact", "pressure", "taxels"])
def test_what_is_seen_has_the_sizes_that_the_network_is_built_for(held, targets, touch):
    tactile, _ = frames()
    design = Design(held=held, targets=targets, touch=touch)
    steps = {"hand_q": np.ones((20, 3)), "held_hand": np.full((20, 3), 1.5), "arm_q": np.ones((20, 6)),
             "held_arm": np.full((20, 6), 1.25), "tactile": tactile, "resultant": tactile[:, :, 0]}  # fmt: skip
    found = observe(design, as_tensors(design, steps), torch.full((6,), 0.25), rest(steps[design.rests]))
    assert {name: value.shape[1] for name, value in found.items()} == sizes(design, 3, (2, 10))
    assert not found["touch"].any()
    origin = 0.25 if targets == "increments" else 0.0
    if held:
        np.testing.assert_allclose(found["hand"][0], [1.5] * 3 + [-0.5] * 3)
        np.testing.assert_allclose(found["arm"][0], [1.25 - origin] * 6 + [-0.25] * 6)
    else:
        np.testing.assert_allclose(found["arm"][0], 1 - origin)
