"""What a task must know of a hand: its model, its joints in policy order, its fingers, and where it stands.

Every size of observations, actions and networks derives from this record. `docs/extend.md` shows how to add a hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import mujoco


@dataclass(frozen=True, kw_only=True)
class Finger:
    """One finger of a hand, by the names in its model."""

    name: str
    root: str
    """Body from which the finger begins; the bodies below it belong to the finger, too."""
    tip: str
    """Site at the fingertip."""
    pad: str
    """Body on which the force of the nut on the fingertip is sensed."""
    opening: Mapping[str, float]
    """Joints that take the finger away from the object, and the direction of each: 1, -1, or less for a slower one."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Hand:
    """A hand. There is one of each: hands are compared by identity, copied as themselves, and pickled by name.

    Raises:
        ValueError: two joints or fingers have one name, fewer than two fingers are given, or a joint is unknown.
    """

    name: str
    """Name of the hand, as in `--hand` and in policy files."""
    side: str
    """left or right."""
    spec: Callable[[], mujoco.MjSpec]
    """Makes the model: a mocap body as the palm, one position actuator per joint, both in the order of `joints`, and
    nothing else that moves."""
    palm: str = "palm"
    """Body of the palm."""
    joints: tuple[str, ...]
    """Joints in policy order, the order of every vector of joints."""
    fingers: tuple[Finger, ...]
    """The fingers: the thumb first, then the one that opposes it at the nut; the order of all that is per fingertip."""
    thumb: tuple[str, ...]
    """Joints of the thumb. They follow all others in `joints`."""
    parting: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    """Pairs of neighbouring fingers that part sideways where they touch each other: joints and directions."""
    tasks: Mapping[str, Mapping[str, Any]]
    """Fields of each task with this hand, by the task's name: at least start_pose and action_scale."""

    def __post_init__(self) -> None:
        for kind, names in (("joint", self.joints), ("finger", self.finger_names)):
            if len(set(names)) < len(names):
                raise ValueError(f"the hand {self.name!r} has two {kind}s of one name: {', '.join(names)}")
        if len(self.fingers) < 2:
            raise ValueError(f"the hand {self.name!r} must have a thumb and a finger that opposes it")
        moved = [finger.opening for finger in self.fingers] + list(self.parting.values())
        for joint in (*self.thumb, *(joint for opening in moved for joint in opening)):
            if joint not in self.joints:
                raise ValueError(f"the hand {self.name!r} has no joint {joint!r}; it has {', '.join(self.joints)}")
        if self.joints[len(self.joints) - len(self.thumb) :] != self.thumb:
            raise ValueError(f"the hand {self.name!r} must list its thumb's joints last, in the order of `thumb`")

    @cached_property
    def joint_range(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Lower and upper limits of its joints, in their order (rad), as the model has them."""
        ranges = self.spec().compile().jnt_range
        return tuple(ranges[:, 0].tolist()), tuple(ranges[:, 1].tolist())

    @property
    def finger_names(self) -> tuple[str, ...]:
        """Names of the fingers, in their order."""
        return tuple(finger.name for finger in self.fingers)

    def __repr__(self) -> str:
        return f"<Hand {self.name}>"

    def __copy__(self) -> Hand:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Hand:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from dexscrew_envs.hands import get_hand

        return get_hand, (self.name,)
