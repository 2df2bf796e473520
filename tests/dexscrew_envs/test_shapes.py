from __future__ import annotations

import numpy as np
import pytest

from dexscrew_envs.shapes import (
    SHAPES,
    convex_parts,
    prism,
    regular_polygon,
    rounded_polygon,
    surface_points,
)
from dexscrew_envs.tasks import TASKS


def directions(angles_in_degrees):
    angles = np.deg2rad(angles_in_degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def support(points, angles_in_degrees):
    """Return how far points reach in each direction of the plane."""
    return (points[:, :2] @ directions(angles_in_degrees).T).max(axis=0)


def is_convex_and_counter_clockwise(outline):
    edges = np.roll(outline, -1, 0) - outline
    after = np.roll(edges, -1, 0)
    return (edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0] > -1e-12).all()


def test_regular_polygon_begins_on_the_x_axis():
    corners = regular_polygon(8, 0.0125)
    np.testing.assert_allclose(corners[0], [0.0125, 0])
    np.testing.assert_allclose(np.linalg.norm(corners, axis=1), 0.0125)
    assert is_convex_and_counter_clockwise(corners)


def test_rounding_keeps_the_sides_and_cuts_the_corners():
    corners = regular_polygon(3, 1.0)
    outline = rounded_polygon(corners, 0.1, 10)
    assert outline.shape == (33, 2)
    assert is_convex_and_counter_clockwise(outline)
    np.testing.assert_allclose(support(outline, [60, 180, 300]), 0.5)  # the inradius
    # A fillet of radius r in a corner of 60 degrees takes r (1 / sin 30 deg - 1) = r off its tip.
    np.testing.assert_allclose(support(outline, [0, 120, 240]), 0.9)


def test_rounded_corner_is_an_arc_around_one_point():
    outline = rounded_polygon(regular_polygon(4, 1.0), 0.2, 5)
    centre = np.array([1 - 0.2 * np.sqrt(2), 0])  # first corner, on +x
    np.testing.assert_allclose(np.linalg.norm(outline[:6] - centre, axis=1), 0.2)


def test_prism_stands_between_its_heights():
    vertices = prism(regular_polygon(6, 1.0), (-0.5, 2.0))
    assert vertices.shape == (12, 3)
    assert set(vertices[:, 2]) == {-0.5, 2.0}
    np.testing.assert_array_equal(vertices[:6, :2], vertices[6:, :2])


@pytest.mark.parametrize(
    ("shape", "bottom", "top"),
    [
        ("triangle", -0.08, 0.0175),
        ("square", 0.0, 0.014),
        ("hexagon", 0.0, 0.014),
        ("cross", 0.0, 0.014),
        ("octagon", 0.01, 0.11),
        ("dodecagon", 0.01, 0.11),
    ],
)
def test_prisms_have_the_published_heights(shape, bottom, top):
    for part in convex_parts(shape):
        assert part[:, 2].min() == pytest.approx(bottom)
        assert part[:, 2].max() == pytest.approx(top)


def test_triangle_has_sides_of_45_mm_and_fillets_of_5_mm():
    (part,) = convex_parts("triangle")
    np.testing.assert_allclose(support(part, [60, 180, 300]), 0.045 / (2 * np.sqrt(3)))
    np.testing.assert_allclose(support(part, [0, 120, 240]), 0.045 / np.sqrt(3) - 0.005)


def test_square_is_45_mm_wide_with_corners_on_the_axes():
    (part,) = convex_parts("square")
    np.testing.assert_allclose(support(part, [45, 135, 225, 315]), 0.0225)
    np.testing.assert_allclose(support(part, [0, 90, 180, 270]), 0.0277, atol=1e-4)


def test_hexagon_is_36_mm_across_flats():
    (part,) = convex_parts("hexagon")
    np.testing.assert_allclose(support(part, [30, 90, 150, 210, 270, 330]), 0.018)


def test_cross_is_two_bars_of_44_by_20_mm():
    first, second = convex_parts("cross")
    np.testing.assert_allclose(np.ptp(first, axis=0)[:2], [0.044, 0.020])
    np.testing.assert_allclose(np.ptp(second, axis=0)[:2], [0.020, 0.044])


@pytest.mark.parametrize(("shape", "sides"), [("octagon", 8), ("dodecagon", 12)])
def test_handles_are_25_mm_across_corners(shape, sides):
    (part,) = convex_parts(shape)
    assert len(part) == 2 * sides
    np.testing.assert_allclose(np.linalg.norm(part[:, :2], axis=1), 0.0125)


def test_spheres_fill_the_height_of_the_handle():
    parts = convex_parts("spheres")
    middles = np.array([part.mean(axis=0) for part in parts])
    np.testing.assert_allclose(middles[:, :2], 0, atol=1e-4)
    np.testing.assert_allclose(np.diff(middles[:, 2]), 0.01875, atol=1e-6)
    for part, middle in zip(parts, np.linspace(0.0225, 0.0975, 5), strict=True):
        np.testing.assert_allclose(np.linalg.norm(part - [0, 0, middle], axis=1), 0.0125)
    heights = np.concatenate(parts)[:, 2]
    assert heights.min() == pytest.approx(0.01, abs=2e-4)
    assert heights.max() == pytest.approx(0.11, abs=2e-4)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "spheres"])
def test_shape_looks_the_same_after_a_period_of_its_symmetry(shape):
    angles = np.arange(0, 360, 1.0)
    reach = np.max([support(part, angles) for part in convex_parts(shape)], axis=0)
    period = 360 // SHAPES[shape].symmetry
    np.testing.assert_allclose(np.roll(reach, period), reach, atol=1e-9)
    smaller = [turn for turn in range(5, period, 5) if np.allclose(np.roll(reach, turn), reach, atol=1e-6)]
    assert not smaller, "the symmetry is of a higher order"


def test_every_shape_has_a_symmetry():
    assert {shape for task in TASKS.values() for shape in task.shapes} == set(SHAPES)


def test_unknown_shape_raises():
    with pytest.raises(KeyError, match="no shape 'pentagon'"):
        convex_parts("pentagon")


def test_surface_points_lie_on_the_triangles_in_proportion_to_area():
    triangles = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 5], [3, 0, 5], [0, 3, 5]]], dtype=float)
    points = surface_points(triangles, count=2000)
    low = points[:, 2] == 0
    assert set(points[:, 2]) == {0.0, 5.0}
    assert (points[:, :2] >= 0).all()
    assert (points[:, :2].sum(axis=1) <= np.where(low, 1, 3)).all()
    assert low.mean() == pytest.approx(0.1, abs=0.03)
    np.testing.assert_allclose(points[~low][:, :2].mean(axis=0), [1, 1], atol=0.06)  # the centroid


def test_surface_points_are_the_same_at_every_call():
    triangles = np.random.default_rng(0).normal(size=(7, 3, 3))
    assert surface_points(triangles).shape == (100, 3)
    np.testing.assert_array_equal(surface_points(triangles), surface_points(triangles))
