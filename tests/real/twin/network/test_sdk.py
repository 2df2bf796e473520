"""The module of the vendor SDK's shape, against the twin's port."""

import threading

import numpy as np
import pytest
from hand_fakes import START, FakeHandPlant, free_host

from real.hand_protocol import HARDWARE_INDEX
from real.hardware.hand_server import load_sdk
from real.twin.network.hand_port import HandPort

sdk = load_sdk(twin=True)


@pytest.fixture
def port():
    host = free_host()
    plant = FakeHandPlant()
    port = HandPort(plant, threading.Lock(), host).start()
    port.plant, port.url = plant, f"twin://{host}:5560"
    yield port
    port.close()


@pytest.fixture
def control(port):
    control = sdk.XHandControl()
    assert control.open_serial(port.url, 3_000_000).error_code == 0
    yield control
    control.close_device()


def hand_command(position=0.5, **changes):
    command = sdk.HandCommand_t()
    for k, finger in enumerate(command.finger_command):
        finger.id, finger.kp, finger.kd, finger.tor_max, finger.mode = k, 100, 1, 100, 3
        finger.position = position
        for name, value in changes.items():
            setattr(finger, name, value)
    return command


def test_a_session_as_users_write_it(control, port):
    assert control.list_hands_id() == [0]
    assert control.get_hand_type(0)[1] == "L"
    assert control.get_serial_number(0)[1].startswith("TWIN")
    error, state = control.read_state(0, True)
    assert error.error_code == 0
    positions = np.array([finger.position for finger in state.finger_state])
    np.testing.assert_allclose(positions[HARDWARE_INDEX], START, atol=1e-6)
    assert len(state.sensor_data) == 5 and len(state.sensor_data[0].raw_force) == 120
    assert state.sensor_data[0].calc_force.fz == pytest.approx(80, abs=3)
    assert state.finger_state[2].sensor_id == 17 and state.finger_state[0].temperature & 0xFF > 0
    command = hand_command()
    command.finger_command[3].position = 0.1  # The vendor's order: index_bend.
    assert control.send_command(0, command).error_code == 0
    position, *settings = port.plant.commands[-1]
    assert position[0] == pytest.approx(0.1) and (position[1:] == 0.5).all()
    assert settings == [100, 0, 1, 100, 3]


def test_quirks_of_the_vendor_are_kept(control):
    error, state = control.read_state(0, False)
    assert error and error.error_code == 0, "an ErrorStruct is always true"
    assert not any(finger.position for finger in state.finger_state), "the cache is zeros at first"
    command = sdk.HandCommand_t()
    assert command.finger_command is not command.finger_command
    command.finger_command[0].position = 0.25
    assert command.finger_command[0].position == 0.25
    command.finger_command[0] = sdk.FingerCommand_t()
    assert command.finger_command[0].position == 0.25, "assigning to an element of the list does not stick"
    for name in ("kp", "ki", "kd", "tor_max", "mode"):
        with pytest.raises(TypeError):
            setattr(command.finger_command[0], name, 1.0)
    with pytest.raises(TypeError):
        command.finger_command[0].kp = 40_000
    command.finger_command[0].kp = np.int64(7)
    assert command.finger_command[0].kp == 7
    assert hasattr(sdk, "SenserData_t") and hasattr(state.finger_state[0], "jonitboard_err")


def test_negative_currents_come_as_unsigned_numbers(control, port):
    port.plant.target = START + 1.0
    _, state = control.read_state(0, True)
    assert state.finger_state[0].torque > 0x8000


def test_errors(control, port):
    assert control.read_state(1, True)[0].error_code == 1501037
    assert control.open_ethercat("eth0").error_code == 1501039
    assert sdk.XHandControl().read_state(0, True)[0].error_code == 1501038
    assert sdk.XHandControl().open_serial("/dev/ttyUSB0", 3_000_000).error_code == 1501039
    assert sdk.XHandControl().open_serial("twin://127.0.0.1:9", 3_000_000).error_code == 1501039
    assert control.send_command(0, hand_command(mode=3, position=float("nan"))).error_code == 1501030
    assert port.plant.commands == []


def test_a_failed_call_gives_the_old_state(control, port):
    control.read_state(0, True)
    port.plant.target = port.plant.q = START + 0.2
    port.faults.crc = 1
    error, state = control.read_state(0, True)
    assert error.error_code == 1501070
    assert state.finger_state[0].position == pytest.approx(START[9])
    port.faults.silent = True
    error, state = control.read_state(0, True)
    assert error.error_code == 1501050
    assert state.finger_state[0].position == pytest.approx(START[9])
    port.faults.silent = False
    error, state = control.read_state(0, True)
    assert error.error_code == 0
    assert state.finger_state[0].position == pytest.approx(START[9] + 0.2)


def test_sensor_errors_come_with_a_state(control, port):
    port.faults.error = 1501018
    error, state = control.read_state(0, True)
    assert error.error_code == 1501018 and "combined force" in error.error_message
    assert state.finger_state[0].position == pytest.approx(START[9])


def test_zeroing(control, port):
    assert all(control.reset_sensor(0, k).error_code == 0 for k in range(17, 22))
    assert port.plant.zeroed == 1
    assert control.reset_sensor(0, 2).error_code == 1501030
