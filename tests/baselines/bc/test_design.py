from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from baselines.bc import __main__ as clone
from baselines.bc.design import PRESETS, Design, design_from_json, design_to_json
from baselines.bc.features import sizes
from baselines.bc.learner import Training
from baselines.bc.network import CloneNetwork


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"history": 0}, "history must be an integer from 1"),
        ({"history": True}, "history must be an integer"),
        ({"memory": 21}, "memory must be an integer from 0 to 20"),
        ({"memory": 2, "shared_encoder": True}, "memory must be 0, got 2"),
        ({"memory": 0, "touch_memory": 1, "shared_encoder": True}, "touch_memory must be 0, got 1"),
        ({"horizon": 0}, "horizon must be an integer from 1"),
        ({"execute": 17}, "execute must be an integer from 1 to 16"),
        ({"decay": 0.0}, "decay must be a number above 0"),
        ({"decay": float("nan")}, "decay must be a number above 0"),
        ({"targets": "deltas"}, "unknown targets 'deltas'; choose from increments, absolute"),
        ({"tactile": 1}, "tactile must be true or false"),
        ({"encoder": ()}, "encoder must be widths of layers"),
        ({"widths": (0,)}, "each of widths must be an integer from 1"),
        ({"decoder": "hourglass", "widths": (64, 128, 256), "horizon": 6}, "horizon must be a multiple of 4"),
        ({"decoder": "hourglass", "widths": (60, 128)}, "multiples of 8"),
    ],
)
def test_an_impossible_design_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Design(**changes)


def test_a_design_comes_back_from_json():
    for design in PRESETS.values():
        assert design_from_json(design_to_json(design)) == design
    with pytest.raises(ValueError, match="not one of this version"):
        design_from_json({"history": 5})


def test_touch_is_seen_no_longer_than_the_rest():
    assert Design(history=1).touch_history == 1
    assert Design(history=30).steps_seen("touch") == 5 and Design(history=30).steps_seen("hand") == 30


def test_touch_has_a_memory_of_its_own():
    design = Design(memory=3, touch_memory=2)
    assert design.steps_needed("touch") == 20 and design.steps_needed("hand") == 30
    numbers = sizes(design, 12, (5, 120))
    network = CloneNetwork(design, numbers, 18)
    blocks = {name: encoder[0].in_features // numbers[name] for name, encoder in network.encoders.items()}
    assert blocks == {"hand": 33, "arm": 33, "touch": 7}


def test_the_memory_is_the_mean_of_blocks_of_steps():
    design = Design(tactile=False, history=2, memory=3, encoder=(8,), widths=(8,))
    assert design.steps_needed("hand") == design.longest == 30 and design.steps_seen("hand") == 2
    network = CloneNetwork(design, {"hand": 1}, 7)
    seen, given = [], torch.rand(1, 30, 1)
    network.encoders["hand"].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network({"hand": given})
    means = [given[0, k : k + 10].mean() for k in (0, 10, 20)]
    torch.testing.assert_close(seen[0], torch.stack([*means, *given[0, -2:, 0]])[None])


def test_a_history_that_was_asked_for_is_all_that_is_seen():
    training = Training(data=())
    assert clone._design(clone.Args(training=training)).memory == Design().memory > 0
    assert clone._design(clone.Args(training=training, history=30)).memory == 0
    assert clone._design(clone.Args(training=training, history=30, memory=4)).memory == 4
    assert clone._design(clone.Args(training=training, touch_memory=4)).touch_memory == 4


@pytest.mark.parametrize(("tactile", "millions"), [(True, 77.6), (False, 68.4)])
def test_the_papers_network_has_its_size(tactile, millions):
    design = replace(PRESETS["paper"], tactile=tactile)
    with torch.device("meta"):  # without the memory
        network = CloneNetwork(design, sizes(design, 12, (5, 120)), 18)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
