from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest

from dexscrew_envs.reference import attribute_docstrings
from real.twin.arm import ArmParameters
from real.twin.hand import HandParameters
from real.twin.objects.nut import NutParameters
from real.twin.objects.recess import RecessParameters
from real.twin.objects.screwdriver import ScrewdriverParameters
from real.twin.parameters import STRATA, Choice, Errors, LogUniform, Parameters, Uniform, parameter
from real.twin.plant import CalibrationParameters, PlacementParameters
from real.twin.reference import main, reference
from real.twin.taxels import TaxelParameters

ROOT = Path(__file__).parents[3]
SETS = (
    NutParameters, ScrewdriverParameters, PlacementParameters, ArmParameters, HandParameters, TaxelParameters,
    CalibrationParameters,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sample(Parameters):
    fixed: float = parameter(1.0)
    spread: float = parameter(2.0, Uniform(1.0, 3.0), easy=Uniform(1.0, 2.0))
    choice: str = parameter("a", Choice(("a", "b"), (0.5, 0.5)))


def test_a_stratum_without_a_distribution_of_its_own_takes_the_nominal_one():
    rng = np.random.default_rng(0)
    drawn = {stratum: [Sample.draw(rng, stratum) for _ in range(200)] for stratum in STRATA}
    assert max(s.spread for s in drawn["easy"]) <= 2.0
    for stratum in ("nominal", "hard"):
        values = [s.spread for s in drawn[stratum]]
        assert 1.0 <= min(values) < 1.1 and 2.9 < max(values) <= 3.0
    assert {s.fixed for s in drawn["nominal"]} == {1.0}
    assert {s.choice for s in drawn["nominal"]} == {"a", "b"}


def test_half_of_a_log_uniform_lies_below_the_geometric_mean():
    rng = np.random.default_rng(0)
    values = np.array([LogUniform(0.01, 1.0).draw(rng) for _ in range(4000)])
    assert values.min() >= 0.01 and values.max() <= 1.0
    assert np.mean(values < 0.1) == pytest.approx(0.5, abs=0.03)


def test_errors_are_half_as_large_where_it_is_easy_and_twice_where_it_is_hard():
    rng = np.random.default_rng(0)
    for stratum, size in (("easy", 0.005), ("nominal", 0.01), ("hard", 0.02), ("extreme", 0.02)):
        drawn = np.array([CalibrationParameters.draw(rng, stratum).zero_offset for _ in range(300)])
        assert drawn.std() == pytest.approx(size, rel=0.1) and np.abs(drawn).max() <= 3 * size


def test_unknown_stratum_and_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="unknown stratum 'harder'; choose from easy, nominal, hard, extreme"):
        Sample.draw(np.random.default_rng(0), "harder")
    with pytest.raises(ValueError, match=r"Sample\.spread must be finite, got nan"):
        Sample(spread=float("nan"))
    with pytest.raises(ValueError, match="unknown recess 'square'"):
        ScrewdriverParameters(recess="square")


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("stratum", STRATA)
def test_draws_are_repeatable(kind, stratum):
    first, again, other = (kind.draw(np.random.default_rng(seed), stratum) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("kind", SETS)
def test_every_parameter_is_documented_and_its_nominal_value_can_be_drawn(kind):
    documented = attribute_docstrings(RecessParameters) | attribute_docstrings(kind)
    for item in fields(kind):
        assert documented[item.name]
        distribution = item.metadata["distributions"]["nominal"]
        if isinstance(distribution, Choice):
            assert item.default in distribution.values
        elif isinstance(distribution, Errors):
            assert item.default == (0.0,) * distribution.count
        elif distribution is not None:
            assert distribution.low <= item.default <= distribution.high


def test_reference_in_the_repository_is_current(tmp_path):
    assert main([str(tmp_path / "twin.md")]) == 0
    assert (tmp_path / "twin.md").read_text() == reference()
    assert (ROOT / "docs" / "twin.md").read_text() == reference(), "run `python -m real.twin.reference docs/twin.md`"
