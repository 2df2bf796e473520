"""The tactile sensors of the five fingertips: contact forces in, integer counts out.

A rigid simulator touches at points; a sensor under an elastomer sees a wide, smooth patch. So each contact force is
spread over the taxels by a Gaussian of their distance, which reproduces how many points of a comparable real sensor
light up. A fingertip probably has 20 sensing cells, from which its 120 points are computed: errors of gain, bias, drift
and noise belong to cells, and spread over the points with them. Where the 120 points sit on the real hand is not
published; the mapping here is ours: 12 rows from the base of the pad to its tip, of 10 points each, from the finger's
one side to the other.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dexscrew_envs.hands.xhand import FINGERS
from real.robot import TAXELS, Vector
from real.twin.parameters import Choice, Parameters, Uniform, parameter

ROWS, COLUMNS = 12, 10
"""Taxels along the pad, and around it."""
_CELL_ROWS, _CELL_COLUMNS = 5, 4
_CELLS = _CELL_ROWS * _CELL_COLUMNS
_CHANNELS = TAXELS + 1  # The last one is the resultant.
_CELL_WIDTH = 0.004  # How far a cell is felt (m): half the distance between cells.
_REACH = 0.008  # A contact further than this from every taxel is on the shell, which feels nothing (m).
# int8, int8, uint8 on the wire. For every channel, as gains below: NumPy is slow with arrays of three.
_LOW, _HIGH = np.tile([-128.0, -128.0, 0.0], (_CHANNELS, 1)), np.tile([127.0, 127.0, 255.0], (_CHANNELS, 1))


@dataclass(frozen=True, kw_only=True)
class TaxelParameters(Parameters):
    """The tactile sensors. Little is published; most of it is for a sensor whose data look the same."""

    point_scale: float = parameter(0.1, Choice((0.05, 0.1, 0.2), (0.2, 0.6, 0.2)))
    """Force of one count of a taxel (N): 0.1 in a document, 0.2 in recordings of a sensor with the same data types;
    0.05 is the paper's smallest force. Confidence low."""
    resultant_scale: float = parameter(0.1)
    """Force of one count of a resultant (N): three public documents on a sensor with the same data types. Confidence
    medium."""
    width: float = parameter(0.0032, Uniform(0.0025, 0.004))
    """Standard deviation of the Gaussian that spreads a contact (m): fitted to the number of active points and the mean
    force of recordings of a sensor with 52 points. Includes the patch of a ball; a sharp edge lies at the low end.
    Confidence medium."""
    noise: float = parameter(0.3, Uniform(0.1, 0.8), easy=Uniform(0.1, 0.3), hard=Uniform(0.3, 0.8))
    """Standard deviation of a reading at rest before rounding (counts), half of its variance shared by the cell's
    points. Assumed."""
    bias: float = parameter(3.0, Uniform(1.0, 8.0), easy=Uniform(1.0, 3.0), hard=Uniform(3.0, 8.0))
    """Standard deviation of the taxels' offset when a trial begins, and after zeroing (counts): the vendor's zeroing
    leaves 5 to 30 counts by others' logs. Confidence medium."""
    resultant_bias: float = parameter(5.0)
    """The same of a resultant (counts). Confidence medium."""
    drift: float = parameter(0.5, Uniform(0.0, 2.0), easy=Uniform(0.0, 0.5), hard=Uniform(0.5, 2.0))
    """Standard deviation of the offset's random walk after 10 s (counts): that it exists is known, its size assumed."""
    creep: float = parameter(0.05)
    """Part of a lasting load that is added to the reading, and stays for a while when the load is gone; assumed."""
    creep_time: float = parameter(20.0)
    """Time constant of that (s); assumed."""
    hysteresis: float = parameter(0.08, Uniform(0.03, 0.15), easy=Uniform(0.03, 0.08), hard=Uniform(0.08, 0.15))
    """Difference between unloading and loading, over the running peak: none is published; similar sensors in silicone
    show it clearly. Assumed."""
    lag: float = parameter(0.008)
    """Time constant of the elastomer and the sensor (s); assumed."""
    gain_error: float = parameter(0.1, Uniform(0.0, 0.2), easy=Uniform(0.0, 0.1), hard=Uniform(0.1, 0.2))
    """Standard deviation of a fingertip's gain, and of a cell's; assumed."""
    dead: float = parameter(0.01, Uniform(0.0, 0.03), easy=Uniform(0.0, 0.01), hard=Uniform(0.01, 0.03))
    """Probability that a taxel always reads zero; assumed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.point_scale, self.resultant_scale, self.width, self.lag, self.creep_time) <= 0:
            raise ValueError("scales, width and time constants of the taxels must be positive")


@dataclass(frozen=True)
class _Pad:
    """The sensitive surface of a fingertip, in the frame of its link: a row of capsules, swept around their middle."""

    ends: tuple[tuple[Vector, Vector], ...]
    """Ends of the pad's capsules in xhand_left.xml, base first (m)."""
    radius: float
    """Radius of the capsules (m)."""
    palmar: Vector
    """Direction that the pad faces."""
    around: float
    """Angle from the palmar direction to the outer columns (rad); beyond it lies the back's shell."""
    dome: float
    """Angle over the fingertip's dome to the last row (rad); its apex is at pi / 2."""

    def points(self, rows: int, columns: int) -> tuple[Vector, Vector, Vector]:
        """Return positions (n, 3), outward normals (n, 3) and shares of the area (n,) of a grid on the surface."""
        base = np.mean([a for a, _ in self.ends], axis=0)
        tip = np.mean([b for _, b in self.ends], axis=0)
        length = float(np.linalg.norm(tip - base))
        axis = (tip - base) / length
        up = self.palmar - axis * (self.palmar @ axis)
        up /= np.linalg.norm(up)
        arc = np.linspace(0.0, length + self.radius * self.dome, rows)[:, None]
        angle = np.linspace(-self.around, self.around, columns)[None, :]
        bend = np.maximum(arc - length, 0.0)[..., None] / self.radius
        outward = np.cos(angle)[..., None] * up + np.sin(angle)[..., None] * np.cross(axis, up)
        direction = np.cos(bend) * outward + np.sin(bend) * axis
        origin = base + np.minimum(arc, length)[..., None] * axis
        position, normal = self._surface(np.broadcast_to(origin, direction.shape), direction)
        along, across = np.gradient(position, axis=0), np.gradient(position, axis=1)
        area = np.linalg.norm(np.cross(along, across), axis=-1).ravel()
        return position.reshape(-1, 3), normal.reshape(-1, 3), area / area.sum()

    def _surface(self, origin: Vector, direction: Vector) -> tuple[Vector, Vector]:
        """Follow rays from inside to the surface of the capsules' union by sphere tracing."""
        point = origin
        for _ in range(60):
            nearest = []
            for a, b in self.ends:
                along = np.clip((point - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
                nearest.append(point - (a + along[..., None] * (b - a)))
            distances = np.linalg.norm(nearest, axis=-1)
            closest = distances.argmin(axis=0)
            distance = np.take_along_axis(distances, closest[None], axis=0)[0]
            point = point + (self.radius - distance)[..., None] * direction
        radial = np.take_along_axis(np.array(nearest), closest[None, ..., None], axis=0)[0]
        return point, radial / np.linalg.norm(radial, axis=-1, keepdims=True)


def _capsule(*numbers: float) -> tuple[Vector, Vector]:
    return np.array(numbers[:3]), np.array(numbers[3:])


_FINGER_PAD = _Pad(
    ends=(_capsule(0, -0.00278, -0.01863, 0, -0.00063, -0.03328),),
    radius=0.00842,
    palmar=np.array([0.0, -1.0, 0.0]),
    around=np.radians(105.0),
    dome=np.radians(70.0),
)
_THUMB_PAD = _Pad(
    ends=(
        _capsule(0.0204, -0.00358, 0.00015, 0.03682, -0.00227, 0.00239),
        _capsule(0.0204, 0.00358, 0.00015, 0.03682, 0.00227, 0.00239),
    ),
    radius=0.01127,
    palmar=np.array([0.0, 0.0, -1.0]),
    around=np.radians(75.0),
    dome=np.radians(60.0),
)
_PADS = (_THUMB_PAD, *[_FINGER_PAD] * (len(FINGERS) - 1))


def _axes(normal: Vector, distal: Vector) -> Vector:
    """Return the axes of taxels (n, 3, 3): towards the fingertip, across, and into the pad."""
    first = distal - normal * (normal @ distal)[:, None]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(normal, first), -normal], axis=1)


