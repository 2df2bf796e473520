"""How the twin's parameters are written down and drawn.

A set of parameters is a frozen dataclass. Each field has a nominal value and, where it is uncertain, a `Distribution`
for each stratum; its docstring gives meaning, unit, source and confidence. `docs/twin.md` is generated from these
classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Protocol, Self

import numpy as np

STRATA = ("easy", "nominal", "hard", "extreme")
"""Named groups of ranges: what favours the robot, what is expected, what is against it, and what no policy is expected
to finish today."""


class Distribution(Protocol):
    """A distribution that a parameter is drawn from."""

    def draw(self, rng: np.random.Generator) -> Any:
        """Return one value."""


@dataclass(frozen=True)
class Uniform:
    """Between two values."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Return one value."""
        return float(rng.uniform(self.low, self.high))

    def __str__(self) -> str:
        return f"U({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class LogUniform:
    """Between two positive values, the logarithm being uniform."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Return one value."""
        return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))

    def __str__(self) -> str:
        return f"LU({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Errors:
    """Independent errors: normal about zero, none beyond three standard deviations."""

    deviation: float
    count: int

    def draw(self, rng: np.random.Generator) -> tuple[float, ...]:
        """Return one tuple."""
        return tuple((self.deviation * np.clip(rng.standard_normal(self.count), -3.0, 3.0)).tolist())

    def __str__(self) -> str:
        return f"{self.count} of N(0, {self.deviation:g})"


@dataclass(frozen=True)
class Choice:
    """One of some values, by weight."""

    values: Sequence[Any]
    weights: Sequence[float]

    def draw(self, rng: np.random.Generator) -> Any:
        """Return one value."""
        return self.values[int(rng.choice(len(self.values), p=self.weights))]

    def __str__(self) -> str:
        parts = (v if isinstance(v, str) else f"{v:g}" for v in self.values)
        return ", ".join(f"{value} ({weight:.0%})" for value, weight in zip(parts, self.weights, strict=True))


def errors(deviation: float, count: int) -> Any:
    """Declare errors of a calibration: none where nothing is drawn, half of it in the easy stratum, twice in the hard.

    Args:
        deviation: standard deviation in the nominal stratum.
        count: number of errors.
    """
    easy, nominal, hard = (Errors(factor * deviation, count) for factor in (0.5, 1.0, 2.0))
    return parameter((0.0,) * count, nominal, easy=easy, hard=hard)


def parameter(
    nominal: Any,
    distribution: Distribution | None = None,
    *,
    easy: Distribution | None = None,
    hard: Distribution | None = None,
    extreme: Distribution | None = None,
) -> Any:
    """Declare a parameter.

    Args:
        nominal: its value where nothing is drawn.
        distribution: what the nominal stratum draws it from; None never draws it.
        easy: what the easy stratum draws it from, if not `distribution`.
        hard: what the hard stratum draws it from, if not `distribution`.
        extreme: what the extreme stratum draws it from, if not as the hard one.
    """
    distributions = {
        "easy": easy or distribution,
        "nominal": distribution,
        "hard": hard or distribution,
        "extreme": extreme or hard or distribution,
    }
    return field(default=nominal, metadata={"distributions": distributions})


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """A set of parameters; a subclass adds the fields."""

    @classmethod
    def draw(cls, rng: np.random.Generator, stratum: str) -> Self:
        """Draw every parameter of a stratum, in the order of the fields.

        Raises:
            ValueError: there is no such stratum.
        """
        if stratum not in STRATA:
            raise ValueError(f"unknown stratum {stratum!r}; choose from {', '.join(STRATA)}")
        drawn = {}
        for item in fields(cls):
            distribution = item.metadata["distributions"][stratum]
            if distribution is not None:
                drawn[item.name] = distribution.draw(rng)
        return cls(**drawn)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not is_dataclass(value) and not isinstance(value, str) and not np.isfinite(value).all():
                raise ValueError(f"{type(self).__name__}.{item.name} must be finite, got {value!r}")
