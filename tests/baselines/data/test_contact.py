from __future__ import annotations

import numpy as np

from baselines.data.contact import CONTACT_NEWTONS, fingertip_forces, touching
from baselines.data.reader import Demonstrations
from real.teleop.recorded import SAMPLES


def test_contact_is_force_above_a_fingers_own_rest():
    rest, press = np.array([0.3, 1.4]), CONTACT_NEWTONS + 0.2
    forces = np.tile(rest, (100, 1))
    forces[20:60, 0] += press
    forces[50:90, 1] += press
    touches = touching(forces)
    assert touches[:, 0].nonzero()[0].tolist() == list(range(20, 60))
    assert touches[:, 1].nonzero()[0].tolist() == list(range(50, 90))


def test_noise_is_no_contact():
    assert not touching(0.4 + 0.1 * np.random.default_rng(0).standard_normal((500, 2))).any()


def test_no_steps_touch_nothing():
    assert touching(np.zeros((0, 2))).shape == (0, 2)


def test_fingers_that_only_stand_by_do_not_touch():
    episode = Demonstrations(SAMPLES / "nut")[0]
    shares = dict(zip(episode.header.fingers, (fingertip_forces(episode) >= CONTACT_NEWTONS).mean(axis=0), strict=True))
    assert shares["thumb"] > 0.2 and shares["index"] > 0.2
    assert shares["ring"] < 0.05 and shares["pinky"] < 0.05
