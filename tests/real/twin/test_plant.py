from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dexscrew_envs.hands import XHAND_LEFT
from dexscrew_envs.hands.xhand import FINGERS, JOINTS
from real.hand_poses import opened
from real.kinematics import forward
from real.twin.objects.nut import NutParameters
from real.twin.parameters import STRATA
from real.twin.plant import SHAPES, Plant, PlantParameters
from real.twin.robot import TwinConfig
from real.twin.scene import HAND

GRASP = {"index_1": 0.25, "index_2": 0.3, "mid_1": 0.25, "mid_2": 0.3, "thumb_1": 0.3, "thumb_2": 0.3}


def grasp(plant):
    """Close thumb, index and middle finger around the object."""
    target = plant.start_hand_q.copy()
    for joint, angle in GRASP.items():
        target[JOINTS.index(joint)] += angle
    plant.command_hand(target)


def snapshot(plant):
    return np.concatenate([
        plant.data.qpos, plant.data.qvel, plant.arm_q, plant.tcp_force, plant.hand_q, plant.hand_current,
        plant.tactile.ravel(), plant.resultant.ravel(), [plant.hand_time, plant.turns],
    ])  # fmt: skip


@pytest.mark.parametrize("task", SHAPES)
def test_same_seed_and_commands_give_the_same_states_bit_for_bit(task):
    found = []
    for _ in range(2):
        plant = Plant(task, stratum="hard", seed=7)
        grasp(plant)
        plant.arm.servo(plant.start_arm_q + 0.02)
        plant.step(250)
        found.append(snapshot(plant))
    np.testing.assert_array_equal(*found)


def test_a_reset_to_a_seed_equals_a_new_plant_with_it_and_the_next_trial_differs():
    plant = Plant("nut", seed=3)
    grasp(plant)
    plant.step(50)
    plant.reset(5)
    fresh = Plant("nut", seed=5)
    for each in (plant, fresh):
        each.step(20)
    np.testing.assert_array_equal(snapshot(plant), snapshot(fresh))
    assert plant.parameters == fresh.parameters
    plant.reset()
    assert plant.parameters != fresh.parameters
    assert plant.time == 0 and plant.turns == pytest.approx(0)


def test_noise_is_the_same_whether_or_not_readings_are_looked_at():
    watched, alone = Plant("nut", seed=1), Plant("nut", seed=1)
    for _ in range(30):
        watched.step()
        for _ in range(2):
            watched.tcp_force  # noqa: B018
            watched.tactile  # noqa: B018
        alone.step()
    np.testing.assert_array_equal(watched.tcp_force, alone.tcp_force)
    np.testing.assert_array_equal(snapshot(watched), snapshot(alone))


@pytest.mark.slow
@pytest.mark.parametrize("stratum", STRATA)
@pytest.mark.parametrize("task", SHAPES)
def test_trials_of_every_stratum_run(task, stratum):
    plant = Plant(task, stratum=stratum)
    for seed in range(3):
        plant.reset(seed)
        grasp(plant)
        plant.step(50)
        assert np.isfinite(plant.data.qpos).all()
        assert plant.tactile.shape == (5, 120, 3) and plant.resultant.shape == (5, 3)


def test_arm_holds_still_and_follows_its_controller(nominal_plant, quiet_sensor):
    plant = nominal_plant(arm=quiet_sensor)
    plant.step(100)
    np.testing.assert_allclose(plant.arm_q, plant.start_arm_q, atol=1e-6)
    np.testing.assert_allclose(plant.tcp_force, 0.0, atol=1e-3)
    plant.arm.move(np.add(plant.start_arm_q, [0.05, -0.05, 0.03, 0.1, -0.1, 0.1]), speed=0.5, acceleration=1.0)
    lag = []
    while plant.arm.moving:
        plant.step()
        lag.append(np.abs(plant.arm_q - plant.arm.q).max())
    assert max(lag) < 5e-3
    plant.step(200)
    np.testing.assert_allclose(plant.arm_q, plant.arm.q, atol=1e-5)
    np.testing.assert_allclose(plant.tcp_pose, forward(plant.arm_q), atol=1e-12)


