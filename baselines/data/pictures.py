"""The picture of an episode: joints, wrist, and the touch of the fingertips over time, as in Fig. 5 of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.data.contact import CONTACT_COUNTS, CONTACT_NEWTONS, fingertip_forces
from baselines.data.reader import Episode
from baselines.data.schema import TIME
from baselines.plots import picture

_FINGER_COLORS = ("#2a6f97", "#c8641e", "#5b8c3a", "#7d7d7d", "#b56576")
_BAND = 0.8


def draw(episode: Episode, path: Path) -> None:
    """Draw an episode.

    Args:
        episode: with the fields of a demonstration.
        path: where to write the picture (PNG).

    Raises:
        WriteError: the disk is full, or fails.
    """
    header, outcome = episode.header, episode.outcome
    time = episode[TIME] - episode[TIME][0]
    title = " · ".join(filter(None, (episode.name, header.task, header.shape, header.robot, outcome.mark)))
    with picture(path, (11, 11), title, rows=5) as (figure, axes):
        joints, wrist, force, contact, progress = axes
        _draw_joints(joints, time, episode)
        _draw_wrist(wrist, time, episode)
        forces = fingertip_forces(episode)
        for k, finger in enumerate(header.fingers):
            force.plot(time, forces[:, k], label=finger, color=_color(k), lw=1.0)
        force.set_ylabel(f"force above rest ({_unit(episode)})")
        least = CONTACT_COUNTS if header.tactile_scale is None else CONTACT_NEWTONS
        _draw_contact(contact, time, forces >= least, episode)
        _draw_progress(progress, time, episode)
        for axis in axes:
            axis.set_xlim(0.0, float(time[-1]) + header.period)
            axis.grid(alpha=0.3)
            if axis is not contact:
                axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, frameon=False)
        axes[-1].set_xlabel("time (s)")
        figure.align_ylabels(axes)


def _draw_joints(axis: Any, time: NDArray[np.float64], episode: Episode) -> None:
    from matplotlib import colormaps

    for k, name in enumerate(episode.header.joints):
        color = colormaps["tab20"](k % 20)
        axis.plot(time, episode["hand_q"][:, k], color=color, lw=1.0, label=name)
        axis.plot(time, episode["asked_hand"][:, k], color=color, lw=0.6, ls=":")
    axis.set_ylabel("joints (rad)\ntargets dotted")


def _draw_wrist(axis: Any, time: NDArray[np.float64], episode: Episode) -> None:
    moved = (episode["tcp_pose"][:, :3] - episode["tcp_pose"][0, :3]) * 1e3
    for k, name in enumerate("xyz"):
        axis.plot(time, moved[:, k], label=name, color=_color(k), lw=1.0)
    axis.set_ylabel("wrist from its start (mm)")


def _draw_contact(axis: Any, time: NDArray[np.float64], touches: NDArray[np.bool_], episode: Episode) -> None:
    """Draw a band a finger, filled while it touches; the thumb is at the top."""
    fingers = episode.header.fingers
    for k in range(len(fingers)):
        low = len(fingers) - 1 - k - _BAND / 2
        axis.fill_between(time, low, low + _BAND, where=touches[:, k], step="post", color=_color(k), lw=0)
    axis.set_yticks(range(len(fingers)), reversed(fingers))
    axis.set(ylim=(-0.6, len(fingers) - 0.4), ylabel="contact")


def _draw_progress(axis: Any, time: NDArray[np.float64], episode: Episode) -> None:
    axis.plot(time, episode["turns"], color="black", lw=1.2, label="turns")
    top = max(1.0, float(np.nanmax(episode["turns"], initial=0.0)))
    for name, on, color in (
        ("skill on", episode["skill"] > 0, "#81b29a"),
        ("wrist moved", episode["clutch"] > 0, "#e0a458"),
        ("safety limits", episode["safety"] > 0, "#a4161a"),
    ):
        if on.any():
            axis.fill_between(time, 0.0, top, where=on, step="post", color=color, alpha=0.25, lw=0, label=name)
    if episode.outcome.needed is not None:
        axis.axhline(episode.outcome.needed, color="black", lw=0.8, ls="--", label="needed")
    axis.set_ylabel("turns")


def _color(k: int) -> str:
    return _FINGER_COLORS[k % len(_FINGER_COLORS)]


def _unit(episode: Episode) -> str:
    return "counts" if episode.header.tactile_scale is None else "N"
