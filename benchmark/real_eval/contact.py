"""A picture of which fingertips touch the object over time, as Fig. 5 of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from baselines.data.contact import CONTACT_NEWTONS, fingertip_forces
from baselines.data.reader import Episode
from baselines.data.schema import TIME
from baselines.plots import CONDITION_COLORS, picture

SECONDS = 30.0
"""Length of what is drawn (s)."""
_BAND = 0.8


def draw_contact(episodes: Mapping[str, Episode], title: str, path: Path) -> None:
    """Draw bands in which the thumb and the finger opposite touch, and the turns over them.

    Args:
        episodes: a recording by policy.
        title: of the picture.
        path: where to write it (PNG).
    """
    with picture(path, (9, 0.5 + 1.35 * len(episodes)), title, rows=len(episodes)) as (figure, axes):
        for axis, (policy, episode) in zip(axes, episodes.items(), strict=True):
            _draw(axis, policy, episode)
        axes[-1].set_xlabel("time (s)")
        figure.align_ylabels(axes)


def _draw(axis: Any, policy: str, episode: Episode) -> None:
    time = episode[TIME] - episode[TIME][0]
    shown = time <= SECONDS
    touches = fingertip_forces(episode)[shown, :2] >= CONTACT_NEWTONS
    for k, color in enumerate(CONDITION_COLORS[:2]):
        low = 1 - k - _BAND / 2
        axis.fill_between(time[shown], low, low + _BAND, where=touches[:, k], step="post", color=color, lw=0)
    axis.set_yticks([1, 0], episode.header.fingers[:2])
    axis.set(ylim=(-0.6, 1.6), xlim=(0, SECONDS))
    axis.set_title(f"{policy}, {episode.header.shape}", fontsize=9, loc="left")
    turns = axis.twinx()
    turns.plot(time[shown], episode["turns"][shown], color="black", lw=1.0)
    turns.set_ylim(bottom=0, top=max(1.0, float(np.nanmax(episode["turns"][shown], initial=0.0))))
    turns.set_ylabel("turns")
    for one in (axis, turns):
        one.spines[["top"]].set_visible(False)
