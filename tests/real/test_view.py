from __future__ import annotations

import numpy as np
from rich.console import Console

from real.view import screen, tactile_map


def observation(**fields):
    values = {
        "tcp_force": np.array([3.0, 0, 4.0, 0, 0, 0]),
        "age": np.array([0.004, 0.012, 0.02]),
        "tactile": np.zeros((5, 120, 3), np.int16),
    }
    return values | fields


def shown(observation, info):
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - closed with the process
    console.print(screen("a policy on a twin", observation, info, 12.34))
    return console.export_text()


def test_the_screen_shows_turns_rate_forces_and_ages():
    tactile = np.zeros((5, 120, 3), np.int16)
    tactile[1, :5, 2] = 8
    info = {"period": 0.05, "jitter": 0.0012, "rotations": 3.456, "turns_needed": 8.0}
    text = shown(observation(tactile=tactile), info)
    for part in ("a policy on a twin", "3.46 of 8", "20.0 Hz, jitter +1.2 ms", "5.0 N", "hand 12 ms", "index 4.0 N"):
        assert part in text


def test_unknown_turns_are_said_to_be_unknown():
    text = shown(observation(), {"period": 0.05, "jitter": 0.0, "rotations": float("nan")})
    assert "not measured" in text


def test_a_map_has_a_shade_for_every_taxel():
    counts = np.zeros(120)
    counts[0], counts[119] = 255, 1
    rows = tactile_map(counts).plain.split("\n")
    assert len(rows) == 12 and all(len(row) == 20 for row in rows)
    assert rows[0].startswith("██ ") and rows[-1].endswith(" ░░")
