from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from baselines import policies
from benchmark import paper
from benchmark.real_eval.entrants import Entrant, parse_entrants

SHIPPED = Path(policies.__file__).parent / "checkpoints"


def test_names_and_rows_of_the_paper(tmp_path):
    copy = shutil.copy(SHIPPED / "nut-student.pt", tmp_path / "mine.pt")
    found = parse_entrants(["direct", "full=nut-student", f"mine=direct:{copy}", "scripted-wrist"], "nut")
    assert [one.label for one in found] == [paper.DIRECT, paper.FULL, "mine", "scripted-wrist"]
    assert [one.slug for one in found] == ["direct", "bc-touch-history", "mine", "scripted-wrist"]
    assert len({one.digest for one in found}) == 1  # all of them move the fingers by the same file


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "at least one"),
        (["nut-studnet"], "nut-studnet"),
        (["direct", "direct"], "two policies would be called 'direct'"),
        (["Full=direct", "full =nut-student"], "two policies"),
        (["=direct"], "label=policy"),
        (["full="], "label=policy"),
        (["%=direct"], "needs a letter"),
        (["direct:screwdriver-student"], "screwdriver"),
        (["replay:demos"], "replay:FOLDER:NUMBER"),
        (["nut-oracle"], "nut-oracle"),
    ],
)
def test_what_cannot_take_part_is_refused(given, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        parse_entrants(given, "nut")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=r"gone\.pt"):
        parse_entrants([f"full={tmp_path / 'gone.pt'}"], "nut")


def test_a_slug_is_a_part_of_a_files_name():
    assert Entrant("BC, touch + history/2", "x", "").slug == "bc-touch-history-2"
