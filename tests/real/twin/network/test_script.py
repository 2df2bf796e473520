from __future__ import annotations

import numpy as np
import pytest
from ur_fakes import SCRIPT, START, UPPER_SCRIPT, KinematicPlant

from real.kinematics import forward
from real.twin.controller import TIMESTEP
from real.twin.network.control_box import ControlBox

SERVO, STOP_SERVO, MOVE, WATCHDOG, CLEAR, END = 11, 16, 1, 35, 0, 255


@pytest.fixture
def box():
    box = ControlBox(KinematicPlant())
    box.upload(SCRIPT)
    return box


def command(box, number, *doubles, integer=None, offset=0):
    values = {f"input_double_register_{i + offset}": float(v) for i, v in enumerate(doubles)}
    values[f"input_int_register_{offset}"] = number
    if integer is not None:
        values[f"input_int_register_{1 + offset}"] = integer
    box.write(values)


def run(box, seconds=TIMESTEP):
    for _ in range(round(seconds / TIMESTEP)):
        box.step()


def answer(box, offset=0):
    return box.read(f"output_int_register_{offset}")


def servo(box, q, offset=0):
    command(box, SERVO, *q, 0, 0, 0.008, 0.1, 300, offset=offset)


def test_it_is_ready_when_it_starts(box):
    assert (box.read("runtime_state"), answer(box)) == (2, 1)


def test_servo_is_followed_for_ever_without_a_watchdog(box):
    servo(box, START + 0.1)
    run(box, 5.0)
    np.testing.assert_allclose(box.plant.arm.q, START + 0.1, atol=1e-6)
    assert (box.read("runtime_state"), answer(box)) == (2, 1)


def test_servo_stop_is_done_when_the_arm_rests(box):
    servo(box, START + 0.5)
    run(box, 0.3)
    command(box, STOP_SERVO, 2.0)
    run(box)
    assert answer(box) != 2
    run(box, 1.0)
    assert answer(box) == 2
    assert not box.plant.arm.moving
    command(box, CLEAR)
    run(box)
    assert answer(box) == 1


def test_a_move_is_done_when_it_arrives_and_done_once(box):
    command(box, MOVE, *(START + 0.1), 1.0, 2.0, integer=0)
    run(box, 0.1)
    assert answer(box) == 1
    run(box, 1.0)
    assert answer(box) == 2
    np.testing.assert_allclose(box.plant.arm.q, START + 0.1, atol=1e-9)
    box.plant.arm.move(START, 1.0, 2.0)
    run(box, 1.0)
    np.testing.assert_allclose(box.plant.arm.q, START, atol=1e-9)  # the command still stands, but is not repeated


def test_an_asynchronous_move_is_reported_in_a_register(box):
    command(box, MOVE, *(START + 0.1), 1.0, 2.0, integer=1)
    run(box, 0.01)
    assert answer(box) == 2
    assert int(box.read("output_int_register_2")) & 0xFF008000 == 1 << 24 | 0x8000
    run(box, 1.0)
    assert int(box.read("output_int_register_2")) & 0xFF008000 == 1 << 24


def test_speed_goes_on_until_stopped(box):
    command(box, 9, 0.1, 0, 0, 0, 0, 0, 1.0, 0.0)
    run(box, 2.0)
    np.testing.assert_allclose(box.plant.arm.qd, [0.1, 0, 0, 0, 0, 0])
    command(box, 15, 1.0)
    run(box, 0.5)
    assert not box.plant.arm.moving


def test_kinematics_are_answered(box):
    command(box, 46, *forward(START + 0.05))
    run(box)
    found = [box.read(f"output_double_register_{i}") for i in range(6)]
    np.testing.assert_allclose(found, START + 0.05, atol=1e-4)


def test_the_end_ends_it_and_stops_the_arm(box):
    servo(box, START + 1.0)
    run(box, 0.2)
    command(box, END)
    run(box)
    assert box.read("runtime_state") == 1
    run(box, 1.0)
    assert not box.plant.arm.moving


