from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from dexscrew_envs.mdp.observations import PRIVILEGED_SLICES
from dexscrew_envs.mdp.terminations import TerminationReason
from dexscrew_envs.reference import attribute_docstrings, main, reference
from dexscrew_envs.tasks import Task

ROOT = Path(__file__).parents[2]


def test_every_field_slice_and_reason_is_in_the_reference():
    text, documented = reference(), attribute_docstrings(Task)
    for field in fields(Task):
        assert documented[field.name]
        assert field.name in ("name", "privileged") or f"| `{field.name}` |" in text
    for name in PRIVILEGED_SLICES:
        assert f"| `{name}` |" in text
    for reason in TerminationReason:
        assert f"| {reason.value} | `{reason.name.lower()}` |" in text


def test_reference_in_the_repository_is_current():
    assert (ROOT / "docs" / "tasks.md").read_text() == reference(), "run `make docs`"


def test_main_writes_the_file(tmp_path):
    assert main([str(tmp_path / "tasks.md")]) == 0
    assert (tmp_path / "tasks.md").read_text() == reference()
