"""A clone as a policy: it takes the fields of a step, keeps its own history, and has a file of its own kind.

A clone's file is a dictionary of tensors, numbers and strings, read with `weights_only=True`, as those of
`baselines.policies`.
"""

from __future__ import annotations

import difflib
import math
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines import policies
from baselines.bc.design import Design, design_from_json, design_to_json
from baselines.bc.features import ARM_JOINTS, REST_STEPS, as_tensors, observe, rest, sizes
from baselines.bc.network import CloneNetwork
from baselines.data.header import Header
from baselines.stored import format_of
from dexscrew_envs import ambient

FORMAT = "dexscrew-clone"
VERSION = 1
_PARTS = ("interface", "design", "state", "card")
_REMEDY = "train it again, or use it with the version that wrote it"
_SHIPPED = Path(policies.__file__).parent / "checkpoints" / "clones"
_MEANING = {"task": "the task", "hand": "the hand", "joints": "the joints in the order", "rate_hz": "a rate (Hz) of"}
_LARGEST = 100_000


class ClonePolicy:
    """Maps what the robot measures to joint targets of hand and arm. One robot, one thread.

    Args:
        network: the trained network, its normalisation inside.
        interface: what its inputs and outputs mean, as `make_interface` returns it.
        card: how it was made: command, seed, data, versions.
        name: in tables and files.
    """

    def __init__(
        self, network: CloneNetwork, interface: Mapping[str, Any], card: Mapping[str, Any], name: str = "clone"
    ) -> None:
        self.network = network.eval()
        self.interface, self.card, self.name = dict(interface), dict(card), name
        self.design = network.design
        self.task: str = interface["task"]
        """Name of the task that it was trained on."""
        self.shapes = {key: tuple(shape) for key, shape in interface["observations"].items()}
        """Shapes of the fields that it needs."""
        self.joints = len(interface["joints"])
        self.reset()

    def check(self, hand: str, joints: Sequence[str], shapes: Mapping[str, tuple[int, ...]], period: float) -> None:
        """Check that the clone fits a robot.

        Args:
            hand: name of the robot's hand.
            joints: its joints, in order.
            shapes: of the fields of a step that the robot gives.
            period: control period (s).

        Raises:
            ValueError: it does not; the message names what differs, with both values.
        """
        there = {"task": self.task, "hand": hand, "joints": list(joints), "rate_hz": round(1 / period, 6)}
        for key, meaning in _MEANING.items():
            if self.interface[key] != there[key]:
                raise ValueError(
                    f"{self.name} was made for {meaning} {_words(self.interface[key])}, and here it is "
                    f"{_words(there[key])}"
                )
        for key, shape in self.shapes.items():
            if key not in shapes:
                raise ValueError(f"{self.name} needs {key!r} among the observations, got {', '.join(shapes)}")
            if tuple(shapes[key]) != shape:
                raise ValueError(f"{self.name} was trained with {key} of shape {shape}, got {tuple(shapes[key])}")

    def reset(self) -> None:
        """Begin an episode: forget the history, and where the arm began."""
        self._history: deque[dict[str, Tensor]] = deque(maxlen=self.design.longest)
        self._first: list[tuple[dict[str, Tensor], NDArray[Any]]] = []
        self._resting: Tensor | None = None
        self._start: Tensor | None = None
        self._chunk: list[NDArray[np.float64]] = []

    @ambient.plain(deterministic=None)
    def act(self, step: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return targets of the hand (J,) and of the arm (6,) (rad), for the fields of the present step.

        A clone that feels holds still in the first `REST_STEPS` steps, to learn what touch reads at rest.

        Raises:
            ValueError: a field is missing, has another shape than in training, or a value that is not finite.
        """
        now = self._checked(step)
        fields = as_tensors(self.design, now)
        if self._start is None:
            self._start = fields["arm_q"][0]
        if self.design.tactile and len(self._first) < REST_STEPS:
            self._first.append((fields, now[self.design.rests][0].copy()))
            self._resting = rest(np.stack([frame for _, frame in self._first]))
            self._history.clear()  # what it saw before looks otherwise from the new rest
            self._history.extend(self._observed(seen) for seen, _ in self._first)
            return now["held_hand"][0].astype(float), now["held_arm"][0].astype(float)
        self._history.append(self._observed(fields))
        if not self._chunk:
            self._chunk = list(self._predict(now)[: self.design.execute])
        target = self._chunk.pop(0)
        return target[: self.joints], target[self.joints :]

    def _observed(self, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the modalities of a step, each (1, numbers)."""
        assert self._start is not None
        return observe(self.design, fields, self._start, self._resting)

    @torch.no_grad()
    def _predict(self, now: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the targets of the coming steps (H, J + 6) (rad)."""
        windows: dict[str, Tensor] = {}
        for name in self.network.modalities:
            seen = [step[name] for step in self._history][-self.design.steps_needed(name) :]
            missing = self.design.steps_needed(name) - len(seen)
            windows[name] = torch.cat([*([seen[0]] * missing), *seen])[None]
        found = self.network.targets(windows)[0].numpy().astype(float)
        if self.design.targets == "increments":
            found += np.concatenate([now["held_hand"][0], now["held_arm"][0]])
        return found

    def _checked(self, step: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the fields that are needed, each with a leading axis of one step."""
        found = {}
        for key, shape in self.shapes.items():
            if key not in step:
                raise ValueError(f"{self.name} needs {key!r} in the step, got {', '.join(step)}")
            value = np.asarray(step[key])
            if value.shape != shape:
                raise ValueError(f"{key} must have the shape {shape}, got {value.shape}")
            if value.dtype.kind not in "iuf" or not np.isfinite(value).all():
                raise ValueError(f"{key} must be finite numbers, got {value.tolist()}")
            found[key] = value[None]
        return found


def make_interface(design: Design, header: Header, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return what a clone's inputs and outputs mean, as values that JSON can hold.

    Args:
        design: of the clone.
        header: of its data.
        shapes: of the fields of a step.
    """
    form = "relative to the targets that stand" if design.targets == "increments" else "joint targets"
    return {
        "task": header.task,
        "hand": header.hand,
        "joints": list(header.joints),
        "fingers": list(header.fingers),
        "form": form,
        "rate_hz": round(1 / header.period, 6),
        "observations": {key: list(shapes[key]) for key in design.fields},
    }


def build(design: Design, interface: Mapping[str, Any]) -> CloneNetwork:
    """Return an untrained network for an interface."""
    joints = len(interface["joints"])
    pads = interface["observations"].get(design.rests, (0, 0))[:2]  # the force on a fingertip has no taxels to count
    return CloneNetwork(design, sizes(design, joints, pads), joints + ARM_JOINTS)


def save(policy: ClonePolicy, path: Path) -> None:
    """Write a clone's file, whole or not at all."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "interface": policy.interface,
        "design": design_to_json(policy.design),
        "state": {key: value.cpu() for key, value in policy.network.state_dict().items()},
        "card": policies.without_paths(policy.card),
    }
    policies.write_atomically(content, path)


def shipped() -> tuple[str, ...]:
    """Return the names of the clones that come with the package."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.pt")))


def file_of(name: str | Path) -> Path:
    """Return the file of a shipped clone, or the path that was given."""
    return _SHIPPED / f"{name}.pt" if str(name) in shipped() else Path(name)


def is_clone(name: str | Path) -> bool:
    """Return whether a name or a file is that of a clone; `load` says what is wrong with one that is broken."""
    path = file_of(name)
    return path.is_file() and format_of(path) == FORMAT


@ambient.plain()
def load(name: str | Path) -> ClonePolicy:
    """Load a clone by the name of a shipped one, or from a file.

    Raises:
        TypeError: it is neither a name nor a path.
        ValueError: there is no such name, or the file is truncated or something else.
        FileNotFoundError: there is no such file.
    """
    if not isinstance(name, (str, Path)):
        raise TypeError(f"a clone is given by its name, or by the path of a file, got {name!r}")
    path = file_of(name)
    if str(name) not in shipped() and not path.suffix and not path.is_file():
        close = difflib.get_close_matches(str(name), shipped(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"unknown clone {str(name)!r}{hint}; the shipped ones are {', '.join(shipped()) or '(none)'}, and a file "
            "is given by its path, such as runs/nut-bc/policy.pt"
        )
    content = policies.read(path, FORMAT, _PARTS, _REMEDY)
    try:
        design = design_from_json(content["design"])
        _check_interface(content["interface"], design)
        with torch.random.fork_rng(devices=()):  # its first weights are drawn in vain, from the caller's generator
            network = build(design, content["interface"])
        network.load_state_dict(content["state"])
        if not all(value.isfinite().all() for value in network.state_dict().values()):
            raise ValueError("it has weights that are not finite")
        called = path.parent.name if path.name == "policy.pt" else path.stem
        return ClonePolicy(network, content["interface"], content["card"], called)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} does not hold a clone that this version can build: {reason}; {_REMEDY}") from error


def _check_interface(interface: Any, design: Design) -> None:
    """Raise ValueError unless an interface is one that the design can act on, of sizes that can be built."""
    if not isinstance(interface, dict) or not isinstance(interface.get("observations"), dict):
        raise ValueError("its interface is not one of this version")
    if missing := {"task", "hand", "joints", "fingers", "rate_hz"} - interface.keys():
        raise ValueError(f"its interface has no {', '.join(sorted(missing))}")
    if unseen := [name for name in design.fields if name not in interface["observations"]]:
        raise ValueError(f"its interface has no observation {', '.join(unseen)}, which its design needs")
    shapes = [tuple(shape) for shape in interface["observations"].values()]
    if not all(0 < math.prod(shape) <= _LARGEST for shape in shapes) or not 0 < len(interface["joints"]) <= _LARGEST:
        raise ValueError(f"its interface has sizes that are not possible: {shapes}")


def _words(value: Any) -> str:
    if isinstance(value, list):
        return f"({', '.join(map(str, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)
