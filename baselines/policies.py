"""Policies: what acts, how it is stored, and how it is loaded by name.

A policy file is a dictionary of tensors, numbers and strings written by `torch.save` and read with
`weights_only=True`, so that opening one never runs code.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import gymnasium
import torch
from torch import Tensor

from baselines.networks import Actor, Trunk
from baselines.stored import KINDS_OF_FILES, check_parts, read, without_paths, write_atomically
from baselines.stored_policy import Policy, StoredPolicy
from dexscrew_envs import ambient, siblings
from dexscrew_envs.hands import XHAND_LEFT, Hand, load_hand
from dexscrew_envs.tasks import TASKS, Task, make_task

siblings.check("baselines", "dexscrew_envs")

_SHIPPED = Path(__file__).parent / "checkpoints"
FORMAT = "dexscrew-policy"
VERSION = 2
"""2 holds the meaning of actions, see `baselines.interface`; files of version 1 are read as the task is today."""
KINDS = {"actor": "baselines.policies:ActorPolicy"}
"""Kinds of policies that a file can hold, and the class of each, a `StoredPolicy`; imported when one is loaded."""
ENTRY_POINTS = "dexscrew.policies"
"""Group of entry points in which another package names its kinds, in the same way."""
_LARGEST = 100_000
_PARTS = ("task", "task_fields", "card")
_REMEDY = "train it again, or use it with the version that wrote it"


class ActorPolicy(StoredPolicy):
    """The actor of a trained agent, without exploration noise.

    Args:
        actor: the trained network.
        task: see `StoredPolicy`, as for the others.
        card: how it was made.
        task_fields: fields of the task in which its training differed.
        made_for: what its actions mean.
    """

    kind = "actor"
    parts = ("shapes", "widths", "state")

    def __init__(
        self,
        actor: Actor,
        task: str,
        card: Mapping[str, Any],
        task_fields: Mapping[str, Any] | None = None,
        made_for: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(task, card, actor.body.shapes, task_fields, made_for)
        self.actor = actor.eval()

    def content(self) -> dict[str, Any]:
        """See `StoredPolicy.content`."""
        return {
            "shapes": {key: list(shape) for key, shape in self.shapes.items()},
            "widths": {key: list(value) for key, value in self.actor.body.widths.items()},
            "state": {key: value.detach().cpu() for key, value in self.actor.state_dict().items()},
        }

    @classmethod
    def from_content(cls, content: Mapping[str, Any], task: Task) -> ActorPolicy:
        """See `StoredPolicy.from_content`."""
        _check_dictionaries(content, ("shapes", "widths"))
        sizes = [math.prod(shape) for shape in content["shapes"].values()]
        sizes += [width for widths in content["widths"].values() for width in widths]
        if not all(0 < size <= _LARGEST for size in sizes):
            raise ValueError(f"its networks have layers of {max(sizes):,} numbers, more than {_LARGEST:,}")
        with torch.random.fork_rng(devices=()):  # its first weights are drawn in vain, from the caller's generator
            actor = build_actor(content["shapes"], content["widths"], task.hand)
        try:
            actor.load_state_dict(content["state"])
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"another version of DexScrew built its networks otherwise ({reason})") from error
        if not all(value.isfinite().all() for value in actor.state_dict().values()):
            raise ValueError("it has weights that are not finite")
        return cls(actor, content["task"], content["card"], content["task_fields"], content.get("interface"))

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


@ambient.plain()
def build_actor(
    shapes: Mapping[str, Sequence[int]], widths: Mapping[str, Sequence[int]] | None = None, hand: Hand = XHAND_LEFT
) -> Actor:
    """Return an untrained actor for a hand and observations of these shapes, its layers of these widths."""
    box = gymnasium.spaces.Box
    space = gymnasium.spaces.Dict({key: box(-1e6, 1e6, tuple(shape)) for key, shape in shapes.items()})
    trunk = Trunk(space, tuple(shapes), **{key: tuple(value) for key, value in (widths or {}).items()})
    return Actor(trunk, torch.nn.Linear(trunk.features_dim, len(hand.joints)))


def save(policy: StoredPolicy, path: str | Path) -> None:
    """Write a policy file, whole or not at all."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "kind": policy.kind,
        "task": policy.task,
        "task_fields": policy.task_fields,
        "interface": policy.interface,
        "card": without_paths(policy.card),
        **policy.content(),
    }
    write_atomically(content, Path(path))


