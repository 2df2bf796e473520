import mujoco
import numpy as np
import pytest

from dexscrew_envs.hands.xhand import FINGERS, XHAND_LEFT
from real.twin.parameters import STRATA
from real.twin.taxels import NORMALS, POSITIONS, TaxelParameters, Taxels

IDEAL = dict(noise=0.0, bias=0.0, resultant_bias=0.0, drift=0.0, creep=0.0, hysteresis=0.0, lag=1e-9, gain_error=0.0,
             dead=0.0)  # fmt: skip
DT = 0.012
PAD_CENTRE = 64  # Row 6 of 12, column 4 of 10.


class Sensor(Taxels):
    """Taxels that are given their contacts one by one, and read at once."""

    noted, steps = (), ()

    def add(self, finger, position, force):
        """Note a contact of the present step."""
        self.noted = (*self.noted, (finger, len(self.steps), position, force))

    def step(self, dt):
        """End a step."""
        self.steps = (*self.steps, dt)

    def frame(self):
        """End a frame; return the counts of taxels and resultants."""
        seconds, noted = sum(self.steps), sorted(self.noted, key=lambda row: row[0])
        fingers = np.array([row[0] for row in noted], int)
        positions = np.array([row[2] for row in noted], float).reshape(-1, 3)
        forces = np.array([self.steps[row[1]] / seconds * np.array(row[3]) for row in noted]).reshape(-1, 3)
        (read,) = self.frames([seconds], fingers, np.zeros_like(fingers), positions, forces)
        self.noted, self.steps = (), ()
        return read()[:, :120], read()[:, 120]


def taxels(seed=0, **changes):
    return Sensor(TaxelParameters(**(IDEAL | changes)), np.random.default_rng(seed))


def press(sensor, finger, point, force, frames=1):
    """Press along the normal there for some frames; return the last frame's counts of that finger."""
    for _ in range(frames):
        for _ in range(6):
            sensor.add(finger, POSITIONS[finger, point], -force * NORMALS[finger, point])
            sensor.step(DT / 6)
        counts, resultant = sensor.frame()
    return counts[finger].astype(int), resultant[finger].astype(int)


def test_points_lie_on_the_pads_of_the_hand_model():
    model = XHAND_LEFT.spec().compile()
    for k, finger in enumerate(FINGERS):
        body = model.body(f"{finger}_2").id
        pad = [g for g in range(model.ngeom) if model.geom_bodyid[g] == body and model.geom_rgba[g].sum() > 0]
        pad = [g for g in pad if model.mat(model.geom_matid[g]).name == "pad"]
        gap = np.full(120, np.inf)
        for g in pad:
            radius, half = model.geom_size[g, :2]
            rotation = np.zeros(9)
            mujoco.mju_quat2Mat(rotation, model.geom_quat[g])
            local = (POSITIONS[k] - model.geom_pos[g]) @ rotation.reshape(3, 3)
            local[:, 2] -= np.clip(local[:, 2], -half, half)
            gap = np.minimum(gap, np.linalg.norm(local, axis=1) - radius)
        np.testing.assert_allclose(gap, 0.0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(NORMALS, axis=-1), 1.0, atol=1e-9)
    assert (NORMALS[1, :, 1] < 0.3).all() and (NORMALS[0, :, 2] < 0.3).all(), "pads face the palm"


@pytest.mark.parametrize("finger", range(5))
def test_an_ideal_sensor_adds_up_to_the_force(finger):
    sensor = taxels(point_scale=0.002)
    force = np.array([0.3, -0.5, 0.2]) - 2.0 * NORMALS[finger, PAD_CENTRE]
    sensor.add(finger, POSITIONS[finger, PAD_CENTRE], force)
    sensor.step(DT)
    counts, _ = sensor.frame()
    normal = NORMALS[finger]
    distal = np.array([1.0, 0, 0.136]) if finger == 0 else np.array([0, 0.145, -1.0])
    first = distal - normal * (normal @ distal)[:, None]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    local = 0.002 * counts[finger].astype(float)
    total = (local[:, :1] * first + local[:, 1:2] * np.cross(normal, first) - local[:, 2:] * normal).sum(axis=0)
    np.testing.assert_allclose(total, force, atol=0.03 * np.linalg.norm(force))


