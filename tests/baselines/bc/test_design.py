from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from baselines.bc.design import PRESETS, Design, design_from_json, design_to_json
from baselines.bc.features import sizes
from baselines.bc.network import CloneNetwork


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"history": 0}, "history must be an integer from 1"),
        ({"history": True}, "history must be an integer"),
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


@pytest.mark.parametrize(("tactile", "millions"), [(True, 77.6), (False, 68.4)])
def test_the_papers_network_has_its_size(tactile, millions):
    design = replace(PRESETS["paper"], tactile=tactile)
    with torch.device("meta"):  # without the memory
        network = CloneNetwork(design, sizes(design, 12, (5, 120)), 18)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
