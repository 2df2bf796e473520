from __future__ import annotations

import pytest

from baselines import own_code


def test_it_gives_what_a_file_or_module_has_under_a_name(tmp_path):
    (tmp_path / "mine.py").write_text("def gentle(): return 3")
    assert own_code.load(f"{tmp_path / 'mine.py'}:gentle", "--reward")() == 3
    assert own_code.load("math:pi", "--reward") == pytest.approx(3.14159, abs=1e-5)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("gentle", "--reward takes file.py:name or module:name, got 'gentle'"),
        ("mine.py:", "takes file.py:name"),
        ("gone.py:gentle", "there is no file gone.py"),
        ("no_such_module:gentle", "no_such_module cannot be loaded: ModuleNotFoundError"),
        ("math:gentle", "there is no 'gentle' in math"),
    ],
)
def test_what_is_not_there_is_refused(reference, words):
    with pytest.raises(ValueError, match=words):
        own_code.load(reference, "--reward")


@pytest.mark.parametrize("body", ["1 / 0", "raise SystemExit(3)", "def ("])
def test_a_file_that_fails_is_named(tmp_path, body):
    (tmp_path / "mine.py").write_text(body)
    with pytest.raises(ValueError, match=r"mine.py cannot be loaded: (ZeroDivisionError|SystemExit|SyntaxError)"):
        own_code.load(f"{tmp_path / 'mine.py'}:gentle", "--reward")
