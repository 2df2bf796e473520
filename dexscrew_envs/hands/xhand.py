"""The XHand of Robot Era: 12 joints, five fingers. The tasks' numbers are those of the paper and its release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dexscrew_envs.hands.hand import Finger, Hand

if TYPE_CHECKING:
    import mujoco

JOINTS = (
    "index_bend", "index_1", "index_2", "mid_1", "mid_2", "pinky_1",
    "pinky_2", "ring_1", "ring_2", "thumb_bend", "thumb_1", "thumb_2",
)  # fmt: skip
"""The hand's joints in policy order."""

FINGERS = ("thumb", "index", "mid", "ring", "pinky")
"""The order of everything that is given per fingertip."""

MODEL = Path(__file__).parent / "assets" / "xhand_left.xml"  # another package may go by our name
_ROOTS = {"thumb": "thumb_bend", "index": "index_bend"}


def _spec() -> mujoco.MjSpec:
    import mujoco  # the computer of a hand server has none

    return mujoco.MjSpec.from_file(str(MODEL))


def _finger(name: str) -> Finger:
    return Finger(
        name=name,
        root=_ROOTS.get(name, f"{name}_1"),
        tip=f"{name}_tip",
        pad=f"{name}_2",
        opening={f"{name}_1": -1.0, f"{name}_2": -1.0},
    )


XHAND_LEFT = Hand(
    name="xhand_left",
    side="left",
    spec=_spec,
    joints=JOINTS,
    fingers=tuple(_finger(name) for name in FINGERS),
    thumb=("thumb_bend", "thumb_1", "thumb_2"),
    parting={("index", "mid"): {"index_bend": 0.5}},
    tasks={
        "nut": {
            "start_pose": (-0.17, 1.1, 0.4, 1.1, 0.4, 0.0, 0.0, 0.0, 0.0, 1.3, 0.5, 0.45),
            "action_scale": 0.04167,
            "locked_joints": (5, 6, 7, 8),
            "target_ranges": (("thumb_bend", 0.0, 1.83),),
        },
        "screwdriver": {
            "start_pose": (-0.036, 1.15, 0.5, 0.925, 0.58, 0.0, 0.0, 1.3, 0.43, 1.455, 0.817, 0.154),
            "action_scale": 0.05,
            "locked_joints": (5, 6),
            "target_ranges": (("thumb_bend", 0.6, 1.73),),
        },
    },
)
