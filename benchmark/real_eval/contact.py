"""Which fingertips touch the object, from the forces on them, and a picture of it over time, as Fig. 5 of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.data.reader import Episode
from baselines.data.schema import TIME
from baselines.plots import CONDITION_COLORS, picture

CONTACT_NEWTONS = 1.0
"""Force above rest from which on a fingertip touches (N)."""
SECONDS = 30.0
"""Length of what is drawn (s)."""
_REST_SHARE = 2.0  # percent of a trial in which each finger surely touches nothing: every gait lifts it more often
_BAND = 0.8


def touching(forces: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which fingertips touch something.

    A sensor at rest reads up to 1.5 N, which differs from finger to finger; rest is what a finger reads at its lowest.

    Args:
        forces: (steps, fingers) norms of the forces on fingertips over a whole trial (N).
    """
    if not len(forces):
        return np.zeros(forces.shape, bool)
    return np.asarray(forces - np.percentile(forces, _REST_SHARE, axis=0) >= CONTACT_NEWTONS)


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
    scale = episode.header.tactile_scale or 1.0
    touches = touching(scale * np.linalg.norm(episode["resultant"][:, :2].astype(float), axis=2))[shown]
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
