from __future__ import annotations

import numpy as np
import pytest

from dexscrew_envs.hands.xhand import JOINTS
from real.twin.hand import PERIOD, RESOLUTION

INDEX = JOINTS.index("index_1")
RING = JOINTS.index("ring_1")
IDEAL = {"backlash": 0.0, "proximal_friction": 1e-4, "distal_friction": 1e-4}


def track(plant, joint, seconds):
    """Return the joint's positions in every physics step (rad)."""
    at = plant.model.joint(f"hand_{JOINTS[joint]}").qposadr[0]
    path = []
    for _ in range(round(seconds / plant.TIMESTEP)):
        plant.step()
        path.append(float(plant.data.qpos[at]))
    return np.array(path)


def step_response(plant, joint, size, seconds=0.4):
    """Command one joint to move by `size` (rad); return its way as a share of that, in every physics step."""
    plant.step(100)
    target = plant.start_hand_q.copy()
    target[joint] += size
    start = float(plant.data.qpos[plant.model.joint(f"hand_{JOINTS[joint]}").qposadr[0]])
    plant.command_hand(target)
    return (track(plant, joint, seconds) - start) / size


def test_response_has_its_dead_time_and_time_constant(nominal_plant):
    plant = nominal_plant("screwdriver", hand={**IDEAL, "dead_time": 0.02})
    way = step_response(plant, RING, -0.1)
    assert (np.abs(way[:9]) < 0.01).all()
    reached = plant.TIMESTEP * (1 + np.argmax(way > 0.632)) - 0.02
    assert reached == pytest.approx(0.04, abs=0.015)
    assert way[-1] == pytest.approx(1.0, abs=0.1)


def test_gains_follow_the_vendor_s_units(nominal_plant):
    plant = nominal_plant()
    rows = slice(6, 18)
    assert plant.model.actuator_gainprm[rows, 0] == pytest.approx([3.0] * 12)
    plant.command_hand(plant.start_hand_q, kp=50, kd=2, tor_max=350)
    assert plant.model.actuator_gainprm[rows, 0] == pytest.approx([1.5] * 12)
    assert plant.model.actuator_biasprm[rows, 2] == pytest.approx([-0.02] * 12)
    assert plant.model.actuator_forcerange[6 + INDEX] == pytest.approx([-1.1, 1.1])
    plant.command_hand(plant.start_hand_q, tor_max=100)
    assert plant.model.actuator_forcerange[6 + INDEX] == pytest.approx([-0.314, 0.314], abs=1e-3)


def test_force_of_a_fingertip_grows_with_the_current_limit(nominal_plant):
    forces = []
    for limit in (50, 100):
        plant = nominal_plant("screwdriver")
        target = plant.start_hand_q.copy()
        target[[INDEX, INDEX + 1]] += 1.0
        plant.command_hand(target, tor_max=limit)
        plant.step(150)
        assert plant.hand_current[INDEX] == pytest.approx(limit, abs=1)
        pressed = []
        for _ in range(50):
            plant.step()
            pressed.append(plant.fingertips.normal_force[1])
        forces.append(np.median(pressed))
    assert forces[1] > 1.5 * forces[0]
    assert 2.0 < forces[1] < 9.0  # N; 0.31 N m on a lever of 50 mm, and 0.11 N m on one of 25 mm


def test_passive_mode_gives_no_torque(nominal_plant):
    plant = nominal_plant()
    plant.command_hand(plant.start_hand_q, mode=0)
    plant.step(50)
    assert not plant.data.actuator_force[6:18].any()


def test_backlash_leaves_a_dead_band(nominal_plant):
    plant = nominal_plant("screwdriver", hand={**IDEAL, "backlash": 0.02})
    way = step_response(plant, RING, -0.015)
    assert np.abs(way[-50:]).max() < 0.2


def test_friction_holds_a_joint_against_a_small_error(nominal_plant):
    ways = {}
    for friction in (1e-4, 0.06):
        plant = nominal_plant("screwdriver", hand={**IDEAL, "proximal_friction": friction})
        ways[friction] = step_response(plant, RING, -0.015)[-1]  # 0.045 N m at 3 N m/rad
    assert ways[1e-4] == pytest.approx(1.0, abs=0.25)
    assert ways[0.06] < 0.2


def test_readings_are_quantised_at_83_hz_and_arrive_late(nominal_plant):
    plant = nominal_plant()
    plant.step(30)
    target = plant.start_hand_q.copy()
    target[RING] += 0.3
    plant.command_hand(target)
    times, ages = [], []
    for _ in range(300):
        plant.step()
        if not times or plant.hand_time != times[-1]:
            times.append(plant.hand_time)
            ages.append(plant.time - plant.hand_time)
            np.testing.assert_allclose(plant.hand_q / RESOLUTION, np.round(plant.hand_q / RESOLUTION), atol=1e-9)
    assert np.mean(np.diff(times)) == pytest.approx(PERIOD, rel=0.02)
    assert min(ages) > 0.008 and max(ages[1:]) < 0.013
    assert plant.tactile_time == plant.hand_time


def test_an_outlier_keeps_the_old_reading_and_its_time(nominal_plant):
    plant = nominal_plant(hand={"outlier_probability": 1.0})
    ages = []
    for _ in range(200):
        plant.step()
        ages.append(plant.time - plant.hand_time)
    assert max(ages) > 0.15


@pytest.mark.parametrize(
    "command, message",
    [
        ({"position": np.zeros(11)}, "needs 12 finite joint targets"),
        ({"position": np.full(12, np.nan)}, "needs 12 finite joint targets"),
        ({"position": np.zeros(12), "mode": 5}, "modes 0 .passive. and 3 .position., got 5"),
        ({"position": np.zeros(12), "ki": 1}, "ki must be 0, got 1"),
        ({"position": np.zeros(12), "kp": -1}, "must not be negative"),
    ],
)
def test_commands_that_it_cannot_follow_are_refused(nominal_plant, command, message):
    plant = nominal_plant()
    gains = plant.model.actuator_gainprm.copy()
    with pytest.raises(ValueError, match=message):
        plant.command_hand(**command)
    np.testing.assert_array_equal(plant.model.actuator_gainprm, gains)


def test_a_command_is_not_changed_by_its_sender_later(nominal_plant):
    plant = nominal_plant("screwdriver", hand=IDEAL)
    target = plant.start_hand_q.copy()
    plant.command_hand(target)
    target += 1.0
    plant.step(150)
    assert np.abs(plant.hand_q - plant.start_hand_q).max() < 0.1
