from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from clone_data import STILL, record_waves

from baselines.bc.design import Design
from baselines.bc.network import CLIP
from baselines.bc.normalisation import fit
from baselines.bc.policy import build, make_interface
from baselines.bc.windows import load_episodes, make_samples

DESIGN = Design(history=4, horizon=4, encoder=(16,), widths=(16,))


def fitted(folder, design):
    episodes = load_episodes([folder], design, 0.7)
    samples = make_samples(episodes, design)
    shapes = {key: field.shape for key, field in episodes[0].fields.items()}
    network = build(design, make_interface(design, episodes[0].header, shapes))
    fit(network, samples, design, len(episodes[0].header.fingers))
    return network, samples


@pytest.mark.slow
@pytest.mark.parametrize("touch", ["contact", "pressure", "statistics", "taxels"])
def test_what_never_moved_tells_nothing(tmp_path, touch):
    record_waves(tmp_path / "demos")
    design = replace(DESIGN, touch=touch)
    network, samples = fitted(tmp_path / "demos", design)
    hand = samples.observations["hand"]
    scaled = (hand - network.hand_center) * network.hand_factor
    assert not scaled[:, STILL].any() and scaled[samples.usable, 0].abs().max() == pytest.approx(1, abs=0.2)
    windows, _, _ = samples.windows(design, samples.usable[:1])
    before = network(windows)
    windows["hand"][..., STILL] += 1000.0
    torch.testing.assert_close(network(windows), before)
    assert network.touch_factor.max() <= 10.0  # a span of nothing is not amplified to one
    windows["touch"][:] = 1e6
    assert network(windows).isfinite().all() and CLIP == 3.0


def test_targets_are_spread_about_one_and_a_still_joint_stays(tmp_path):
    record_waves(tmp_path / "demos", noise=0.001)
    network, samples = fitted(tmp_path / "demos", DESIGN)
    windows, wanted, _ = samples.windows(DESIGN, samples.usable[:200])
    moves = network.action_scale > 0
    assert not moves[:, STILL].any() and moves[:, 0].all()
    normalised = ((wanted - network.action_center) / network.action_scale)[:, 0, 0]
    assert float(normalised.std()) == pytest.approx(1, abs=0.3)
    np.testing.assert_allclose(network.targets(windows)[..., STILL].detach(), 0, atol=1e-7)


def test_absolute_targets_span_minus_one_to_one(tmp_path):
    record_waves(tmp_path / "demos")
    design = replace(DESIGN, targets="absolute")
    network, samples = fitted(tmp_path / "demos", design)
    _, wanted, _ = samples.windows(design, samples.usable)
    normalised = ((wanted - network.action_center) / network.action_scale)[..., 0]
    assert float(normalised.min()) == pytest.approx(-1, abs=0.01)
    assert float(normalised.max()) == pytest.approx(1, abs=0.01)
