from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console
from robot_fakes import FakeRobot

from dexscrew_envs.hands.xhand import FINGERS
from real.env import DexScrewRealEnv
from real.safety import SafetyLimits
from real.view import COLUMNS, LEVELS, ROWS, LiveView

SIZES = {"small": (80, 24), "large": (120, 40)}
TITLE = "nut-student on twin, nominal"


def observation(**fields):
    values = {
        "tcp_force": np.array([3.0, 0, 4.0, 0, 0.3, 0]),
        "age": np.array([0.004, 0.012, 0.02]),
        "tactile": np.zeros((5, 120, 3), np.int16),
    }
    return values | fields


def info(**fields):
    values = {"period": 0.05, "jitter": 0.0012, "rotations": 3.456, "fingertip_force": np.array([0, 4.0, 12.34, 0, 31])}
    return values | fields


def lines(drawn, size=SIZES["small"], encoding="utf-8"):
    """Return the lines of the terminal, as they are encoded there."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(width=size[0], height=size[1], file=file).print(drawn)
    file.flush()
    return file.buffer.getvalue().decode(encoding).splitlines()


def maps(text, wide=1):
    """Return the shades of every finger (5 lists of 12 strings), cut out of the screen at their borders."""
    top = next(k for k, line in enumerate(text) if FINGERS[0] in line)
    rows = [line.split("│")[1::2] for line in text[top + 1 : top + 1 + ROWS]]
    assert all(len(row) == len(FINGERS) and all(len(cell) == wide * COLUMNS for cell in row) for row in rows)
    return [list(column) for column in zip(*rows, strict=True)]


def shown_newtons(text):
    """Return the forces below the maps (N)."""
    top = next(k for k, line in enumerate(text) if FINGERS[0] in line)
    return [float(number) for number in re.findall(r"([\d.]+) N\b", text[top + 1 + ROWS])]


def shades(counts):
    """Return the map of a thumb whose taxels rose by (120,) counts after a first step."""
    view, rest = LiveView(TITLE, SafetyLimits()), np.full((5, 120, 3), 7, np.int16)
    view.draw(observation(tactile=rest), info(), 0.1)
    risen = rest.copy()
    risen[0, :, 2] += np.asarray(counts, np.int16)
    return maps(lines(view.draw(observation(tactile=risen), info(), 0.1)))[0]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("title", [TITLE, "/home/someone/" + "run/" * 30 + "policy.pt on 192.168.1.10"])
def test_all_fits_the_terminal_and_nothing_is_cut_off(size, title):
    far = info(rotations=-123.456, jitter=-12.3, turns_needed=8.0)
    text = lines(LiveView(title, SafetyLimits()).draw(observation(age=np.full(3, 3600.0)), far, 12345.6), size)
    assert len(text) <= size[1] and max(map(len, text)) <= size[0]
    assert not any("…" in line for line in text)
    whole = "\n".join(text)
    for part in (
        title[-25:], "12345.6 s", "-123.46 of 8", "20.0 Hz, jitter -12300.0 ms",
        "5.0 N and 0.30 N m; the robot stops at 50 N or 8 N m",
        "arm 3600000 ms, hand 3600000 ms, taxels 3600000 ms", *FINGERS, "0.0 N", "4.0 N", "12.3 N", "31.0 N",
        "the robot stops at 15 N for 0.25 s, or 25 N", "at least ░ 4, ▒ 8, ▓ 16, █ 32",
    ):  # fmt: skip
        assert part in whole
    maps(text, wide=2 if size[0] == 120 else 1)
    # Nothing was wrapped: each line is a border, a row of its own, or the legend.
    assert len(text) == 1 + 5 + 1 + 1 + ROWS + 1 + 2


def test_unknown_turns_are_said_to_be_unknown():
    text = "\n".join(lines(LiveView(TITLE, SafetyLimits()).draw(observation(), info(rotations=float("nan")), 0.1)))
    assert "turns            not measured" in text and "nan" not in text.replace(TITLE, "")


@pytest.mark.parametrize("resultant", [[0, 0, 0], [30, 40, 0], [-100, 120, 55]])
def test_the_newtons_are_those_that_the_safety_layer_checks(resultant):
    robot = FakeRobot()
    counts = np.full((5, 120, 3), 40, np.int16)  # the sum of a fingertip's offsets would be hundreds of newtons
    resultants = np.zeros((5, 3), np.int16)
    env = DexScrewRealEnv("nut", robot=robot, limits=SafetyLimits(fingertip_force=1e6, fingertip_peak=1e6))
    env.reset()
    resultants[3] = resultant
    robot.overrides["hand"] = {"resultant": resultants, "tactile": counts}
    seen, *_, found = env.step(np.zeros(12, np.float32))
    newtons = found["fingertip_force"]
    np.testing.assert_allclose(newtons, [0, 0, 0, 0.1 * np.linalg.norm(resultant), 0])
    assert shown_newtons(lines(LiveView(TITLE, env.limits).draw(seen, found, 0.05))) == newtons.round(1).tolist()
    env.close()
    if newtons[3] > 0:
        robot.overrides = {"arm": {}, "hand": {}}
        below = newtons[3] - 0.01
        limits = SafetyLimits(fingertip_force=below, fingertip_peak=below)
        env = DexScrewRealEnv("nut", robot=robot, limits=limits)
        env.reset()
        robot.overrides["hand"] = {"resultant": resultants}
        *_, found = env.step(np.zeros(12, np.float32))
        assert f"the force on the ring fingertip is {found['fingertip_force'][3]:.1f} N" in found["trip"]
        env.close()


def test_offsets_at_rest_are_no_contact():
    rng = np.random.default_rng(0)
    offset = np.clip(np.rint(rng.normal(20, 8, (5, 120, 3))), 0, 60)
    view = LiveView(TITLE, SafetyLimits())
    for k in range(50):
        noisy = np.rint(offset + rng.normal(0, 0.5, offset.shape)).astype(np.int16)
        drawn = view.draw(observation(tactile=noisy), info(), 0.1 * k)
        assert all(not row.strip() for finger in maps(lines(drawn)) for row in finger)


def test_a_taxel_has_the_shade_of_its_counts_above_rest():
    counts = np.zeros(120)
    counts[:10] = [3, 4, 7, 8, 15, 16, 31, 32, 200, 0]
    counts[119] = LEVELS[0]
    found = shades(counts)
    assert found[0] == " ░░▒▒▓▓██ " and found[-1] == " " * 9 + "░"
    assert all(not row.strip() for row in found[1:-1])


def test_shear_is_no_contact():
    view, tactile = LiveView(TITLE, SafetyLimits()), np.zeros((5, 120, 3), np.int16)
    view.draw(observation(tactile=tactile), info(), 0.1)
    tactile = tactile.copy()
    tactile[..., :2] = 100
    assert all(
        not row.strip()
        for finger in maps(lines(view.draw(observation(tactile=tactile), info(), 0.2)))
        for row in finger
    )


def test_a_contact_from_the_beginning_appears_after_it_was_let_go():
    view = LiveView(TITLE, SafetyLimits())
    for k, count in enumerate((40, 5, 40)):
        tactile = np.full((5, 120, 3), count, np.int16)
        found = maps(lines(view.draw(observation(tactile=tactile), info(), 0.1 * k)))
    assert all(row == "█" * COLUMNS for finger in found for row in finger)


def test_rest_follows_drift_and_a_lasting_contact_stays():
    view = LiveView(TITLE, SafetyLimits())
    for k in range(600):  # a minute, in which one finger drifts by 6 counts and another is pressed
        tactile = np.zeros((5, 120, 3), np.int16)
        tactile[0] = k // 100
        tactile[1] = 60 if k > 10 else 0
        drawn = view.draw(observation(tactile=tactile), info(), 0.1 * k)
    drifted, pressed, *_ = maps(lines(drawn))
    assert not "".join(drifted).strip() and all(row == "█" * COLUMNS for row in pressed)


def test_it_is_drawn_on_terminals_without_unicode():
    view, tactile = LiveView("x" * 100, SafetyLimits()), np.zeros((5, 120, 3), np.int16)
    view.draw(observation(tactile=tactile), info(), 0.1)
    text = lines(view.draw(observation(tactile=tactile + np.int16(20)), info(), 0.2), encoding="ascii")
    assert any("|**********|" in line for line in text) and "at least . 4, : 8, * 16, # 32" in text[-1]
