"""What is written down in two places agrees."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, pattern
    return match[1]


def test_the_hooks_run_the_ruff_of_the_constraints():
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert found(r"ruff-pre-commit\n +rev: v(\S+)$", HOOKS) == found(r"^ruff==(\S+)$", constraints)


def test_the_largest_file_passes_the_hooks():
    """Policies and pictures are the largest; clones lie in a folder of their own."""
    files = [path for folder in ("baselines", "docs", "real") for path in (ROOT / folder).rglob("*") if path.is_file()]
    assert any(path.name == "nut-bc.pt" for path in files)
    largest = max(path.stat().st_size for path in files)
    assert largest <= 1024 * int(found(r"--maxkb=(\d+)", HOOKS))


def test_the_citation_is_of_this_version():
    assert found(r"^title: (.*)$", CITATION).lower() == PROJECT["name"]
    for field, name in (("version", "version"), ("abstract", "description"), ("license", "license")):
        assert found(rf"^{field}: (.*)$", CITATION) == PROJECT[name]
