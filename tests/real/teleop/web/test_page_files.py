"""The page's own files: nothing from elsewhere, and nothing that the policy forbids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import real.teleop.web
from real.teleop.web import keyboard

STATIC = Path(real.teleop.web.__file__).parent / "static"
FILES = sorted(STATIC.iterdir())
HTML = (STATIC / "index.html").read_text(encoding="utf-8")
NAMESPACE = "http://www.w3.org/2000/svg"  # a name, which nobody fetches


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_the_internet(path):
    text = path.read_text(encoding="utf-8").replace(NAMESPACE, "")
    assert not re.search(r"(?:https?|wss?)://(?!\$\{)", text)
    assert not re.search(r"""(?:src|href|from|url\()\s*=?\s*["']//""", text)


def test_the_markup_obeys_the_policy():
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>|javascript:", HTML)


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".js"], ids=lambda path: path.name)
def test_scripts_obey_the_policy(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", text)
    for name in re.findall(r'from "\./([\w.]+)"', text):
        assert (STATIC / name).is_file()


def test_every_element_that_a_script_asks_for_is_there():
    there = set(re.findall(r'\bid="([\w-]+)"', HTML))
    asked = {name for p in FILES if p.suffix == ".js" for name in re.findall(r'\$\("([\w-]+)"\)', p.read_text())}
    assert asked and asked <= there


def test_every_button_of_the_page_has_the_code_of_a_key():
    codes = set(re.findall(r'data-key="(\w+)"', HTML))
    assert codes <= keyboard.MOTION.keys() | keyboard.BUTTONS.keys()
    assert codes >= keyboard.BUTTONS.keys()
