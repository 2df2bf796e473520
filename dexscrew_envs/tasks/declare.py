"""How the fields of a task are declared: what a value may be, and what it becomes without randomisation.

Each function declares one field of a dataclass, whose metadata hold the rest, as with the twin's parameters: `check`, a
`Check`; `fixed`, the value without randomisation, or a function of value and task that returns it; and `size`, how many
numbers an episode draws from a range.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dexscrew_envs.tasks.task import Task

Range = tuple[float, float]
Size = int | Literal["joints"]

LARGEST = 1e30
"""Largest size of a number. Beyond it the products of numbers are infinite in float32, in which tasks are computed."""

Check = Callable[[str, Any, "Task"], None]
"""Raises ValueError unless a value is possible for the field of that name; the rest of the task is there to compare."""


@dataclass(frozen=True)
class Bound:
    """Where numbers must lie."""

    words: str
    holds: Callable[[float], bool]


ANY = Bound("be numbers", lambda number: True)
POSITIVE = Bound("be positive", lambda number: number > 0)
NOT_NEGATIVE = Bound("not be negative", lambda number: number >= 0)
SHARE = Bound("be between 0 and 1", lambda number: 0 <= number <= 1)


def between(low: float, high: float) -> Bound:
    """Return a bound that includes both ends."""
    return Bound(f"be between {low:g} and {high:g}", lambda number: low <= number <= high)


@dataclass(frozen=True)
class Numbers:
    """Checks that a value is a number that float32 holds, or a tuple of them, within a bound."""

    words: str
    """What the value is."""
    bound: Bound = ANY
    count: int | None = None
    """How many numbers; 0 for one that stands alone, None for one or more in a tuple."""
    whole: bool = False
    ordered: bool = False

    def __call__(self, name: str, value: Any, task: Task) -> None:
        """See `Check`."""
        numbers = value if self.count != 0 else (value,)
        if (
            not isinstance(numbers, tuple)
            or len(numbers) != (self.count or max(1, len(numbers)))
            or not all(is_number(number, whole=self.whole) for number in numbers)
            or (self.ordered and list(numbers) != sorted(numbers))
        ):
            raise ValueError(f"{name} must be {self.words}, got {value!r}")
        if self.whole and any(number >= 2**31 for number in numbers):
            raise ValueError(f"{name} must be below 2^31, got {value!r}")
        if any(abs(number) > LARGEST for number in numbers):
            raise ValueError(f"{name} must be at most {LARGEST:g} in size, got {value!r}")
        if not all(map(self.bound.holds, numbers)):
            raise ValueError(f"{name} must {self.bound.words}, got {value!r}")


def checked(check: Check, default: Any = MISSING, **metadata: Any) -> Any:
    """Declare a field with a check of its own."""
    return field(default=default, metadata={"check": check, **metadata})


def number(default: Any = MISSING, bound: Bound = ANY, **metadata: Any) -> Any:
    """Declare one number."""
    return checked(Numbers("a number", bound, count=0), default, **metadata)


def integer(default: Any = MISSING, bound: Bound = ANY, **metadata: Any) -> Any:
    """Declare one integer."""
    return checked(Numbers("an integer", bound, count=0, whole=True), default, **metadata)


def numbers(count: int | None, default: Any = MISSING, bound: Bound = ANY, **metadata: Any) -> Any:
    """Declare two or three numbers, or with None one or more."""
    words = {2: "two numbers", 3: "three numbers", None: "one or more numbers"}[count]
    return checked(Numbers(words, bound, count), default, **metadata)


def interval(default: Any = MISSING, bound: Bound = ANY, **metadata: Any) -> Any:
    """Declare a range: low and high."""
    return checked(Numbers("(low, high) with low <= high", bound, count=2, ordered=True), default, **metadata)


def drawn(default: Any = MISSING, bound: Bound = ANY, *, size: Size = 1, **metadata: Any) -> Any:
    """Declare a randomised quantity: a range from which every episode draws anew, and its centre without randomisation.

    Args:
        default: the range.
        bound: where it must lie.
        size: how many numbers are drawn, each for itself: so many, or one for each joint of the hand.
        metadata: `fixed`, if it is not the centre.
    """
    return interval(default, bound, size=size, **{"fixed": centre, **metadata})


def identity(check: Check, default: Any = MISSING) -> Any:
    """Declare a field that says which task it is, and that `make_task` does not change."""
    return checked(check, default, identity=True)


def centre(bounds: Range, task: Task) -> Range:
    """Return a range of no width in the middle of another."""
    return ((bounds[0] + bounds[1]) / 2,) * 2


def drawn_sizes(task: Task) -> dict[str, int]:
    """Return the fields from which every episode draws, in the order of their declaration, and how many numbers."""
    sizes = {item.name: item.metadata["size"] for item in fields(task) if "size" in item.metadata}
    return {name: len(task.hand.joints) if size == "joints" else size for name, size in sizes.items()}


def fixed_fields(task: Task) -> dict[str, Any]:
    """Return the values of the fields that change without randomisation."""
    fixed = {item.name: item.metadata["fixed"] for item in fields(task) if "fixed" in item.metadata}
    return {name: v(getattr(task, name), task) if callable(v) else v for name, v in fixed.items()}


def changeable_fields(task: type[Task] | Task) -> list[Field[Any]]:
    """Return the fields that `make_task` may change."""
    return [item for item in fields(task) if not item.metadata.get("identity")]


def is_number(value: Any, *, whole: bool = False) -> bool:
    """Return whether a value is a finite number, and an integer where a whole one is wanted."""
    if not isinstance(value, Integral if whole else Real) or isinstance(value, bool):
        return False
    return isinstance(value, Integral) or math.isfinite(value)  # `isfinite` itself fails for a large integer