def test_sensor_reads_external_forces_and_the_flange_yields_to_them(nominal_plant, quiet_sensor):
    plant = nominal_plant(arm=quiet_sensor)
    before = plant.tcp_pose.copy()
    force = np.array([10.0, -5.0, 3.0])
    palm = plant.model.body(f"{HAND}palm").id
    plant.data.xfrc_applied[palm, :3] = force
    plant.step(300)
    np.testing.assert_allclose(plant.tcp_force[:3], force, atol=0.05)
    lever = plant.data.xipos[palm] - plant.tcp_pose[:3]
    np.testing.assert_allclose(plant.tcp_force[3:], np.cross(lever, force), atol=0.01)
    stiffness = np.linalg.norm(force) / np.linalg.norm(plant.tcp_pose[:3] - before[:3]) / 1000
    assert 20 < stiffness < 100  # N/mm


def test_sensor_has_bias_and_noise():
    plant = Plant("nut", seed=2)
    readings = []
    for _ in range(200):
        plant.step()
        readings.append(plant.tcp_force[:3].copy())
    assert 0.4 < np.std(readings[100:], axis=0).mean() < 0.6
    assert np.abs(np.mean(readings, axis=0)).max() > 0.2


def test_too_large_a_force_stops_the_arm_until_it_is_unlocked(nominal_plant):
    plant = nominal_plant()
    plant.arm.servo(plant.start_arm_q + 0.3)
    plant.data.xfrc_applied[plant.model.body(f"{HAND}palm").id, 2] = -200.0
    plant.step(20)
    assert plant.protective_stop
    plant.data.xfrc_applied[:] = 0
    held = plant.arm.q.copy()
    plant.arm.servo(plant.start_arm_q + 0.3)  # a client that has not noticed
    plant.step(200)
    np.testing.assert_array_equal(plant.arm.q, held)
    assert plant.protective_stop
    plant.unlock()
    plant.step(200)
    np.testing.assert_array_equal(plant.arm.q, held)  # what was sent meanwhile is forgotten
    plant.arm.servo(held + 0.05)
    plant.step(200)
    assert np.abs(plant.arm.q - held).max() > 1e-3


def turned(plant, turns):
    """Put the nut where it is after some turns."""
    model, data = plant.model, plant.data
    lead = plant.parameters.object.lead
    data.qpos[model.joint("nut").qposadr[0]] = -2 * np.pi * turns
    data.qpos[model.joint("nut_z").qposadr[0]] -= lead * turns


def test_a_hand_at_fixed_height_loses_the_nut_before_it_sits_tight(nominal_plant):
    """A grasp that holds the nut at the start closes above it after seven of its eight turns."""
    forces = {}
    for turns in (0.0, 7.0):
        plant = nominal_plant("nut", "hexagon")
        turned(plant, turns)
        grasp(plant)
        sensed = []
        for _ in range(100):
            plant.step(5)
            names = [{plant.model.geom(g).name for g in pair} for pair in plant.data.contact.geom]
            sensed.append(any("nut_0" in pair for pair in names))
        forces[turns] = np.mean(sensed[50:])
    assert forces[0.0] > 0.9
    assert forces[7.0] == 0.0


def test_fingers_turn_a_nut_that_they_push_at_the_side(nominal_plant):
    plant = nominal_plant("nut", "triangle")
    grasp(plant)
    plant.step(250)
    assert plant.turns != pytest.approx(0.0, abs=1e-4)
    assert not plant.finished and plant.lost is None


def test_fingertips_yield_as_an_elastomer_does(nominal_plant):
    """By 0.4 to 1.0 mm at 3 N, so 3 to 7.5 N/mm; contacts differ, since MuJoCo's softness goes with the inertia."""
    plant = nominal_plant("nut", "hexagon")
    grasp(plant)
    stiffness = []
    for _ in range(60):
        plant.step(5)
        for k, contact in enumerate(plant.data.contact):
            force = np.zeros(6)
            mujoco.mj_contactForce(plant.model, plant.data, k, force)
            if force[0] > 2 and "nut_0" in {plant.model.geom(geom).name for geom in contact.geom}:
                stiffness.append(force[0] / (-1000 * contact.dist))
    assert 3.0 < np.median(stiffness) < 7.5


def test_taxels_feel_a_grasp(nominal_plant):
    plant = nominal_plant("screwdriver", taxels={"bias": 0.0, "resultant_bias": 0.0, "noise": 0.0, "drift": 0.0})
    grasp(plant)
    plant.step(150)
    for finger in (0, 1):
        assert plant.resultant[finger, 2] > 10
        assert 3 < (plant.tactile[finger, :, 2] > 0).sum() < 60
    assert not plant.tactile[4].any()


def test_the_driver_is_held_until_thumb_and_fingers_grip_it(nominal_plant):
    plant = nominal_plant("screwdriver")
    hold = plant.model.equality("held").id
    plant.step(100)
    assert plant.data.eq_active[hold]
    grasp(plant)
    plant.step(300)
    assert not plant.data.eq_active[hold]


