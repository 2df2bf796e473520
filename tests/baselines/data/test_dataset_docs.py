"""docs/dataset.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from demos import FIELDS

DOCS = (Path(__file__).parents[3] / "docs" / "dataset.md").read_text(encoding="utf-8")


def test_every_field_is_described_with_its_type_and_unit():
    described = {}
    for names, dtype, _, unit in re.findall(r"^\| (`.*?`) \| (\w+) \| (.*?) \| (.*?) ?\|", DOCS, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            described[name] = (dtype, unit)
    assert described.keys() == FIELDS.keys()
    for name, field in FIELDS.items():
        assert described[name][0] == field.dtype
        assert field.unit in described[name][1], name


def test_every_example_compiles():
    blocks = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "docs/dataset.md", "exec")
        for module, names in re.findall(r"^from (baselines\.\S+) import (.*)$", block, re.MULTILINE):
            loaded = __import__(module, fromlist=["_"])
            assert all(hasattr(loaded, name.strip()) for name in names.split(","))
