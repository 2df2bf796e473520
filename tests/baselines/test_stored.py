from __future__ import annotations

import json

import pytest

from baselines.stored import check_parts, check_version, read_json


def test_a_file_with_all_its_parts_is_read(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"curve": [1], "seed": 3}))
    assert read_json(path, ("curve",), "a result", "make it again") == {"curve": [1], "seed": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"curve": []}', "is a result of an older version of DexScrew: it lacks 'seed'; make it again"),
        ('{"other": []}', "is not a result; make it again"),
        ("[1]", "is not a result; make it again"),
        ("null", "is not a result; make it again"),
        ("{", "is damaged: .*; make it again"),
        ("", "is damaged: .*; make it again"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, text, expected):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{path} {expected}"):
        read_json(path, ("curve", "seed"), "a result", "make it again")


def test_bytes_that_are_no_text_are_damage(tmp_path):
    (tmp_path / "results.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is damaged"):
        read_json(tmp_path / "results.json", ("curve",), "a result", "make it again")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"results.json"):
        read_json(tmp_path / "results.json", ("curve",), "a result", "make it again")


def test_versions_are_told_apart():
    check_version(3, 3, "x.pt", "a policy", "make it again")
    with pytest.raises(ValueError, match=r"older version .*version 2, expected 3; make it again"):
        check_version(2, 3, "x.pt", "a policy", "make it again")
    with pytest.raises(ValueError, match=r"newer version .*version 4, expected 3; update"):
        check_version(4, 3, "x.pt", "a policy", "make it again")
    for odd in ("3", None, 3.5, True):
        with pytest.raises(ValueError, match=r"x.pt is damaged"):
            check_version(odd, 3, "x.pt", "a policy", "make it again")


def test_content_without_any_wish_is_only_asked_to_be_a_dictionary():
    assert check_parts({}, (), "x.pt", "a policy", "make it again") == {}
    with pytest.raises(ValueError, match=r"x.pt is not a policy"):
        check_parts([], (), "x.pt", "a policy", "make it again")