def test_the_resultant_is_the_force_in_the_axes_of_the_pad_centre():
    sensor = taxels()
    sensor.add(1, [0.0, -0.0098, -0.028], [0.5, 2.0, -1.0])  # Into the pad, towards the thumb, to the fingertip.
    sensor.step(DT)
    _, resultant = sensor.frame()
    np.testing.assert_allclose(np.abs(resultant[1]), [10, 5, 20], atol=4)
    assert resultant[1, 2] > 0
    assert not resultant[[0, 2, 3, 4]].any()


@pytest.mark.parametrize("finger", range(5))
@pytest.mark.parametrize("point", [44, 65, 95, 115])
def test_a_contact_of_3_newtons_lights_a_patch(finger, point):
    counts, _ = press(taxels(), finger, point, 3.0)
    assert 8 <= (counts[:, 2] > 0).sum() <= 25
    assert counts[:, 2].argmax() in range(point - 11, point + 12)


def test_small_forces_vanish_in_the_points_and_show_in_the_resultant():
    counts, resultant = press(taxels(), 2, PAD_CENTRE, 0.25)
    assert (counts[:, 2] > 0).sum() == 0
    assert resultant[2] >= 2


def test_counts_saturate_at_eight_bits():
    counts, resultant = press(taxels(), 1, PAD_CENTRE, 1e4)
    assert counts[:, 2].max() == resultant[2] == 255
    sensor = taxels()
    sensor.add(1, POSITIONS[1, PAD_CENTRE], [0, 0, 1e4])
    sensor.step(DT)
    counts, resultant = sensor.frame()
    assert counts[1, :, 0].min() == resultant[1, 0] == -128
    assert counts[1, :, 2].min() == 0


def test_a_contact_on_the_back_of_the_finger_is_not_felt():
    sensor = taxels()
    sensor.add(1, [0.0, 0.012, -0.02], [0, -5.0, 0])
    sensor.add(1, [0.0, 0.0, 0.0], [0, 5.0, 0])
    sensor.step(DT)
    counts, resultant = sensor.frame()
    assert not counts.any() and not resultant.any()


def test_forces_are_averaged_over_the_frame():
    sensor = taxels()
    sensor.add(0, POSITIONS[0, PAD_CENTRE], -8.0 * NORMALS[0, PAD_CENTRE])
    for _ in range(4):
        sensor.step(DT / 4)
    _, resultant = sensor.frame()
    assert resultant[0, 2] == pytest.approx(20, abs=1)


def test_unloading_reads_more_than_loading():
    loop = {}
    sensor = taxels(hysteresis=0.1)
    for k, force in enumerate([0, 5, 10, 5, 0]):
        loop[k] = press(sensor, 1, PAD_CENTRE, force)[1][2]
    assert loop[3] - loop[1] == pytest.approx(7.5, abs=1.5), "5 % of the peak of 100 counts, and of that of 50"
    assert loop[4] == pytest.approx(5, abs=1) and loop[0] == 0


def test_a_lasting_load_leaves_a_trace_that_fades():
    sensor = taxels(creep=0.5, creep_time=1.0)
    press(sensor, 1, PAD_CENTRE, 10.0, frames=300)
    fresh = press(sensor, 1, PAD_CENTRE, 0.0)[1][2]
    later = press(sensor, 1, PAD_CENTRE, 0.0, frames=83)[1][2]
    assert fresh == pytest.approx(48, abs=4)
    assert later == pytest.approx(fresh / np.e, abs=2)


def test_drift_grows_as_a_random_walk():
    sensors = [taxels(seed, drift=2.0) for seed in range(4)]
    spread = {}
    for frame in range(1, 401):
        for sensor in sensors:
            sensor.step(DT)
            counts, _ = sensor.frame()
            if frame in (100, 400):
                spread.setdefault(frame, []).append(counts[..., :2].astype(float))
    small, large = (np.std(spread[k]) for k in (100, 400))
    assert large / small == pytest.approx(2.0, rel=0.35)
    assert large == pytest.approx(2.0 * np.sqrt(4.8 / 10), rel=0.4)


