"""The drawn geometry against the paper's settings, and the pixels against the geometry, by means of their own."""

import hashlib

import numpy as np
import pytest

from effjax.data.builders import shapes_generator
from effjax.data.builders.shapes_generator import draw

COUNT = 3000
RECTANGLE, ELLIPSE, TRIANGLE = 0, 1, 2


@pytest.fixture(scope="module", params=["basic", "geom"])
def shapes(request):
    return request.param, [draw(request.param, 0, "train", index) for index in range(COUNT)]


def _uniform_distance(values, weights=None) -> float:
    """Kolmogorov–Smirnov distance to U(0, 1), times √n of the effective sample size. Beyond 1.95: odds of 1 in 1000."""
    order = np.argsort(values)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights)
    distance = np.abs(np.cumsum(weights[order]) / weights.sum() - np.asarray(values)[order]).max()
    return distance * np.sqrt(weights.sum() ** 2 / (weights**2).sum())


def _largest_area(shape) -> float:
    """The area with which the shape, at its angle, elongation and peak, just fits a box of side 0.9; at most 0.4."""
    turn = np.array([[np.cos(shape.angle), -np.sin(shape.angle)], [np.sin(shape.angle), np.cos(shape.angle)]])
    if shape.label == ELLIPSE:
        around = np.linspace(0, 2 * np.pi, 4001)
        outline, area = np.stack([shape.elongation * np.cos(around), np.sin(around)]), np.pi * shape.elongation
    elif shape.label == RECTANGLE:
        outline = np.array([[0, shape.elongation, shape.elongation, 0], [0, 0, 1, 1]])
        area = shape.elongation
    else:
        outline = np.array([[0, shape.elongation, shape.peak * shape.elongation], [0, 0, 1]])
        area = shape.elongation / 2
    side = np.ptp(turn @ outline, axis=1).max()
    return min(0.4, area * (0.9 / side) ** 2)


def test_classes_have_equal_odds(shapes):
    counts = np.bincount([shape.label for shape in shapes[1]], minlength=3)
    assert np.abs(counts - COUNT / 3).max() < 4 * np.sqrt(COUNT * 2 / 9)


def test_grey_levels(shapes):
    pairs = np.zeros((8, 8))
    for shape in shapes[1]:
        pairs[shape.foreground, shape.background] += 1
        levels = {round(255 * shape.foreground / 7), round(255 * shape.background / 7)}
        assert set(np.unique(shape.image)) == levels
    assert np.trace(pairs) == 0  # foreground and background are at least one step apart
    expected = COUNT / 56
    chi_square = ((pairs[~np.eye(8, dtype=bool)] - expected) ** 2).sum() / expected
    assert chi_square < 55 + 4 * np.sqrt(2 * 55)


def test_areas_are_uniform_among_those_that_fit(shapes):
    variant, drawn = shapes
    # Basic rectangles and ellipses always fit, so that their areas are uniform as they are.
    if variant == "basic":
        for label in (RECTANGLE, ELLIPSE):
            assert _uniform_distance([(s.area - 0.1) / 0.3 for s in drawn if s.label == label]) < 1.95
    places = np.array([(shape.area - 0.1) / (_largest_area(shape) - 0.1) for shape in drawn])
    assert places.min() >= 0
    assert places.max() <= 1 + 1e-6
    for label in range(3):
        assert _uniform_distance([p for p, s in zip(places, drawn, strict=True) if s.label == label]) < 1.95


def test_areas_count_pixels(shapes):
    counted = np.array([(s.image == round(255 * s.foreground / 7)).mean() for s in shapes[1]])
    errors = counted - [s.area for s in shapes[1]]
    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(COUNT)
    assert errors.std() < 0.004  # about four of 1,024 pixels
    assert np.abs(errors).max() < 0.03


def test_elongations(shapes):
    variant, drawn = shapes
    elongations = np.array([shape.elongation for shape in drawn])
    if variant == "basic":
        assert set(elongations) == {1.0}
        return
    assert elongations.min() >= 1 / 3
    assert elongations.max() <= 3
    places = (np.log(elongations) / np.log(3) + 1) / 2
    # What fits less often is drawn less often; its share of tries that fit is the share of areas that do.
    weights = np.array([0.3 / (_largest_area(shape) - 0.1) for shape in drawn])
    for label in range(3):
        mine = np.array([shape.label == label for shape in drawn])
        assert _uniform_distance(places[mine], weights[mine]) < 1.95


