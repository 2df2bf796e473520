"""Policies: what acts, how it is stored, and how it is loaded by name.

A policy file is a dictionary of tensors, numbers and strings written by `torch.save` and read with
`weights_only=True`, so that opening one never runs code.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import torch
from torch import Tensor

from baselines.interface import check_interface, interface
from baselines.networks import Actor, Trunk
from baselines.stored import check_parts, check_version
from dexscrew_envs import ambient, files, siblings
from dexscrew_envs.hands import XHAND_LEFT, Hand, load_hand
from dexscrew_envs.tasks import TASKS, Task, make_task

siblings.check("baselines", "dexscrew_envs")

_SHIPPED = Path(__file__).parent / "checkpoints"
FORMAT = "dexscrew-policy"
VERSION = 2
"""2 holds the meaning of actions, see `baselines.interface`; files of version 1 are read as the task is today."""
_VERSIONS = {FORMAT: (1, VERSION)}
"""Oldest and current version of each format; of others 1."""
_LARGEST = 100_000
_PARTS = ("task", "task_fields", "shapes", "widths", "state", "card")
_REMEDY = "train it again, or use it with the version that wrote it"
_ROOT = r"(?:[A-Za-z]:[\\/]|~?/(?!/)|\.\./)"
_OUTSIDE = (
    re.compile(rf"""(?<=['"]){_ROOT}(?:[^'"]*[/\\])?(?=[^'"/\\]*['"])"""),  # quoted, so that it may hold spaces
    re.compile(rf"""(?<![^\s'":=,(\[]){_ROOT}(?:[^\s'"/\\]*[/\\])*"""),
)
"""The folders of a path that is absolute, or leads up from here."""


class Policy(Protocol):
    """Anything that acts: oracle, student, clone, replay, human."""

    task: str
    """Name of the task that it was made for."""
    observe: tuple[str, ...]
    """Keys of the observation that it needs."""
    task_fields: dict[str, Any]
    """Fields of the task that differ from it where this policy is scored."""

    def reset(self, mask: Tensor | None = None) -> None:
        """Begin new episodes where `mask` (N,) is true, or everywhere."""

    def act(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Return actions (N, A) of A joints between -1 and 1 for a batch of observations."""


class ActorPolicy:
    """The actor of a trained agent, without exploration noise.

    Args:
        actor: the trained network.
        task: name of its task.
        card: how it was made: command, seed, steps, score, versions.
        task_fields: fields of the task in which its training differed.
        made_for: what its actions mean, as `interface` returns it; None takes what they mean in the task.
    """

    def __init__(
        self,
        actor: Actor,
        task: str,
        card: Mapping[str, Any],
        task_fields: Mapping[str, Any] | None = None,
        made_for: Mapping[str, Any] | None = None,
    ) -> None:
        self.actor = actor.eval()
        self.task = task
        self.card = dict(card)
        self.task_fields = dict(task_fields or {})
        self._made_for = made_for
        self.shapes = actor.body.shapes
        self.observe = tuple(self.shapes)

    @property
    def interface(self) -> dict[str, Any]:
        """What its actions mean; see `baselines.interface`."""
        if self._made_for is None:
            self._made_for = interface(make_task(self.task, **self.task_fields))
        return dict(self._made_for)

    def check_task(self, task: Task) -> None:
        """Raise ValueError unless actions mean in this task what they mean to the policy."""
        check_interface(self.interface, task)

    def reset(self, mask: Tensor | None = None) -> None:
        """Begin new episodes; an actor without memory has nothing to forget."""

    @ambient.plain(deterministic=None)
    def act(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Return actions (N, A) of A joints between -1 and 1.

        Raises:
            ValueError: a key is missing from the observation, or has another shape than in training.
        """
        self.check({key: tuple(value.shape[1:]) for key, value in observation.items()})
        device = observation[self.observe[0]].device
        if next(self.actor.parameters()).device != device:  # as after loading, where the environment is on a GPU
            self.actor.to(device)
        return self.actor(observation).clamp(-1.0, 1.0)

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise ValueError unless observations of these shapes hold what the policy needs."""
        for key, shape in self.shapes.items():
            if key not in shapes:
                raise ValueError(f"the policy needs {key!r} in the observation; make the environment with observe="
                                 f"{self.observe}")  # fmt: skip
            if tuple(shapes[key]) != shape:
                raise ValueError(f"the policy was trained with {key} of shape {shape}, got {tuple(shapes[key])}: it is "
                                 "for another task, or of another version of DexScrew")  # fmt: skip


@ambient.plain()
def build_actor(
    shapes: Mapping[str, Sequence[int]], widths: Mapping[str, Sequence[int]] | None = None, hand: Hand = XHAND_LEFT
) -> Actor:
    """Return an untrained actor for a hand and observations of these shapes, its layers of these widths."""
    box = gymnasium.spaces.Box
    space = gymnasium.spaces.Dict({key: box(-1e6, 1e6, tuple(shape)) for key, shape in shapes.items()})
    trunk = Trunk(space, tuple(shapes), **{key: tuple(value) for key, value in (widths or {}).items()})
    return Actor(trunk, torch.nn.Linear(trunk.features_dim, len(hand.joints)))


def save(policy: ActorPolicy, path: Path) -> None:
    """Write a policy file, whole or not at all."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "kind": "actor",
        "task": policy.task,
        "task_fields": policy.task_fields,
        "interface": policy.interface,
        "shapes": {key: list(shape) for key, shape in policy.shapes.items()},
        "widths": {key: list(value) for key, value in policy.actor.body.widths.items()},
        "state": {key: value.cpu() for key, value in policy.actor.state_dict().items()},
        "card": without_paths(policy.card),
    }
    write_atomically(content, path)


def without_paths(value: Any) -> Any:
    """Return a card, or a part of one, with absolute paths cut to their last part: they tell whose machine it was.

    Relative paths are kept, but for those that lead up from here.
    """
    if isinstance(value, Mapping):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(item) for item in value]
    if not isinstance(value, str):
        return value
    for folder in (Path.cwd(), Path.home()):
        if len(folder.parts) > 1:
            value = value.replace(f"{folder}/", "/")  # also where the folder's name has a space
    for folders in _OUTSIDE:
        value = folders.sub("", value)
    return value


