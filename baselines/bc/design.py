"""The design of a clone: what it sees, what it predicts, and how its network is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

LONGEST_HISTORY, LONGEST_HORIZON = 200, 64
BLOCK = 10
"""Control steps of a block of the memory."""


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be an integer from {low} to {high}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Design:
    """Of a clone; the defaults are what docs/cloning.md recommends.

    Raises:
        ValueError: a value is out of its range, or not known.
    """

    tactile: bool = True
    """Whether it feels."""
    history: int = 30
    """Control steps of joints that it sees, the present one included (K)."""
    touch_history: int = 5
    """Likewise of touch; never more than `history`."""
    memory: int = 20
    """Blocks of `BLOCK` control steps, the newest of which ends with the present one. It sees the mean of the joints
    over each, beside what `history` shows; 0: none."""
    touch_memory: int = 0
    """Likewise of touch."""
    touch: Literal["contact", "pressure", "statistics", "taxels"] = "contact"
    """What it feels: how firmly each fingertip touches, by the resultant force on it; that, and how hard it is pressed
    beyond; six numbers a fingertip, of that force and of the taxels; or all taxels."""
    held: bool = True
    """Whether it sees the targets that stand beside the joint positions."""
    targets: Literal["increments", "absolute"] = "increments"
    """Whether it predicts the motion from the targets that stand, or the targets themselves. With increments it knows
    the arm relative to where it began."""
    horizon: int = 16
    """Control steps that it predicts, the present one first (H)."""
    decay: float = 0.5
    """The loss weighs the prediction for h steps ahead by decay^h."""
    execute: int = 1
    """Control steps that are taken before it predicts anew."""
    encoder: tuple[int, ...] = (256, 128)
    """Widths of the encoder of each modality."""
    shared_encoder: bool = False
    """Whether the encoder sees one step and is shared by all, or sees the history as a whole."""
    decoder: Literal["mlp", "hourglass"] = "mlp"
    """What makes the chunk from the encoders' outputs."""
    widths: tuple[int, ...] = (512, 512)
    """Of the layers of the MLP, or of the levels of the hourglass."""
    channels: int = 64
    """Channels of the hourglass before its first level; 0 takes as many as the encoders give together."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name in ("touch", "targets", "decoder"):
            if getattr(self, name) not in get_args(hints[name]):
                known = ", ".join(get_args(hints[name]))
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; choose from {known}")
        for name in ("tactile", "held", "shared_encoder"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}")
        _check_integer("history", self.history, 1, LONGEST_HISTORY)
        _check_integer("touch_history", self.touch_history, 1, LONGEST_HISTORY)
        for name in ("memory", "touch_memory"):
            _check_integer(name, getattr(self, name), 0, LONGEST_HISTORY // BLOCK)
            if self.shared_encoder and getattr(self, name):
                raise ValueError(
                    f"an encoder of single steps has no memory: {name} must be 0, got {getattr(self, name)}"
                )
        _check_integer("horizon", self.horizon, 1, LONGEST_HORIZON)
        _check_integer("execute", self.execute, 1, self.horizon)
        _check_integer("channels", self.channels, 0, 4096)
        for name in ("encoder", "widths"):
            widths = getattr(self, name)
            if not isinstance(widths, (tuple, list)) or not widths:
                raise ValueError(f"{name} must be widths of layers, such as 256 128, got {widths!r}")
            for width in widths:
                _check_integer(f"each of {name}", width, 1, 4096)
            object.__setattr__(self, name, tuple(widths))
        if isinstance(self.decay, bool) or not isinstance(self.decay, (int, float)) or not 0 < self.decay <= 1:
            raise ValueError(f"decay must be a number above 0 and at most 1, got {self.decay!r}")
        if self.decoder == "hourglass":
            factor = 2 ** (len(self.widths) - 1)
            if self.horizon % factor:
                raise ValueError(f"an hourglass of {len(self.widths)} levels halves the horizon {len(self.widths) - 1} "
                                 f"times: horizon must be a multiple of {factor}, got {self.horizon}")  # fmt: skip
            if any(width % 8 for width in self.widths):
                raise ValueError(f"the levels of an hourglass must be multiples of 8 wide, got {self.widths}")
        object.__setattr__(self, "touch_history", min(self.touch_history, self.history))

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of a step that the clone needs when it acts."""
        force = ("resultant",)
        touch = {"contact": force, "pressure": force, "statistics": ("tactile", "resultant"), "taxels": ("tactile",)}
        return ("hand_q", "arm_q", "held_hand", "held_arm", *(touch[self.touch] if self.tactile else ()))

    @property
    def rests(self) -> str:
        """Field of touch from which a clone that feels takes off what it reads at rest."""
        return "resultant" if self.touch in ("contact", "pressure") else "tactile"

    def steps_seen(self, modality: str) -> int:
        """Return how many steps it sees one by one of a modality: hand, arm or touch."""
        return self.touch_history if modality == "touch" else self.history

    def blocks_seen(self, modality: str) -> int:
        """Return how many blocks of its memory it sees of a modality."""
        return self.touch_memory if modality == "touch" else self.memory

    def steps_needed(self, modality: str) -> int:
        """Return how many steps it needs of a modality, those of its memory included."""
        return max(self.steps_seen(modality), BLOCK * self.blocks_seen(modality))

    @property
    def longest(self) -> int:
        """Steps that it needs at most."""
        return max(self.steps_needed("hand"), self.steps_needed("touch"))


PRESETS: Mapping[str, Design] = {
    "default": Design(),
    "hourglass": Design(decoder="hourglass", widths=(64, 128, 256)),
    "paper": Design(
        history=5, touch_history=5, memory=0, touch="taxels", held=False, targets="absolute", decay=1.0, execute=8,
        encoder=(256, 256, 64), shared_encoder=True, decoder="hourglass", widths=(256, 512, 1024), channels=0,
    ),
}  # fmt: skip
"""`default`; the same with a small hourglass; and the paper's network, with absolute targets and eight steps of a chunk
taken."""


def design_to_json(design: Design) -> dict[str, Any]:
    """Return a design as JSON and policy files hold it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(design).items()}


def design_from_json(content: Any) -> Design:
    """Return the design from what `design_to_json` gave.

    Raises:
        ValueError: it was not written by it.
    """
    names = {field.name for field in fields(Design)}
    if not isinstance(content, Mapping) or content.keys() != names:
        raise ValueError("the design is not one of this version")
    return Design(**content)
