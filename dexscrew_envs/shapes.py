"""The shapes of nuts and handles: outlines, and the convex parts that they are made of.

A shape is a list of convex parts, each a cloud of vertices (V, 3) in the nut's frame at scale 1, in metres. Outlines
of the triangle, square and cross, and of both handles, were measured on the authors' meshes; the hexagon (an M24 nut,
36 mm across flats, ISO 4032) and the stack of spheres (the paper's Fig. 3B) are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Vertices = NDArray[np.float64]

_THIN = (0.0, 0.014)  # a 14 mm nut on top of the bolt
THICK = (-0.08, 0.0175)
"""Lower and upper end of the training nut (m): 15 mm, stretched 6.5 times around the bolt."""
_HANDLE = (0.01, 0.11)


def rounded_polygon(corners: Vertices, fillet: float, segments: int) -> Vertices:
    """Return the outline (V, 2) of a convex polygon, counter-clockwise, its corners rounded.

    Args:
        corners: (C, 2) corners, counter-clockwise (m).
        fillet: radius of the rounding (m).
        segments: straight segments in each rounded corner.
    """
    outline = []
    for before, corner, after in zip(np.roll(corners, 1, 0), corners, np.roll(corners, -1, 0), strict=True):
        incoming = (corner - before) / np.linalg.norm(corner - before)
        outgoing = (after - corner) / np.linalg.norm(after - corner)
        turn = np.arctan2(incoming[0] * outgoing[1] - incoming[1] * outgoing[0], incoming @ outgoing)
        normal = np.array([incoming[1], -incoming[0]])
        centre = corner - incoming * fillet * np.tan(turn / 2) - normal * fillet
        for angle in np.linspace(0.0, turn, segments + 1):
            c, s = np.cos(angle), np.sin(angle)
            outline.append(centre + fillet * np.array([c * normal[0] - s * normal[1], s * normal[0] + c * normal[1]]))
    return np.array(outline)


def regular_polygon(sides: int, circumradius: float) -> Vertices:
    """Return the corners (sides, 2) of a regular polygon with one corner on +x."""
    angles = 2 * np.pi * np.arange(sides) / sides
    return circumradius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def prism(outline: Vertices, z: tuple[float, float]) -> Vertices:
    """Return the vertices (2 V, 3) of a prism over an outline (V, 2)."""
    return np.concatenate([np.column_stack([outline, np.full(len(outline), height)]) for height in z])


def _bar(length: float, width: float, fillet: float) -> Vertices:
    x, y = length / 2, width / 2
    return rounded_polygon(np.array([[x, -y], [x, y], [-x, y], [-x, -y]]), fillet, 6)


def _sphere(radius: float, height: float, count: int = 120) -> Vertices:
    """Points spread evenly over a sphere (Fibonacci lattice)."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    ring = np.sqrt(1 - z**2)
    return radius * np.column_stack([ring * np.cos(angle), ring * np.sin(angle), z]) + [0.0, 0.0, height]


def _cross() -> tuple[Vertices, ...]:
    """Two bars of 44 x 20 mm, since a cross is not convex."""
    bar = _bar(0.044, 0.020, 0.003)
    return prism(bar, _THIN), prism(np.column_stack([-bar[:, 1], bar[:, 0]]), _THIN)


def _spheres() -> tuple[Vertices, ...]:
    """Five spheres, 18.75 mm apart, that fill the handle's height."""
    heights = np.linspace(_HANDLE[0] + 0.0125, _HANDLE[1] - 0.0125, 5)
    return tuple(_sphere(0.0125, height) for height in heights)


@dataclass(frozen=True)
class Shape:
    """A shape of a nut or handle.

    Raises:
        ValueError: its symmetry is no integer of at least 1.
    """

    symmetry: int
    """Order of its rotational symmetry: turned by 360 degrees over this, it looks the same."""
    parts: Callable[[], tuple[Vertices, ...]]
    """Makes its convex parts, each (V, 3), in the nut's frame at scale 1 (m)."""

    def __post_init__(self) -> None:
        if not isinstance(self.symmetry, int) or isinstance(self.symmetry, bool) or self.symmetry < 1:
            raise ValueError(
                "the symmetry of a shape must be an integer of at least 1, which is for one that looks the same only "
                f"after a whole turn, got {self.symmetry!r}"
            )


SHAPES: dict[str, Shape] = {
    # Side 45 mm.
    "triangle": Shape(3, lambda: (prism(rounded_polygon(regular_polygon(3, 0.045 / np.sqrt(3)), 0.005, 10), THICK),)),
    # Side 45 mm, corners on the axes.
    "square": Shape(4, lambda: (prism(rounded_polygon(regular_polygon(4, 0.045 / np.sqrt(2)), 0.010, 9), _THIN),)),
    "hexagon": Shape(6, lambda: (prism(rounded_polygon(regular_polygon(6, 0.036 / np.sqrt(3)), 0.002, 4), _THIN),)),
    "cross": Shape(4, _cross),
    "octagon": Shape(8, lambda: (prism(regular_polygon(8, 0.0125), _HANDLE),)),
    "dodecagon": Shape(12, lambda: (prism(regular_polygon(12, 0.0125), _HANDLE),)),
    "spheres": Shape(12, _spheres),  # it looks the same at any angle
}
"""Every shape by its name. A task's module may add its own."""


@cache
def convex_parts(shape: str) -> tuple[Vertices, ...]:
    """Return the convex parts of a shape, each (V, 3), in the nut's frame at scale 1 (m).

    Raises:
        KeyError: there is no such shape.
    """
    if shape not in SHAPES:
        raise KeyError(f"there is no shape {shape!r}")
    return SHAPES[shape].parts()


def surface_points(triangles: Vertices, count: int = 100) -> Vertices:
    """Return points (count, 3) spread uniformly over triangles (T, 3, 3); the same ones at every call.

    Where convex parts overlap, points of one that lie inside another are kept.
    """
    edges = triangles[:, 1:] - triangles[:, :1]
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(triangles), size=count, p=areas / areas.sum())
    u, v = rng.random((2, count, 1))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    return triangles[chosen, 0] + u * edges[chosen, 0] + v * edges[chosen, 1]