def _geometry() -> tuple[Vector, Vector, Vector, Vector, Vector]:
    """Return positions and normals of all taxels, areas and axes of all channels, and how cells spread over points."""
    positions, normals, areas, axes, spreads = [], [], [], [], []
    for pad in _PADS:
        position, normal, area = pad.points(ROWS, COLUMNS)
        cell, _, _ = pad.points(_CELL_ROWS, _CELL_COLUMNS)
        distal = pad.ends[0][1] - pad.ends[0][0]
        facing = np.concatenate([normal, pad.palmar[None]])
        distances = np.linalg.norm(position[:, None] - cell[None], axis=-1)
        spread = np.exp(-(distances**2) / (2 * _CELL_WIDTH**2))
        positions.append(position)
        normals.append(normal)
        areas.append(np.append(area, 0.0))
        axes.append(_axes(facing, distal / np.linalg.norm(distal)))
        spreads.append(spread / np.linalg.norm(spread, axis=1, keepdims=True))  # Keeps the cells' variance.
    return np.array(positions), np.array(normals), np.array(areas), np.array(axes), np.array(spreads)


POSITIONS, NORMALS, _AREAS, _AXES, _CELL_SPREAD = _geometry()
_AREA_AXES = _AXES.swapaxes(2, 3).copy()
_AREA_AXES[:, :TAXELS] *= _AREAS[:, :TAXELS, None, None]
"""What takes the force per area, a row in the link's frame, to the force on a taxel, a row in its axes."""


