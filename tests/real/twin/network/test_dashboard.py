from __future__ import annotations

import pytest
from ur_fakes import SCRIPT, KinematicPlant

from real.twin.controller import TIMESTEP
from real.twin.network.control_box import UNLOCK_DELAY, ControlBox
from real.twin.network.dashboard import reply


@pytest.fixture
def box():
    return ControlBox(KinematicPlant())


def run(box, seconds):
    for _ in range(round(seconds / TIMESTEP)):
        box.step()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("PolyscopeVersion", "URSoftware 5.13.0.0 (Jan 01 2024)"),
        ("is in remote control", "true"),
        ("robotmode", "Robotmode: RUNNING"),
        ("safetystatus", "Safetystatus: NORMAL"),
        ("safetymode", "Safetymode: NORMAL"),
        ("running", "Program running: false"),
        ("programState", "STOPPED"),
        ("stop", "Stopped"),
        ("close popup", "closing popup"),
        ("", "could not understand: ''"),
        ("launch", "could not understand: 'launch'"),
    ],
)
def test_answers(box, line, answer):
    assert reply(box, line + "\n") == answer


def test_the_serial_number_has_digits_only(box):
    assert reply(box, "get serial number").isdigit()


def test_local_control():
    assert reply(ControlBox(KinematicPlant(), remote_control=False), "is in remote control") == "false"


def test_stop_ends_the_program(box):
    box.upload(SCRIPT)
    assert reply(box, "running") == "Program running: true"
    assert reply(box, "stop") == "Stopped"
    assert reply(box, "running") == "Program running: false"


def test_a_protective_stop_can_be_unlocked_after_5_s(box):
    box.plant.trigger_protective_stop()
    run(box, UNLOCK_DELAY - 0.1)
    assert reply(box, "safetystatus") == "Safetystatus: PROTECTIVE_STOP"
    assert reply(box, "unlock protective stop").startswith("Cannot unlock protective stop until 5s")
    assert box.plant.protective_stop
    run(box, 0.2)
    assert reply(box, "unlock protective stop") == "Protective stop releasing"
    assert reply(box, "safetystatus") == "Safetystatus: NORMAL"


def test_the_arm_must_be_powered_on_after_an_emergency_stop(box):
    box.emergency_stop()
    assert reply(box, "power on") == "Failed to power on"
    box.release_emergency_stop()
    assert reply(box, "robotmode") == "Robotmode: POWER_OFF"
    assert reply(box, "brake release") == "Failed to release brakes"
    assert reply(box, "power on") == "Powering on"
    assert reply(box, "brake release") == "Brake releasing"
    assert reply(box, "robotmode") == "Robotmode: RUNNING"


def test_power_off_ends_the_program(box):
    box.upload(SCRIPT)
    assert reply(box, "power off") == "Powering off"
    assert box.program is None
    box.upload(SCRIPT)
    assert box.program is None
