"""Writes the twin's reference, docs/twin.md: about.md, then the parameter dataclasses, so that it cannot drift.

`python -m real.twin.reference docs/twin.md`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from dexscrew_envs.reference import attribute_docstrings, write
from real.twin.arm import ArmParameters
from real.twin.hand import HandParameters
from real.twin.objects import OBJECTS
from real.twin.parameters import STRATA, Parameters
from real.twin.plant import CalibrationParameters, PlacementParameters
from real.twin.scene import MOUNT_QUAT, START_ARM, TASK_POSITION
from real.twin.taxels import TaxelParameters

_INTRODUCTION = Path(__file__).with_name("about.md")
"""What the tables follow: prose, written by hand."""


def _format(value: object) -> str:
    if isinstance(value, tuple):
        return "none"  # errors
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _has_fields(kind: type) -> bool:
    """Return whether a class is a set of parameters of its own."""
    return issubclass(kind, Parameters) and kind is not Parameters


def _parameters(kind: type[Parameters]) -> list[str]:
    documented = attribute_docstrings(kind)
    lines = [
        "| parameter | value | " + " | ".join(STRATA) + " | meaning and source |",
        "| --- " * (3 + len(STRATA)) + "|",
    ]
    for item in fields(kind):
        if item.name not in documented:  # it stands in the table of the class that this one extends
            continue
        distributions = (str(item.metadata["distributions"][stratum] or "") for stratum in STRATA)
        lines.append(
            "| " + " | ".join([f"`{item.name}`", _format(item.default), *distributions, documented[item.name]]) + " |"
        )
    return lines


def reference() -> str:
    """Return the reference as Markdown."""
    lines = [_INTRODUCTION.read_text() + "\n## Where things stand\n"]
    w, x, y, z = MOUNT_QUAT
    lines.append(
        f"The world is the controller's base frame. The simplified tasks' frame is at {TASK_POSITION} in it, turned by "
        "180 degrees about z; the object's base stands there as in the simplified task. The palm's origin is the "
        f"flange's, and its orientation in the flange frame is the quaternion ({w:g}, {x:g}, {y:g}, {z:g}): fingers "
        "point out of the flange. At the start the palm has the simplified task's pose without noise, with the arm's "
        "joints at "
        f"{', '.join(f'{q:.4f}' for q in START_ARM)} rad.\n"
    )
    lines.append(
        "## Parameters\n\nU is uniform and LU log-uniform; without a range a parameter is not drawn. *Value* "
        "applies where nothing is drawn."
    )
    objects = dict.fromkeys(
        base for kind in OBJECTS.values() for base in reversed(kind.parameters.mro()) if _has_fields(base)
    )
    for kind in (
        *objects,
        PlacementParameters,
        ArmParameters,
        HandParameters,
        TaxelParameters,
        CalibrationParameters,
    ):
        title = kind.__name__.removesuffix("Parameters")
        lines += [f"\n### {title}\n", " ".join((kind.__doc__ or "").split()) + "\n", *_parameters(kind)]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the twin's reference."""
    return write(reference(), argv)


if __name__ == "__main__":
    sys.exit(main())
