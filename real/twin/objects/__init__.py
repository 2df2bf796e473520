"""What the twin fastens: nuts, screws and drivers, and the physics of thread and recess.

A module with an `OBJECT` is a kind of object: plant, command lines and docs find it here.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from real.twin.objects.kind import ObjectKind


def _find() -> dict[str, ObjectKind]:
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    kinds = [module.OBJECT for module in modules if hasattr(module, "OBJECT")]
    return {kind.task: kind for kind in kinds}


OBJECTS = _find()
"""Kinds of objects by the name of their task."""
