from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from baselines import policies
from benchmark import paper
from benchmark.real_eval.entrants import Entrant, check_unchanged, parse_entrants

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
        (["a|b=direct"], "no '|'"),
        ([f"{'a' * 61}=direct"], "at most 60 characters"),
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
    assert Entrant("größe_1", "x", "").slug == "größe-1" and Entrant("触覚", "x", "").slug == "触覚"


def test_a_path_may_have_the_sign_of_a_label(tmp_path):
    (folder := tmp_path / "lr=0.001").mkdir()
    copy = shutil.copy(SHIPPED / "clones" / "nut-bc.pt", folder / "policy.pt")
    alone, labelled = parse_entrants([str(copy), f"full={copy}"], "nut")
    assert (alone.source, labelled.source) == (str(copy), str(copy))
    assert (alone.label, labelled.label) == ("policy", paper.FULL)


def test_a_file_that_was_replaced_is_told(tmp_path):
    copy = shutil.copy(SHIPPED / "nut-student.pt", tmp_path / "mine.pt")
    (mine,) = parse_entrants([f"mine=direct:{copy}"], "nut")
    check_unchanged(mine, "nut")
    shutil.copy(SHIPPED / "screwdriver-student.pt", copy)
    with pytest.raises(ValueError, match=r"mine.pt, was replaced since the evaluation began"):
        check_unchanged(mine, "nut")