def fingerprint(policy: StoredPolicy) -> str:
    """Return a digest of a policy's weights, or of all of a kind that has none: it tells policies of one name apart."""
    content = policy.content()
    if "state" not in content:
        return hashlib.sha256(repr(sorted(_in_full(content).items())).encode()).hexdigest()[:16]
    digest = hashlib.sha256()
    for key, value in sorted(content["state"].items()):
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _in_full(value: Any) -> Any:
    """Return a value with a digest in the place of each tensor: torch writes only the ends of a large one."""
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return str(value.dtype), tuple(value.shape), hashlib.sha256(data).hexdigest()
    if isinstance(value, dict):
        return {key: _in_full(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [_in_full(part) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def shipped() -> tuple[str, ...]:
    """Return the names of the policies that come with the package."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.pt")))


def _kind(content: Mapping[str, Any]) -> type[StoredPolicy]:
    """Return the class of a file's policy; files of the first versions hold actors.

    Raises:
        ValueError: no such kind is known.
    """
    name = content.get("kind", "actor")
    entries = [EntryPoint(kind, value, ENTRY_POINTS) for kind, value in KINDS.items() if kind == name]
    for entry in (*entries, *entry_points(group=ENTRY_POINTS, name=str(name))):
        try:
            return entry.load()
        except (ImportError, AttributeError) as error:
            raise ValueError(f"its kind {name!r} is {entry.value}, which cannot be imported: {error}") from error
    raise ValueError(f"it holds a policy of the kind {name!r}, and here {', '.join(map(repr, KINDS))} is known")


def _check_dictionaries(content: Mapping[str, Any], parts: Sequence[str]) -> None:
    for part in parts:
        if not isinstance(content[part], dict) or not all(isinstance(key, str) for key in content[part]):
            raise ValueError(f"its {part} are not values by name")


def _task_of(content: Mapping[str, Any]) -> Task:
    """Return the task of a policy file, with the fields in which training differed.

    Raises:
        ValueError: it is not known, or a part that all kinds have is of another type than here.
    """
    if content["task"] not in TASKS:
        raise ValueError(f"it was made for the task {content['task']!r}, which does not exist")
    if content["version"] > 1 and "interface" not in content:
        raise ValueError("it lacks 'interface', the meaning of its actions")
    _check_dictionaries(content, ("task_fields", "card", *(["interface"] if content["version"] > 1 else [])))
    # Files from before hands were records have the one joint with limits of its own under its own name.
    if "thumb_bend_range" in content["task_fields"]:
        content["task_fields"]["target_ranges"] = (("thumb_bend", *content["task_fields"].pop("thumb_bend_range")),)
    return make_task(content["task"], **content["task_fields"])


def check_hand(name: str | Path, trained: str, hand: str) -> None:
    """Refuse a hand that is not that of a policy: it would be left aside without a word.

    Args:
        name: of the policy.
        trained: name of the hand that it was trained with.
        hand: the one that was given, by its name or its file; "" if none was.

    Raises:
        ValueError: they differ.
    """
    if hand and (wanted := load_hand(hand).name) != trained:
        raise ValueError(f"{name} was trained with the hand {trained!r}, not {wanted!r}")


@ambient.plain()
def load(name: str | Path, hand: str = "") -> StoredPolicy:
    """Load a policy by the name of a shipped one, or from a file.

    Args:
        name: of a shipped policy, or path of a file.
        hand: file that makes the policy's hand, if that is neither ours nor an installed package's. A policy file only
            names its hand, so that opening it runs nothing.

    Raises:
        TypeError: it is neither a name nor a path.
        ValueError: there is no such name, the file is truncated or something else, or the policy was trained with
            another hand than the one given.
        FileNotFoundError: there is no such file.
    """
    if not isinstance(name, (str, Path)):
        raise TypeError(f"a policy is given by its name, or by the path of a file, got {name!r}")
    if hand:
        load_hand(hand)
    if str(name) in shipped():
        path = _SHIPPED / f"{name}.pt"
    elif Path(name).suffix or Path(name).is_file():
        path = Path(name)
    else:
        if (_SHIPPED / "clones" / f"{name}.pt").is_file():
            raise ValueError(f"{name} is {KINDS_OF_FILES['dexscrew-clone']}")
        close = difflib.get_close_matches(str(name), shipped(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"unknown policy {str(name)!r}{hint}; the shipped ones are {', '.join(shipped()) or '(none)'}, and a file "
            "is given by its path, such as runs/nut-oracle/policy.pt"
        )
    content = read(path, FORMAT, remedy=_REMEDY, versions=(1, VERSION))
    try:
        kind = _kind(content)
        check_parts(content, (*_PARTS, *kind.parts), path, f"a {FORMAT} file", _REMEDY)
        policy = kind.from_content(content, _task_of(content))
    except Exception as error:  # a kind of another package may raise anything
        reason = str(error)
        remedy = "" if _REMEDY in reason else f"; {_REMEDY}"
        raise ValueError(f"{name} does not hold a policy that this version can build: {reason}{remedy}") from error
    check_hand(name, policy.task_fields.get("hand", XHAND_LEFT.name), hand)
    return policy


def load_actor(name: str | Path, hand: str = "") -> ActorPolicy:
    """Load a policy that must be the actor of a trained agent; see `load`.

    Raises:
        ValueError: it is of another kind.
    """
    policy = load(name, hand)
    if not isinstance(policy, ActorPolicy):
        raise ValueError(f"{name} is a policy of the kind {policy.kind!r}, and here one of the kind 'actor' is needed")
    return policy


__all__ = [
    "ActorPolicy",
    "Policy",
    "StoredPolicy",
    "build_actor",
    "check_hand",
    "load",
    "load_actor",
    "read",
    "save",
    "shipped",
    "without_paths",
    "write_atomically",
]
