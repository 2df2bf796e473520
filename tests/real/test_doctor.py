from __future__ import annotations

import pytest

from real import doctor
from real.addresses import Addresses
from real.doctor import Args, Doctor
from real.robot import RobotError

AT_REST = ("ports", "arm_connects", "arm_reads", "hand_connects", "hand_reads", "taxels")
IN_MOTION = ("fingers_move", "wrist_moves")


@pytest.fixture
def examine(monkeypatch, capsys):
    """Run a doctor whose checks only say that they were run; return it, whether it was content, and what it printed."""

    def run(*arguments, answer=None, failing=()):
        for name in AT_REST + IN_MOTION:

            def check(self, name=name):
                if name in failing:
                    raise RobotError(f"{name} is broken")
                return f"{name} was run"

            monkeypatch.setattr(Doctor, name, check)

        def input(prompt):
            assert answer is not None, "it must not ask"
            if isinstance(answer, BaseException):
                raise answer
            return answer

        monkeypatch.setattr("builtins.input", input)
        found = Doctor(
            Args(addresses=Addresses(arm="127.0.0.9", hand="tcp://127.0.0.9:5557"), **dict.fromkeys(arguments, True))
        )
        return found, found.run(), capsys.readouterr().out

    return run


def ran(out):
    return [name for name in AT_REST + IN_MOTION if f"{name} was run" in out]


@pytest.mark.parametrize("answer", ["y", "Y", "yes", "YES", " Yes "])
def test_y_and_yes_confirm(examine, answer):
    found, content, out = examine("move", answer=answer)
    assert content and ran(out) == [*AT_REST, *IN_MOTION]
    assert found.verdict == "all checks passed"


NO = ["", "n", "no", "ye", "yes please", "j", "true", EOFError(), RuntimeError("input(): lost sys.stdin"),
      ValueError("I/O operation on closed file"), OSError(5, "Input/output error")]  # fmt: skip


@pytest.mark.parametrize("answer", NO, ids=repr)
def test_anything_else_is_a_no_and_said_to_be_unchecked(examine, answer):
    found, content, out = examine("move", answer=answer)
    assert content and ran(out) == list(AT_REST)
    assert found.verdict == "the checks at rest passed; motion not checked"


def test_yes_in_advance_is_not_asked_again(examine):
    found, content, out = examine("move", "yes")
    assert content and ran(out) == [*AT_REST, *IN_MOTION] and found.verdict == "all checks passed"


def test_without_move_it_claims_nothing_about_motion(examine):
    found, content, out = examine()
    assert content and ran(out) == list(AT_REST)
    assert found.verdict == "the checks at rest passed; motion not checked, which --move does"


@pytest.mark.parametrize("arguments", [(), ("move",), ("move", "yes")])
def test_a_failure_at_rest_prevents_motion(examine, arguments):
    found, content, out = examine(*arguments, failing=["taxels"])
    assert not content and ran(out) == list(AT_REST[:-1])
    assert found.verdict == "failed: taxels at rest; motion not checked"


def test_a_failure_in_motion_is_named(examine):
    found, content, out = examine("move", "yes", failing=["fingers_move"])
    assert not content and ran(out) == list(AT_REST)
    assert found.verdict == "failed: fingers move"


def test_the_last_line_is_the_verdict(examine, capsys):
    examine(answer="no")
    doctor.main(["--arm", "127.0.0.9", "--hand", "tcp://127.0.0.9:5557", "--move"])
    assert capsys.readouterr().out.splitlines()[-1] == "the checks at rest passed; motion not checked"