def test_the_watchdog_ends_it_when_commands_stay_away(box):
    command(box, WATCHDOG, 10.0)
    run(box, 0.02)
    for _ in range(20):
        servo(box, START + 1.0)
        run(box, 0.09)
    assert box.read("runtime_state") == 2
    run(box, 0.11)
    assert box.read("runtime_state") == 1
    run(box, 1.0)
    assert not box.plant.arm.moving
    box.upload(SCRIPT)  # a new program has no watchdog
    run(box, 1.0)
    assert box.read("runtime_state") == 2


def test_the_upper_registers_are_used_if_the_script_says_so():
    box = ControlBox(KinematicPlant())
    box.upload(UPPER_SCRIPT)
    servo(box, START + 0.1)
    run(box, 1.0)
    np.testing.assert_array_equal(box.plant.arm.q, START)
    servo(box, START + 0.1, offset=24)
    run(box, 3.0)
    np.testing.assert_allclose(box.plant.arm.q, START + 0.1, atol=1e-6)
    assert answer(box, offset=24) == 1


@pytest.mark.parametrize(
    ("q", "lookahead", "gain"), [(np.nan, 0.1, 300), (np.inf, 0.1, 300), (0, 5.0, 300), (0, 0.1, np.inf)]
)
def test_an_impossible_target_ends_it_without_motion(box, q, lookahead, gain):
    command(box, SERVO, *[q] * 6, 0, 0, 0.008, lookahead, gain)
    run(box, 0.5)
    assert box.read("runtime_state") == 1
    np.testing.assert_array_equal(box.plant.arm.q, START)


@pytest.mark.parametrize("number", [6, 12, 51, 1000, -1])
def test_what_is_not_emulated_ends_it_without_motion(box, number, caplog):
    command(box, number)
    run(box, 0.5)
    assert box.read("runtime_state") == 1
    assert f"command {number} ended the program: the twin does not emulate it" in caplog.text
    np.testing.assert_array_equal(box.plant.arm.q, START)


def test_a_protective_stop_ends_it(box):
    servo(box, START + 1.0)
    run(box, 0.2)
    box.plant.trigger_protective_stop()
    here = box.plant.arm.q.copy()
    run(box, 0.5)
    np.testing.assert_array_equal(box.plant.arm.q, here)
    assert box.read("runtime_state") == 1
    assert box.read("safety_status_bits") & 0b101 == 0b100
    box.upload(SCRIPT)
    assert box.program is None


def test_an_emergency_stop_ends_it(box):
    servo(box, START + 1.0)
    run(box, 0.2)
    box.emergency_stop()
    here = box.plant.arm.q.copy()
    run(box, 0.5)
    np.testing.assert_array_equal(box.plant.arm.q, here)
    assert box.read("safety_status_bits") >> 7 & 1


@pytest.mark.parametrize("text", ["", "def other():\n  movej([0,0,0,0,0,0])\nend\n", "def rtde_controls():\nend\n"])
def test_other_programs_are_ignored(text):
    box = ControlBox(KinematicPlant())
    box.upload(text)
    assert box.program is None


def test_programs_are_ignored_in_local_control():
    box = ControlBox(KinematicPlant(), remote_control=False)
    box.upload(SCRIPT)
    assert box.program is None


def test_frozen_readings_stay_while_the_rest_goes_on(box):
    servo(box, START + 0.1)
    run(box, 0.1)
    box.freeze_readings()
    before = box.read("timestamp"), box.read("actual_q")
    run(box, 0.5)
    assert (box.read("timestamp"), box.read("actual_q")) == before
    assert box.plant.arm.q[0] > before[1][0]
    box.thaw_readings()
    run(box)
    assert box.read("timestamp") > before[0]
    assert box.read("actual_q") == box.plant.arm.q.tolist()