def test_angles(shapes):
    for label, full in ((RECTANGLE, np.pi / 2), (ELLIPSE, np.pi / 2), (TRIANGLE, 2 * np.pi)):
        assert _uniform_distance([s.angle / full for s in shapes[1] if s.label == label]) < 1.95


def test_peaks(shapes):
    variant, drawn = shapes
    peaks = [shape.peak for shape in drawn if shape.label == TRIANGLE]
    if variant == "basic":
        assert set(peaks) == {0.5}
    else:
        assert _uniform_distance(peaks) < 1.95


def test_boxes_fit_and_lie_anywhere(shapes):
    boxes, corners = (np.array([getattr(s, name) for s in shapes[1]]) for name in ("box", "corner"))
    assert boxes.max() <= 0.9
    for axis in range(2):
        assert _uniform_distance(corners[:, axis] / (1 - boxes[:, axis])) < 1.95
    for shape in shapes[1][:500]:
        rows, columns = np.nonzero(shape.image == round(255 * shape.foreground / 7))
        for pixels, low, side in ((columns, shape.corner[0], shape.box[0]), (rows, shape.corner[1], shape.box[1])):
            # Sharp tips fall between pixel centres, so a box may be missed from inside, and never from outside.
            assert 32 * low <= pixels.min() + 0.5
            assert pixels.max() + 0.5 <= 32 * (low + side)
            assert np.ptp(pixels) + 1 > 32 * side - 6


def test_pixels_are_those_whose_centre_lies_inside(shapes):
    y, x = (np.mgrid[:32, :32] + 0.5) / 32
    for shape in shapes[1][:300]:
        np.testing.assert_array_equal(_inside(shape, x, y), shape.image == round(255 * shape.foreground / 7))


def _inside(shape, x, y):
    """Which points lie in the shape: by the signs of cross products, and by an ellipse's two foci."""
    turn = np.array([[np.cos(shape.angle), -np.sin(shape.angle)], [np.sin(shape.angle), np.cos(shape.angle)]])
    if shape.label == ELLIPSE:
        height = np.sqrt(4 * shape.area / np.pi / shape.elongation)
        width = shape.elongation * height
        long, along = max(width, height), turn[:, 0] if width >= height else turn[:, 1]
        centre = np.array(shape.corner) + np.array(shape.box) / 2
        focus = along * np.sqrt(long**2 - min(width, height) ** 2) / 2
        distances = [np.hypot(x - cx, y - cy) for cx, cy in (centre + focus, centre - focus)]
        return sum(distances) <= long
    height = np.sqrt((1 if shape.label == RECTANGLE else 2) * shape.area / shape.elongation)
    width = shape.elongation * height
    top = [(width, height), (0, height)] if shape.label == RECTANGLE else [(shape.peak * width, height)]
    corners = turn @ np.array([(0, 0), (width, 0), *top]).T
    corners = (corners - corners.min(axis=1, keepdims=True)).T + shape.corner
    inside = np.ones_like(x, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0
    return inside


def test_a_drawing_is_a_function_of_its_key():
    keys = [("basic", 0, "train", 5), ("geom", 0, "train", 5), ("geom", 1, "train", 5), ("geom", 0, "test", 5)]
    keys += [("geom", 0, "validation", 5), ("geom", 0, "train", 6)]
    drawings = [draw(*key) for key in keys]
    assert len({(shape.angle, shape.area) for shape in drawings}) == len(keys)
    for key, shape in zip(keys, drawings, strict=True):
        np.testing.assert_array_equal(draw(*key).image, shape.image)


def test_the_published_drawings_stay_the_same():
    pixels = b"".join(draw(v, 0, "train", i).image.tobytes() for v in shapes_generator.VARIANTS for i in range(20))
    assert hashlib.sha256(pixels).hexdigest() == "04f5cb2dee51a7d25ee09480a72a65a944892f9cb13ac2efe2653af58bd5074a"
