"""Draws the pictures of docs/twin.md: the recess in section, one trial over time, and frames of it.

`python -m real.twin.pictures docs`
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from baselines.plots import CONDITION_COLORS, picture
from dexscrew_envs import program
from dexscrew_envs.files import check_folder
from dexscrew_envs.mdp.observations import MEASURED
from dexscrew_envs.program import Status
from dexscrew_envs.tasks import make_task
from real.env import DexScrewRealEnv
from real.skill import load_skill
from real.twin.objects.recess import RecessParameters
from real.twin.objects.screwdriver import Screwdriver
from real.twin.robot import TwinRobot

SEED = 0
"""Of the trial: the first one of the nominal stratum, not a chosen one."""
_POLICY = "screwdriver-student"
_SECONDS = 300.0
_FRAMES = 6
_WIDER = 3.0  # times that the section draws the clearance


@dataclass(kw_only=True)
class Args:
    """Draw the pictures of the twin's reference."""

    folder: tyro.conf.Positional[Path]
    """Where to write them: twin-recess.png, twin-trial.png and twin-frames.png."""


def draw_section(path: Path) -> None:
    """Draw tips in their recesses, to scale except for the clearance."""
    hex_, phillips = RecessParameters(), RecessParameters(recess="phillips")
    depth, radius = 1e3 * hex_.recess_depth, 1e3 * hex_.tip_contact_radius
    gap = _WIDER * 1e3 * hex_.clearance
    play = math.atan(gap / depth)
    title = f"Tip and recess in section (mm); the clearance is drawn {_WIDER:g} times as wide"
    with picture(path, (10.5, 3.2), title, 3) as (_, axes):
        for axis, tilt, words in (
            (axes[0], 0.0, "hex, upright: it stands on its foot"),
            (axes[1], play, "hex, at its free play: walls hold it"),
        ):
            _draw_head(axis, [(-radius - gap / 2, 0), (-radius - gap / 2, depth)], depth)
            # It leans on the rim, and its foot on the opposite wall.
            _draw_tip(axis, np.array([[-radius, 0], [radius, 0], [radius, 9], [-radius, 9]]), tilt, radius, -gap / 2)
            axis.set_title(words, fontsize=9)
        axes[0].annotate("", (-radius, -0.35), (radius, -0.35), arrowprops={"arrowstyle": "<->", "lw": 0.8})
        axes[0].text(0, -0.85, f"foot, radius {radius:g}", ha="center", fontsize=8)
        axes[0].annotate("", (3.0, 0), (3.0, depth), arrowprops={"arrowstyle": "<->", "lw": 0.8})
        axes[0].text(3.1, depth / 2, f"t = {depth:g}", va="center", fontsize=8)
        axes[1].text(0, -0.85, f"free play atan(c / t) = {math.degrees(hex_.free_play()):.1f} degrees, c = "
                     f"{1e3 * hex_.clearance:g}", ha="center", fontsize=8)  # fmt: skip
        slope = depth * math.tan(math.radians(13.0))
        _draw_head(axes[2], [(-radius + slope, 0), (-radius - 0.2, depth)], depth)
        tip = np.array([[-radius + slope, 0], [radius - slope, 0], [radius, depth], [radius, 9], [-radius, 9],
                        [-radius, depth]])  # fmt: skip
        _draw_tip(axes[2], tip, phillips.cone_play, radius - slope, -0.05)
        axes[2].set_title("Phillips: sloped flanks", fontsize=9)
        holds = (
            f"{1e3 * phillips.cone_moment:g} mm x force in tilt, {1e3 * phillips.cone_torque:g} mm x force in torque"
        )
        axes[2].text(0, -0.85, f"holds {holds}", ha="center", fontsize=8)
        for axis in axes:
            axis.set_aspect("equal")
            axis.set_xlim(-4.6, 4.6)
            axis.set_ylim(-1.3, 5)
            axis.axis("off")


def _draw_head(axis: Any, left: list[tuple[float, float]], depth: float) -> None:
    """Draw the screw's head, given the wall of the recess on its left, from the floor up."""
    outer = [(-4.5, depth), (-4.5, -0.6), (4.5, -0.6), (4.5, depth)]
    right = [(-x, y) for x, y in left]
    axis.fill(*zip(*[*outer, *right[::-1], *left], strict=True), color="#c9cdd3", ec="#3d405b", lw=1.0)