class Taxels:
    """The sensors of all fingertips, in the frames of their links (`thumb_2`, `index_2` and so on).

    Args:
        parameters: of the sensors.
        rng: draws their errors, noise and drift.
    """

    POSITIONS = POSITIONS
    """(5, 120, 3) positions of the taxels in the frames of the fingertips' links (m)."""
    NORMALS = NORMALS
    """(5, 120, 3) outward normals of the pads there."""

    def __init__(self, parameters: TaxelParameters, rng: np.random.Generator) -> None:
        self.parameters = parameters
        self._rng = rng
        tips = len(FINGERS)
        gain = 1 + parameters.gain_error * rng.standard_normal((tips, 1))
        cell = parameters.gain_error * rng.standard_normal((tips, _CELLS, 1))
        alive = rng.random((tips, TAXELS)) >= parameters.dead
        self._alive = np.ones((tips, _CHANNELS, 3), bool)
        self._alive[:, :TAXELS] = alive[..., None]
        self._gain = np.empty((tips, _CHANNELS, 3))
        self._gain[:, :TAXELS] = (gain[..., None] + _CELL_SPREAD @ cell) / parameters.point_scale
        self._gain[:, TAXELS] = gain / parameters.resultant_scale
        self._spread = np.zeros((tips, _CHANNELS, _CELLS + 1))
        self._spread[:, :TAXELS, :_CELLS] = _CELL_SPREAD
        self._spread[:, TAXELS, _CELLS] = 1.0
        # The Gaussian's exponent -|p - t|^2 / 2 w^2 at taxel t is (p, |p|^2, 1) times this.
        narrow = 1 / (2 * parameters.width**2)
        squares = (POSITIONS**2).sum(axis=-1, keepdims=True)
        terms = np.concatenate([2 * POSITIONS, -np.ones_like(squares), -squares], axis=-1)
        self._exponents = np.zeros((tips, terms.shape[2], _CHANNELS))
        self._exponents[..., :TAXELS] = (narrow * terms).swapaxes(1, 2)
        self._least = math.exp(-narrow * _REACH**2)  # of a contact's largest weight, if it is felt
        shape = (tips, _CHANNELS, 3)
        self._load = np.zeros(shape)  # After the lag (N).
        self._held = np.zeros(shape)  # After the hysteresis (N).
        self._peak = np.zeros(shape)
        self._crept = np.zeros(shape)
        self._bias = self._draw_bias()  # (counts)
        self._drift = np.zeros((tips, _CELLS + 1, 3))  # of cells and resultants (counts)

    def _draw_cells(self) -> Vector:
        """Draw a standard normal number for each cell and resultant."""
        return self._rng.standard_normal((len(FINGERS), _CELLS + 1, 3))

    def _draw_bias(self) -> Vector:
        bias = self._spread @ self._draw_cells()
        bias[:, :TAXELS] *= self.parameters.bias
        bias[:, TAXELS] *= self.parameters.resultant_bias
        return bias

    def _spread_forces(
        self, count: int, fingers: NDArray[np.intp], frames: NDArray[np.intp], positions: Vector, forces: Vector
    ) -> Vector:
        """Return the force on each channel in each frame, in the channel's axes (count, 5, 121, 3) (N)."""
        total = np.zeros((count, len(FINGERS), _CHANNELS, 3))
        terms = np.column_stack([positions, (positions * positions).sum(axis=1), np.ones(len(positions))])
        groups = np.searchsorted(fingers * count + frames, np.arange(len(FINGERS) * count + 1)).tolist()
        for finger in range(len(FINGERS)):
            bounds = groups[finger * count : (finger + 1) * count + 1]
            if bounds[0] == bounds[-1]:
                continue
            rows = slice(bounds[0], bounds[-1])
            # A fingertip is more than five widths thick: its far side gets nothing.
            weights = np.exp(terms[rows] @ self._exponents[finger])
            felt = forces[rows] * (weights[:, :TAXELS].max(axis=1) > self._least)[:, None]
            weights /= np.maximum(weights @ _AREAS[finger], 1e-300)[:, None]
            weights[:, TAXELS] = 1.0  # The resultant takes everything.
            loads = np.empty((count, _CHANNELS, 3))
            for load, (begin, end) in zip(loads, pairwise(bounds), strict=True):
                own = slice(begin - rows.start, end - rows.start)
                np.matmul(weights[own].T, felt[own], out=load)
            total[:, finger] = (loads.swapaxes(0, 1) @ _AREA_AXES[finger]).swapaxes(0, 1)
        return total

    def at_rest(self) -> Callable[[], NDArray[np.int16]]:
        """Return what computes the counts (5, 121, 3) while nothing touches, before any frame was taken.

        What the sensors draw later does not depend on it.
        """
        rng = copy.deepcopy(self._rng)
        cells, points = rng.standard_normal(self._drift.shape), rng.standard_normal(self._bias.shape)
        return partial(self._counts, self._held, self._crept, self._bias, self._drift, cells, points)

    def frames(
        self,
        seconds: Sequence[float],
        fingers: NDArray[np.intp],
        frames: NDArray[np.intp],
        positions: Vector,
        forces: Vector,
    ) -> list[Callable[[], NDArray[np.int16]]]:
        """Take frames, which the sensors do every 12 ms; several at once cost far less than one by one.

        Args:
            seconds: of each frame, since the one before.
            fingers: (n,) indices in `FINGERS` of what touched in that time, ascending.
            frames: (n,) in which frame it did so, from 0; ascending for each finger.
            positions: (n, 3) of these contacts in the frames of the fingertips' links (m).
            forces: (n, 3) on the fingertips in the same frames, averaged over the frame's time (N).

        Returns:
            For each frame a function that computes its counts (5, 121, 3), those of the resultant last: two shear axes
            (-128 to 127), towards the fingertip and across, and the pressure (0 to 255).
        """
        total = self._spread_forces(len(seconds), fingers, frames, positions, forces)
        return [self._take(duration, load) for duration, load in zip(seconds, total, strict=True)]

    def _take(self, seconds: float, load: Vector) -> Callable[[], NDArray[np.int16]]:
        """Take a frame under a load (5, 121, 3)."""
        parameters = self.parameters
        fading = math.exp(-seconds / parameters.creep_time)
        self._load += (1 - math.exp(-seconds / parameters.lag)) * (load - self._load)
        self._peak = np.maximum(fading * self._peak, np.abs(self._load))
        slack = parameters.hysteresis / 2 * self._peak
        # Counts are computed later, if at all, from these arrays: they are replaced, never written.
        self._held = np.minimum(np.maximum(self._held, self._load - slack), self._load + slack)
        self._crept = self._crept + (1 - fading) * (self._held - self._crept)
        self._drift = self._drift + parameters.drift * math.sqrt(seconds / 10.0) * self._draw_cells()
        cells, points = self._draw_cells(), self._rng.standard_normal(self._bias.shape)
        return partial(self._counts, self._held, self._crept, self._bias, self._drift, cells, points)

    def _pressed(self, held: Vector, crept: Vector) -> Vector:
        """Return what the load makes the channels read (counts)."""
        return self._gain * (held + self.parameters.creep * crept)

    def _counts(
        self, held: Vector, crept: Vector, bias: Vector, drift: Vector, cells: Vector, points: Vector
    ) -> NDArray[np.int16]:
        """Return the counts of a frame, from what `_take` kept for it."""
        noise = self.parameters.noise * math.sqrt(0.5)
        reading = self._pressed(held, crept) + bias + self._spread @ (drift + noise * cells) + noise * points
        return (np.minimum(np.maximum(np.rint(reading), _LOW), _HIGH) * self._alive).astype(np.int16)

    def zero(self) -> None:
        """Make the present readings zero, up to the error that the vendor's zeroing leaves."""
        self._bias = self._draw_bias() - self._pressed(self._held, self._crept)
        self._drift = np.zeros_like(self._drift)