def test_noise_and_bias_at_rest():
    sensor = taxels(noise=0.5, bias=3.0, resultant_bias=5.0)
    frames = []
    for _ in range(150):
        sensor.step(DT)
        frames.append(sensor.frame()[0][..., :2])
    assert np.std(frames, axis=0).mean() == pytest.approx(np.hypot(0.5, 12**-0.5), rel=0.1), "noise and rounding"
    assert np.std(np.mean(frames, axis=0)) == pytest.approx(3.0, rel=0.2)


def test_dead_points_read_zero():
    sensor = taxels(bias=50.0, dead=0.2)
    sensor.step(DT)
    counts, _ = sensor.frame()
    assert (counts[..., :2] == 0).all(axis=-1).mean() == pytest.approx(0.2, abs=0.06)


def test_the_lag_takes_its_time():
    sensor = taxels(lag=0.024)
    rising = [press(sensor, 1, PAD_CENTRE, 10.0)[1][2] for _ in range(8)]
    assert rising[1] / rising[-1] == pytest.approx((1 - np.exp(-1)) / (1 - np.exp(-4)), abs=0.02)


def test_zeroing_leaves_a_small_residual():
    sensor = taxels(bias=1.0, resultant_bias=2.0, drift=30.0)
    for _ in range(400):
        sensor.step(DT)
        before, _ = sensor.frame()
    sensor.zero()
    after, resultant = sensor.frame()
    assert np.std(before[..., :2].astype(float)) > 10
    assert np.std(after[..., :2].astype(float)) == pytest.approx(1.0, abs=0.4)
    assert np.abs(resultant[:, :2]).max() <= 8


def test_same_seed_same_counts_and_another_seed_others():
    def run(seed):
        sensor = Sensor(TaxelParameters.draw(np.random.default_rng(7), "hard"), np.random.default_rng(seed))
        return [press(sensor, 3, PAD_CENTRE, 2.0)[0] for _ in range(5)]

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


def test_a_frame_without_a_step_repeats_the_reading():
    sensor = taxels()
    press(sensor, 1, PAD_CENTRE, 3.0)
    first, second = sensor.frame(), sensor.frame()
    np.testing.assert_array_equal(first[0], second[0])


def test_frames_read_the_same_whether_taken_at_once_or_one_by_one_and_whenever_they_are_read():
    def sensor():
        return Taxels(TaxelParameters.draw(np.random.default_rng(7), "hard"), np.random.default_rng(0))

    rng = np.random.default_rng(1)
    fingers, frames = np.array([0, 0, 0, 1, 1, 4, 4]), np.array([0, 0, 3, 2, 2, 1, 3])
    positions = POSITIONS[fingers, rng.integers(120, size=7)]
    forces = rng.normal(scale=3.0, size=(7, 3))
    at_once = sensor().frames([DT] * 4, fingers, frames, positions, forces)
    single = sensor()
    for k in range(4):
        rows = frames == k
        (read,) = single.frames([DT], fingers[rows], np.zeros(rows.sum(), int), positions[rows], forces[rows])
        np.testing.assert_array_equal(read(), at_once[k]())
    assert np.abs(at_once[3]()[[0, 4]]).max() > 10


@pytest.mark.parametrize("stratum", STRATA)
def test_parameters_can_be_drawn(stratum):
    drawn = [TaxelParameters.draw(np.random.default_rng(k), stratum) for k in range(20)]
    assert {p.point_scale for p in drawn} <= {0.05, 0.1, 0.2}
    assert all(0.0025 <= p.width <= 0.004 for p in drawn)


def test_impossible_parameters_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        TaxelParameters(width=0.0)
    with pytest.raises(ValueError, match="unknown stratum"):
        TaxelParameters.draw(np.random.default_rng(0), "harder")
