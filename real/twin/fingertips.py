"""The fingertips of the scene: gives the contacts of each physics step to the taxels.

A physics step only copies what MuJoCo sensed. Contacts are taken into the fingertips' frames once per tactile frame,
all at once, which is several times faster.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from dexscrew_envs.tasks import FINGERS
from real.robot import Vector
from real.twin.scene import CONTACT_SIZE, CONTACT_SLOTS, HAND
from real.twin.taxels import Taxels

_FOUND, _FORCE, _POSITION, _NORMAL, _TANGENT = 0, slice(1, 4), slice(4, 7), slice(7, 10), slice(10, 13)


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
        self._bodies = np.array([model.body(f"{HAND}{finger}_2").id for finger in FINGERS])
        self._xpos, self._xmat = data.xpos, data.xmat
        first = int(model.sensor(f"{FINGERS[0]}_contacts").adr[0])
        shape = (len(FINGERS), CONTACT_SLOTS, CONTACT_SIZE)
        self._sensed = data.sensordata[first : first + np.prod(shape)].reshape(shape)
        self._noted: list[tuple[Vector, Vector, Vector]] = []

    def note(self) -> None:
        """Note the contacts of the last physics step."""
        bodies = self._bodies  # `take` is four times faster than an index
        self._noted.append((self._sensed.copy(), self._xpos.take(bodies, axis=0), self._xmat.take(bodies, axis=0)))

    @property
    def normal_force(self) -> Vector:
        """(5,) sum of the normal forces on each fingertip in the last physics step (N)."""
        return np.abs(self._sensed[..., 1]).sum(axis=1)

    def frame(self) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """End a tactile frame: give what was noted to the taxels, and return what they read.

        Returns:
            Counts of the taxels (5, 120, 3) and of the resultants (5, 3).
        """
        sensed, xpos, xmat = (np.array(part) for part in zip(*self._noted, strict=True))
        steps, fingers, slots = np.nonzero(sensed[..., _FOUND])
        found = sensed[steps, fingers, slots]
        force, normal, tangent = found[:, _FORCE], found[:, _NORMAL], found[:, _TANGENT]
        axes = np.stack([normal, tangent, np.cross(normal, tangent)], axis=1)
        world = -np.einsum("ka,kai->ki", force, axes)  # MuJoCo gives the force of the fingertip on the other body
        rotation = xmat[steps, fingers].reshape(-1, 3, 3)
        on_tip = np.einsum("kji,kj->ki", rotation, world)
        position = np.einsum("kji,kj->ki", rotation, found[:, _POSITION] - xpos[steps, fingers])
        ends = np.searchsorted(steps, np.arange(len(self._noted)), side="right").tolist()
        begin = 0
        for end in ends:
            for k in range(begin, end):
                self.taxels.add(int(fingers[k]), position[k], on_tip[k])
            self.taxels.step(self._timestep)
            begin = end
        self._noted.clear()
        return self.taxels.frame()