def fingerprint(policy: ActorPolicy) -> str:
    """Return a digest of a policy's weights, by which two policies of one name are told apart."""
    digest = hashlib.sha256()
    for key, value in sorted(policy.actor.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def write_atomically(content: Any, path: Path) -> None:
    """`torch.save`, whole or not at all.

    Raises:
        WriteError: the disk is full.
    """
    buffer = io.BytesIO()  # on a full disk torch's own writer fails with words of its own
    torch.save(content, buffer)
    files.write_bytes(buffer.getvalue(), path)


def read(path: Path, expected_format: str, parts: Sequence[str] = (), remedy: str = "make it again") -> dict[str, Any]:
    """Read a file that `write_atomically` wrote.

    Args:
        path: of the file.
        expected_format: its `format`, such as "dexscrew-policy".
        parts: keys that it must have.
        remedy: what to do about a file that cannot be used.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, of another format, or of an older or newer version; the message says which.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file fails in as many ways as there are bytes to lose
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a whole {expected_format} file ({reason}); copy or train it again") from error
    if not isinstance(content, dict) or content.get("format") != expected_format:
        raise ValueError(f"{path} is not a {expected_format} file")
    what = f"a {expected_format} file"
    oldest, current = _VERSIONS.get(expected_format, (1, 1))
    check_version(content.get("version"), current, path, what, remedy, oldest)
    return check_parts(content, parts, path, what, remedy)


def shipped() -> tuple[str, ...]:
    """Return the names of the policies that come with the package."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.pt")))


def _check_content(content: Mapping[str, Any]) -> Task:
    """Return the task of a policy file, if its parts are of this version's kinds, and of sizes that can be built.

    Raises:
        ValueError: they are not, or the hand is not known.
    """
    if content["task"] not in TASKS:
        raise ValueError(f"it was made for the task {content['task']!r}, which does not exist")
    if content.get("kind", "actor") != "actor":
        raise ValueError(f"it holds a policy of the kind {content['kind']!r}, and this version knows 'actor' only")
    if content["version"] > 1 and "interface" not in content:
        raise ValueError("it lacks 'interface', the meaning of its actions")
    for part in ("task_fields", "card", "shapes", "widths", *(["interface"] if content["version"] > 1 else [])):
        if not isinstance(content[part], dict) or not all(isinstance(key, str) for key in content[part]):
            raise ValueError(f"its {part} are not values by name")
    # Files from before hands were records have the one joint with limits of its own under its own name.
    if "thumb_bend_range" in content["task_fields"]:
        content["task_fields"]["target_ranges"] = (("thumb_bend", *content["task_fields"].pop("thumb_bend_range")),)
    sizes = [math.prod(shape) for shape in content["shapes"].values()]
    sizes += [width for widths in content["widths"].values() for width in widths]
    if not all(0 < size <= _LARGEST for size in sizes):
        raise ValueError(f"its networks have layers of {max(sizes):,} numbers, more than {_LARGEST:,}")
    return make_task(content["task"], **content["task_fields"])


@ambient.plain()
def load(name: str | Path, hand: str = "") -> ActorPolicy:
    """Load a policy by the name of a shipped one, or from a file.

    Args:
        name: of a shipped policy, or path of a file.
        hand: file that makes the policy's hand, if that is neither ours nor an installed package's. A policy file only
            names its hand, so that opening it runs nothing.

    Raises:
        TypeError: it is neither a name nor a path.
        ValueError: there is no such name, or the file is truncated or something else.
        FileNotFoundError: there is no such file.
    """
    if not isinstance(name, (str, Path)):
        raise TypeError(f"a policy is given by its name, or by the path of a file, got {name!r}")
    if hand:
        load_hand(hand)
    if str(name) in shipped():
        content = read(_SHIPPED / f"{name}.pt", FORMAT, _PARTS, _REMEDY)
    elif Path(name).suffix or Path(name).is_file():
        content = read(Path(name), FORMAT, _PARTS, _REMEDY)
    else:
        close = difflib.get_close_matches(str(name), shipped(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"unknown policy {str(name)!r}{hint}; the shipped ones are {', '.join(shipped()) or '(none)'}, and a file "
            "is given by its path, such as runs/nut-oracle/policy.pt"
        )
    try:
        task = _check_content(content)
        with torch.random.fork_rng(devices=()):  # its first weights are drawn in vain, from the caller's generator
            actor = build_actor(content["shapes"], content["widths"], task.hand)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
        raise ValueError(f"{name} does not hold a policy that this version can build: {error}; {_REMEDY}") from error
    try:
        actor.load_state_dict(content["state"])
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{name} is of another version of DexScrew, whose networks are built otherwise ({reason}); {_REMEDY}"
        ) from error
    return ActorPolicy(actor, content["task"], content["card"], content["task_fields"], content.get("interface"))


__all__ = [
    "ActorPolicy",
    "Policy",
    "build_actor",
    "load",
    "read",
    "save",
    "shipped",
    "without_paths",
    "write_atomically",
]
