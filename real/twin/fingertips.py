"""The fingertips of the scene: gives the contacts of each physics step to the taxels.

A physics step only copies what MuJoCo sensed: contacts and poses. Contacts are taken into the fingertips' frames, and
to the taxels, when somebody reads a tactile frame, for all frames since the last time at once: several times faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from itertools import chain

import mujoco
import numpy as np
from numpy.typing import NDArray

from dexscrew_envs.hands.xhand import FINGERS
from real.robot import Vector
from real.twin.scene import CONTACT_SIZE, CONTACT_SLOTS, POSE_SIZE
from real.twin.taxels import Taxels

_FOUND, _FORCE, _POSITION, _NORMAL, _TANGENT = 0, slice(1, 4), slice(4, 7), slice(7, 10), slice(10, 13)
_NEXT, _LAST = np.array([1, 2, 0]), np.array([2, 0, 1])  # the axes after x, y, z, and those before
_MOST_PENDING = 10  # frames that are computed at once at the latest: more would make a twin at wall-clock speed stutter


def _contacts(sensed: Vector) -> Vector:
    """Return the sensed contacts (..., 6, 13) in what was sensed (..., 90), as a view."""
    return sensed[..., :-POSE_SIZE].reshape(*sensed.shape[:-1], CONTACT_SLOTS, CONTACT_SIZE)


class Frame:
    """A tactile frame. Nothing in the twin depends on what it reads, so it is computed when somebody asks.

    Args:
        catch_up: sets `read` of all frames so far.
    """

    def __init__(self, catch_up: Callable[[], None]) -> None:
        self._catch_up = catch_up
        self.read: Callable[[], NDArray[np.int16]] | None = None
        """Computes the counts (5, 121, 3); None until it is known how."""

    @cached_property
    def counts(self) -> NDArray[np.int16]:
        """(5, 121, 3) counts of the taxels, and of the resultant."""
        if self.read is None:
            self._catch_up()
        assert self.read is not None
        return self.read()


class Fingertips:
    """The fingertips of a compiled scene.

    Args:
        model: compiled from `build_scene`.
        data: its state.
        taxels: on them.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, taxels: Taxels) -> None:
        self.taxels = taxels
        self._timestep = model.opt.timestep
        first = int(model.sensor(f"{FINGERS[0]}_contacts").adr[0])
        shape = (len(FINGERS), CONTACT_SLOTS * CONTACT_SIZE + POSE_SIZE)
        self._sensed = data.sensordata[first : first + math.prod(shape)].reshape(shape)
        self._normal_forces = _contacts(self._sensed)[..., _FORCE.start]
        self._noted: list[Vector] = []
        self._pending: list[tuple[Frame, list[Vector]]] = []

    def note(self) -> None:
        """Note the contacts of the last physics step."""
        self._noted.append(self._sensed.copy())

    @property
    def normal_force(self) -> Vector:
        """(5,) sum of the normal forces on each fingertip in the last physics step (N)."""
        return np.abs(self._normal_forces).sum(axis=1)

    def at_rest(self) -> Frame:
        """Return what the taxels read as a trial begins, before any time has passed: nothing touches them."""
        frame = Frame(self._catch_up)
        frame.read = self.taxels.at_rest()
        return frame

    def frame(self) -> Frame:
        """End a tactile frame: the taxels will have read what was noted since the last."""
        frame = Frame(self._catch_up)
        self._pending.append((frame, self._noted))
        self._noted = []
        if len(self._pending) == _MOST_PENDING:
            self._catch_up()
        return frame

    def zero(self) -> None:
        """Make the taxels' present readings zero, up to the error that the vendor's zeroing leaves."""
        self._catch_up()
        self.taxels.zero()

    def _catch_up(self) -> None:
        """Give what was noted to the taxels, in the fingertips' frames, for all pending frames."""
        if not self._pending:
            return
        pending, parts = zip(*self._pending, strict=True)
        self._pending.clear()
        sensed = np.array([*chain.from_iterable(parts)])
        lengths = np.array([len(part) for part in parts])
        slots = _contacts(sensed)
        fingers, steps, slot = np.nonzero(slots[..., _FOUND].swapaxes(0, 1))
        frames = np.repeat(np.arange(len(lengths)), lengths)[steps]
        contacts, poses = slots[steps, fingers, slot], sensed[steps, fingers, -POSE_SIZE:].reshape(-1, 4, 3)
        normal, tangent = contacts[:, _NORMAL], contacts[:, _TANGENT]
        across = normal[:, _NEXT] * tangent[:, _LAST] - normal[:, _LAST] * tangent[:, _NEXT]  # numpy.cross is slower
        axes = np.stack([normal, tangent, across], axis=1)
        world = -np.einsum("ka,kai->ki", contacts[:, _FORCE], axes)  # MuJoCo gives the fingertip's on the other body
        forces = np.einsum("ki,kji->kj", world, poses[:, 1:]) / lengths[frames][:, None]
        positions = np.einsum("ki,kji->kj", contacts[:, _POSITION] - poses[:, 0], poses[:, 1:])
        seconds = (lengths * self._timestep).tolist()
        reads = self.taxels.frames(seconds, fingers, frames, positions, forces)
        for frame, read in zip(pending, reads, strict=True):
            frame.read = read
