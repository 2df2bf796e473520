"""Policies: what acts, how it is stored, and how it is loaded by name.

A policy file is a dictionary of tensors, numbers and strings written by `torch.save` and read with
`weights_only=True`, so that opening one never runs code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import torch
from torch import Tensor

from baselines.networks import DexScrewActorCritic
from dexscrew_envs.tasks import TASKS

FORMAT = "dexscrew-policy"
VERSION = 1


class Policy(Protocol):
    """Anything that acts: oracle, student, clone, replay, human."""

    task: str
    """Name of the task that it was made for."""
    observe: tuple[str, ...]
    """Keys of the observation that it needs."""

    def reset(self, mask: Tensor | None = None) -> None:
        """Begin new episodes where `mask` (N,) is true, or everywhere."""

    def act(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Return actions (N, 12) between -1 and 1 for a batch of observations."""


class ActorPolicy:
    """The actor of a trained `DexScrewActorCritic`, without exploration noise.

    Args:
        network: the trained network.
        task: name of its task.
        card: how it was made: command, seed, steps, score, versions.
    """

    def __init__(self, network: DexScrewActorCritic, task: str, card: Mapping[str, Any]) -> None:
        self.network = network.eval()
        self.task = task
        self.card = dict(card)
        assert isinstance(network.observation_space, gymnasium.spaces.Dict)
        self.shapes = {key: tuple(space.shape or ()) for key, space in network.observation_space.spaces.items()}
        self.observe = tuple(self.shapes)

    def reset(self, mask: Tensor | None = None) -> None:
        """Begin new episodes; an actor without memory has nothing to forget."""

    @torch.no_grad()
    def act(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Return actions (N, 12) between -1 and 1.

        Raises:
            ValueError: a key is missing from the observation, or has another shape than in training.
        """
        for key, shape in self.shapes.items():
            if key not in observation:
                raise ValueError(f"the policy needs {key!r} in the observation; make the environment with observe="
                                 f"{self.observe}")  # fmt: skip
            if tuple(observation[key].shape[1:]) != shape:
                raise ValueError(
                    f"the policy was trained with {key} of shape {shape}, got {tuple(observation[key].shape[1:])}"
                )
        mean, _, _ = self.network.distribution_and_value({key: observation[key] for key in self.shapes})
        return mean.clamp(-1.0, 1.0)


def space_of(shapes: Mapping[str, Sequence[int]]) -> gymnasium.spaces.Dict:
    """Return an observation space of these shapes."""
    box = gymnasium.spaces.Box
    return gymnasium.spaces.Dict({key: box(-1e6, 1e6, tuple(shape)) for key, shape in shapes.items()})


def build_network(
    shapes: Mapping[str, Sequence[int]], widths: Mapping[str, Sequence[int]] | None = None
) -> DexScrewActorCritic:
    """Return an untrained network for observations of these shapes, its `encoder` and `trunk` of these widths."""
    return DexScrewActorCritic(
        space_of(shapes),
        gymnasium.spaces.Box(-1.0, 1.0, (12,)),
        lambda _: 1e-3,
        features_extractor_kwargs={key: tuple(value) for key, value in (widths or {}).items()},
    )


def save(policy: ActorPolicy, path: Path) -> None:
    """Write a policy file, whole or not at all."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "kind": "actor",
        "task": policy.task,
        "shapes": {key: list(shape) for key, shape in policy.shapes.items()},
        "widths": {key: list(value) for key, value in policy.network.features_extractor_kwargs.items()},
        "state": {key: value.cpu() for key, value in policy.network.state_dict().items()},
        "card": policy.card,
    }
    write_atomically(content, path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a neighbour to write, which then takes the place of `path`: a crash leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name("partial-" + path.name)
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_atomically(content: Any, path: Path) -> None:
    """`torch.save`, whole or not at all."""
    with replacing(path) as beside:
        torch.save(content, beside)


def read(path: Path, expected_format: str) -> dict[str, Any]:
    """Read a file that `write_atomically` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, or is not of the expected format and version.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file fails in as many ways as there are bytes to lose
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a whole {expected_format} file ({reason}); copy or train it again") from error
    if not isinstance(content, dict) or content.get("format") != expected_format:
        raise ValueError(f"{path} is not a {expected_format} file")
    if content.get("version") != VERSION:
        raise ValueError(f"{path} has version {content.get('version')!r} of {expected_format}, expected {VERSION}")
    return content


def shipped() -> tuple[str, ...]:
    """Return the names of the policies that come with the package."""
    folder = files("baselines") / "checkpoints"
    if not folder.is_dir():
        return ()
    return tuple(sorted(entry.name.removesuffix(".pt") for entry in folder.iterdir() if entry.name.endswith(".pt")))


def load(name: str | Path) -> ActorPolicy:
    """Load a policy by the name of a shipped one, or from a file.

    Raises:
        ValueError: there is no such name, or the file is truncated or something else.
        FileNotFoundError: there is no such file.
    """
    if str(name) in shipped():
        with as_file(files("baselines") / "checkpoints" / f"{name}.pt") as path:
            content = read(path, FORMAT)
    elif Path(name).suffix or Path(name).is_file():
        content = read(Path(name), FORMAT)
    else:
        close = difflib.get_close_matches(str(name), shipped(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"unknown policy {str(name)!r}{hint}; the shipped ones are {', '.join(shipped()) or '(none)'}, and a file "
            "is given by its path, such as runs/nut-oracle/policy.pt"
        )
    try:
        if content["task"] not in TASKS:
            raise ValueError(f"it was made for the task {content['task']!r}, which does not exist")
        network = build_network(content["shapes"], content.get("widths"))
        network.load_state_dict(content["state"])
        return ActorPolicy(network, content["task"], content["card"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
        raise ValueError(f"{name} does not hold a policy that this version can build: {error}") from error


__all__ = ["ActorPolicy", "Policy", "build_network", "load", "read", "replacing", "save", "shipped", "write_atomically"]