def _draw_tip(axis: Any, outline: NDArray[np.float64], tilt: float, foot: float, slide: float) -> None:
    """Draw a tip that has tilted to the right about the edge of its foot."""
    pivot = np.array([foot, 0.0])
    turn = np.array([[math.cos(tilt), math.sin(tilt)], [-math.sin(tilt), math.cos(tilt)]])
    points = (outline - pivot) @ turn.T + pivot + [slide if tilt else 0.0, 0.0]
    axis.fill(*points.T, color=CONDITION_COLORS[2], ec="#3d405b", lw=1.0, alpha=0.9)


def run_trial() -> tuple[dict[str, NDArray[np.float64]], list[NDArray[np.uint8]], list[float], str]:
    """Let the student turn a nominal screw, arm still.

    Returns:
        What it was like at every control step (N,), frames, their times (s), and how it ended.
    """
    torch.set_num_threads(1)
    policy = load_skill(_POLICY)
    env = DexScrewRealEnv(
        "screwdriver", observe=MEASURED, render_mode="rgb_array", render_size=(400, 300),
        episode_steps=round(_SECONDS / make_task("screwdriver").control_dt),
    )  # fmt: skip
    rows: list[tuple[float, ...]] = []
    shots: list[tuple[float, NDArray[np.uint8]]] = []
    with closing(env):
        observation, info = env.reset(seed=SEED)
        policy.reset()
        assert isinstance(env.robot, TwinRobot)
        plant = env.robot.plant
        assert isinstance(plant.object, Screwdriver)
        ended = False
        while not ended:
            if len(shots) <= 400 and plant.time >= 0.75 * len(shots):
                shots.append((plant.time, np.asarray(env.render())))
            action = policy.act({key: torch.from_numpy(observation[key])[None] for key in policy.observe})[0].numpy()
            observation, _, terminated, truncated, info = env.step(action)
            recess = plant.object.recess
            rows.append((plant.time, math.degrees(recess.tilt), recess.force, recess.torque, plant.turns))
            ended = terminated or truncated
        shots.append((plant.time, np.asarray(env.render())))
    names = ("time", "tilt", "force", "torque", "turns")
    chosen = [shots[k] for k in np.linspace(0, len(shots) - 1, _FRAMES).round().astype(int)]
    how = info["trip"] or info["lost"] or ("complete" if info["finished"] else "time is over")
    series = dict(zip(names, np.array(rows).T, strict=True))
    return series, [frame for _, frame in chosen], [time for time, _ in chosen], how


def draw_trial(series: dict[str, NDArray[np.float64]], how: str, path: Path) -> None:
    """Draw turns, tilt, the force on the foot and the torque on the walls of a trial over time."""
    title = f"{_POLICY}, nominal stratum, seed {SEED}, arm still: {how} after {series['time'][-1]:.0f} s"
    kinds = {"turns": "turns", "tilt": "tilt (degrees)", "force": "force on the foot (N)", "torque": "torque (mN m)"}
    with picture(path, (12.0, 3.0), title, len(kinds)) as (_, axes):
        for axis, color, (name, label) in zip(axes, CONDITION_COLORS, kinds.items(), strict=True):
            values = series[name] * (1e3 if name == "torque" else 1.0)
            axis.plot(series["time"], values, color=color, lw=0.7)
            axis.set_xlabel("time (s)")
            axis.set_title(label, fontsize=9)


def draw_frames(frames: Sequence[NDArray[np.uint8]], times: Sequence[float], path: Path) -> None:
    """Put frames of a trial side by side."""
    title = f"{_POLICY}, nominal stratum, seed {SEED}, arm still"
    with picture(path, (2.0 * len(frames), 3.1), title, len(frames)) as (_, axes):
        for axis, frame, time in zip(axes, frames, times, strict=True):
            axis.imshow(frame)
            axis.set_title(f"{time:.0f} s", fontsize=9)
            axis.axis("off")


def _draw(args: Args) -> int:
    check_folder(args.folder)
    draw_section(args.folder / "twin-recess.png")
    series, frames, times, how = run_trial()
    draw_trial(series, how, args.folder / "twin-trial.png")
    draw_frames(frames, times, args.folder / "twin-frames.png")
    return Status.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("real.twin.pictures", Args, _draw, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