def test_a_grip_holds_the_driver_upright(nominal_plant):
    plant = nominal_plant("screwdriver")
    grasp(plant)
    plant.step(2000)
    assert not plant.data.eq_active[plant.model.equality("held").id]
    assert plant.lost is None
    assert np.degrees(plant.object.recess.tilt) < 6


def test_a_driver_does_not_creep_out_of_a_grip(nominal_plant):
    """Fingertips hold it by several newtons of friction, so what lifts it by 1 N does not."""
    plant = nominal_plant("screwdriver")
    grasp(plant)
    plant.step(750)
    driver = plant.model.body("driver").id
    plant.data.xfrc_applied[driver, 2] = 1.0 + 9.81 * plant.parameters.object.mass
    heights = []
    for _ in range(2):
        plant.step(500)
        heights.append(plant.data.xpos[driver, 2])
    assert plant.fingertips.normal_force.sum() * plant.parameters.object.grip_friction > 3.0
    assert heights[1] - heights[0] < 2e-4


def test_a_driver_that_nobody_grips_stays_in_its_recess_when_it_is_let_go(nominal_plant):
    plant = nominal_plant("screwdriver", object={"hold_time": 0.1})
    target = plant.start_hand_q.copy()
    for joint in ("index_1", "mid_1", "ring_1", "thumb_1"):
        target[JOINTS.index(joint)] -= 0.7
    plant.command_hand(target)
    plant.step(1000)
    assert plant.lost is None and plant.released == pytest.approx(0.1, abs=0.01)
    assert plant.object.recess.tilt < 1.05 * plant.parameters.object.free_play()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"task": "bolt"}, "unknown task 'bolt'; choose from nut, screwdriver"),
        ({"task": "nut", "shape": "octagon"}, "unknown shape 'octagon' of the nut; choose from triangle, square"),
        ({"task": "nut", "stratum": "harder"}, "unknown stratum 'harder'; choose from easy, nominal, hard"),
        ({"task": "nut", "seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_unknown_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Plant(**arguments)


def test_parameters_of_another_task_are_refused():
    with pytest.raises(ValueError, match="must hold ScrewdriverParameters, got NutParameters"):
        Plant("screwdriver", parameters=PlantParameters.nominal("nut"))


def test_given_parameters_stay_over_resets(nominal_plant):
    plant = nominal_plant("nut", object={"friction": 0.123})
    plant.reset(4)
    assert isinstance(plant.parameters.object, NutParameters)
    assert plant.parameters.object.friction == 0.123


# -- calibration errors -----------------------------------------------------------------------------------------------


def test_a_zero_offset_is_in_readings_and_commands(nominal_plant):
    index = JOINTS.index("index_1")
    offset = tuple(0.05 if name == "index_1" else 0.0 for name in JOINTS)
    plant, exact = nominal_plant(calibration={"zero_offset": offset}), nominal_plant()
    np.testing.assert_array_equal(plant.hand_q, exact.hand_q)
    target = plant.start_hand_q.copy()
    target[index] -= 0.4  # away from the nut
    for each in (plant, exact):
        each.command_hand(target)
        each.step(300)
    assert plant.hand_q[index] == pytest.approx(exact.hand_q[index], abs=0.01)
    true = [each.data.qpos[each.model.joint("hand_index_1").qposadr[0]] for each in (plant, exact)]
    assert true[0] == pytest.approx(true[1] - 0.05, abs=0.01)


def test_a_mount_is_where_it_was_drawn(nominal_plant):
    rotation = (0.0, 0.0, 0.01)
    plant = nominal_plant(calibration={"mount_position": (0.001, -0.002, 0.003), "mount_rotation": rotation})
    exact = nominal_plant()
    flange = exact.data.site_xmat[exact.model.site("flange").id].reshape(3, 3)
    palm = exact.model.body("hand_palm").id
    shift = flange.T @ (plant.data.xpos[palm] - exact.data.xpos[palm])
    np.testing.assert_allclose(shift, [0.001, -0.002, 0.003], atol=1e-9)
    turned = plant.data.xmat[palm].reshape(3, 3) @ exact.data.xmat[palm].reshape(3, 3).T
    # A small rotation about the flange's z axis.
    np.testing.assert_allclose(turned - np.eye(3), 0.01 * np.cross(flange[:, 2], np.eye(3)).T, atol=1e-4)


def test_thicker_pads_are_thicker_by_as_much(nominal_plant):
    plant, exact = nominal_plant(calibration={"pad_thickness": (1e-4, 2e-4, 3e-4, 4e-4, 5e-4)}), nominal_plant()
    for finger, thicker in zip(FINGERS, (1e-4, 2e-4, 3e-4, 4e-4, 5e-4), strict=True):
        body = exact.model.body(f"hand_{finger}_2").id
        grown = (plant.model.geom_size - exact.model.geom_size)[exact.model.geom_bodyid == body, 0]
        assert 0 < np.count_nonzero(grown) < len(grown)  # the pads, and not the shells
        np.testing.assert_allclose(grown[grown != 0], thicker)


@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_the_trials_of_a_stratum_differ_in_calibration(task):
    first, second = (Plant(task, seed=seed).parameters.calibration for seed in (0, 1))
    assert first != second and np.abs(first.zero_offset).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("task", ["nut", "screwdriver"])
@pytest.mark.parametrize("stratum", STRATA)
def test_a_trial_does_not_begin_with_fingers_in_the_object_or_beyond_their_stops(task, stratum):
    for seed in range(4):
        plant = Plant(task, stratum=stratum, seed=seed)
        mujoco.mj_forward(plant.model, plant.data)
        depths = [-plant.data.contact[k].dist for k in range(plant.data.ncon)]
        assert max(depths, default=0.0) < 4e-4
        ranges = [plant.model.joint(f"hand_{name}").range for name in JOINTS]
        q = plant.data.qpos[6:18]
        assert all(low <= angle <= high for angle, (low, high) in zip(q, ranges, strict=True))
        pressed = 0.0
        for _ in range(50):
            plant.step()
            pressed = max(pressed, plant.fingertips.normal_force.max())
        assert pressed < 6.0


def test_a_driver_that_is_lost_comes_to_rest(nominal_plant):
    plant = nominal_plant("screwdriver", object={"hold_time": 0.05})
    driver = plant.model.body("driver").id
    target = plant.start_hand_q.copy()
    for joint in ("index_1", "mid_1", "ring_1", "thumb_1"):
        target[JOINTS.index(joint)] -= 0.7
    plant.command_hand(target)
    plant.data.xfrc_applied[driver, :3] = [0.3, 0.1, 2.0]
    while not plant.lost:
        plant.step()
    plant.data.xfrc_applied[driver] = 0.0
    plant.step(2500)
    joints = slice(int(plant.model.joint("tip_x").dofadr[0]), int(plant.model.joint("tilt_y").dofadr[0]) + 1)
    assert np.abs(plant.data.qvel[joints]).max() < 0.05


@pytest.mark.parametrize("task", ["nut", "screwdriver"])
def test_a_hand_may_begin_open_above_the_object_which_waits_for_it(task):
    at, above = Plant(task, seed=3), Plant(task, seed=3, above=0.06)
    np.testing.assert_allclose(above.tcp_pose - at.tcp_pose, [0, 0, 0.06, 0, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(above.start_hand_q, opened(XHAND_LEFT, at.start_hand_q))
    before = above.object.grip()[0]
    above.command_hand(above.start_hand_q)
    above.step(2500)
    assert above.turns == pytest.approx(0, abs=0.01)
    assert above.released is None and above.lost is None
    np.testing.assert_allclose(above.object.grip()[0], before, atol=0.001)


@pytest.mark.parametrize("above", [-0.01, 0.11, float("nan")])
def test_a_hand_cannot_begin_elsewhere(above):
    with pytest.raises(ValueError, match=r"the hand begins 0 to 0\.1 m above the object"):
        Plant("nut", above=above)
    with pytest.raises(ValueError, match=r"above must be 0 to 0\.1 m"):
        TwinConfig(above=above)


def test_the_first_reading_is_a_reading():
    """It feels the offsets that the next ones feel, and no fall of the arm; what is drawn later is the same."""
    plant, other = (Plant("nut", "square", seed=3) for _ in range(2))
    first, force = plant.tactile.astype(float), plant.tcp_force
    plant.step(25)
    assert np.abs(first).max() > 0
    assert np.abs(first - plant.tactile).mean() < 0.5 * np.abs(first).mean()
    assert np.abs(force - plant.tcp_force)[:3].max() < 3.0
    other.step(25)  # nobody looked at this one before
    np.testing.assert_array_equal(plant.tactile, other.tactile)
    np.testing.assert_array_equal(plant.data.qpos, other.data.qpos)
