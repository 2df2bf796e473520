"""Four packages on four floors: imports run down only, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("dexscrew_envs", "baselines", "real", "benchmark")
"""From the ground up."""
DOORS = {("dexscrew_envs/robot.py", "real.env")}
"""The one way up: the ids of the real environments are registered on the ground floor."""


def modules(package: str) -> dict[str, Path]:
    """Return the package's modules by name."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, *, deferred: bool) -> set[str]:
    """Return the modules that a file imports as it is loaded, or with those that it imports later, too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if deferred else _at_load(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _at_load(body: list[ast.stmt]) -> list[ast.AST]:
    """Return the statements that run as a module is loaded, without those for type checkers."""
    found: list[ast.AST] = []
    for statement in body:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            found += _at_load(statement.orelse)
        elif isinstance(statement, (ast.If, ast.Try, ast.With)):
            for name in ("body", "orelse", "finalbody"):
                found += _at_load(getattr(statement, name, []))
            for handler in getattr(statement, "handlers", []):
                found += _at_load(handler.body)
        else:
            found.append(statement)
    return found


@pytest.mark.parametrize("package", FLOORS)
def test_no_import_runs_upward(package):
    above = FLOORS[FLOORS.index(package) + 1 :]
    for path in modules(package).values():
        for name in imports(path, deferred=True):
            door = (path.relative_to(ROOT).as_posix(), name) in DOORS or name.rpartition(".")[0] in dict(DOORS).values()
            assert door or name.partition(".")[0] not in above, f"{path.relative_to(ROOT)} imports {name}"


def test_no_import_runs_in_a_circle():
    paths = {name: path for package in FLOORS for name, path in modules(package).items()}
    arrows = {name: sorted(imports(path, deferred=False) & (paths.keys() - {name})) for name, path in paths.items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name in done:
            return
        for other in arrows[name]:
            # A package's __init__ is loaded before its modules, which may import each other through it.
            if not name.startswith(f"{other}."):
                visit(other, (*way, name))
        done.add(name)

    for name in arrows:
        visit(name, ())
