"""The log: whole up to its last whole step, at whatever byte it ends."""

from __future__ import annotations

import random

import numpy as np
import pytest
from demos import TINY, cut_off, step

from baselines.data.header import Outcome
from baselines.data.log import LogError, read_log, record_dtype

STEPS = 6
SIZE = record_dtype(TINY).itemsize


def test_a_log_holds_what_was_appended(tmp_path):
    outcome = Outcome(mark="success", turns=2.0)
    log = read_log(cut_off(tmp_path, STEPS, outcome=outcome))
    assert (len(log.rows), log.outcome, log.torn, log.damaged) == (STEPS, outcome, 0, False)
    for number, row in enumerate(log.rows):
        assert all(np.array_equal(row[name], value) for name, value in step(number, fields=TINY).items())


@pytest.mark.slow
@pytest.mark.parametrize("outcome", [None, Outcome(reason="a reason")])
def test_a_log_that_ends_at_any_byte_keeps_all_whole_steps(tmp_path, outcome):
    path = cut_off(tmp_path, STEPS, outcome=outcome)
    data = path.read_bytes()
    start = data.index(b"\n") + 1
    for end in range(start, len(data)):
        path.write_bytes(data[:end])
        log = read_log(path)
        assert len(log.rows) == min((end - start) // SIZE, STEPS), end
        assert log.outcome is None and not log.damaged
        assert log.torn == end - start - len(log.rows) * SIZE


def test_a_log_without_its_first_line_is_refused_at_any_byte(tmp_path):
    path = cut_off(tmp_path, 1)
    first = path.read_bytes().partition(b"\n")[0]
    for end in range(0, len(first), 7):
        path.write_bytes(first[:end])
        with pytest.raises(LogError, match="first line"):
            read_log(path)


def test_what_a_power_failure_left_after_the_last_step_is_torn(tmp_path):
    path = cut_off(tmp_path, STEPS)
    for tail in (bytes(3 * SIZE), random.Random(0).randbytes(2 * SIZE + 5)):
        data = path.read_bytes()
        path.write_bytes(data + tail)
        log = read_log(path)
        assert (len(log.rows), log.torn, log.damaged) == (STEPS, len(tail), False)
        path.write_bytes(data)


def test_steps_out_of_their_order_are_found(tmp_path):
    path = cut_off(tmp_path, STEPS)
    data = path.read_bytes()
    at = data.index(b"\n") + 1 + SIZE
    path.write_bytes(data[:at] + data[at + SIZE : at + 2 * SIZE] + data[at : at + SIZE] + data[at + 2 * SIZE :])
    log = read_log(path)
    assert log.damaged and len(log.rows) == 1


@pytest.mark.slow
@pytest.mark.parametrize("outcome", [None, Outcome()])
def test_a_flipped_bit_anywhere_before_the_last_step_is_found(tmp_path, outcome):
    path = cut_off(tmp_path, STEPS, outcome=outcome)
    data = path.read_bytes()
    start = data.index(b"\n") + 1
    draw = random.Random(1)
    for _ in range(200):
        at = draw.randrange(start + (STEPS - 1) * SIZE)
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :])
        if at < start:
            with pytest.raises(LogError):
                read_log(path)
        else:
            log = read_log(path)
            assert log.damaged and len(log.rows) == (at - start) // SIZE


def test_a_flipped_bit_in_the_last_step_of_a_complete_log_is_found(tmp_path):
    path = cut_off(tmp_path, STEPS, outcome=Outcome())
    data = bytearray(path.read_bytes())
    data[data.index(b"\n") + 1 + (STEPS - 1) * SIZE + 9] ^= 4
    path.write_bytes(data)
    log = read_log(path)
    assert log.damaged and len(log.rows) == STEPS - 1 and log.outcome == Outcome()
