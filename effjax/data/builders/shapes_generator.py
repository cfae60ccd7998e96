"""Rectangles, ellipses and triangles, drawn to the settings of the first curriculum-learning paper.

References:
  Bengio et al., Curriculum learning, ICML 2009, section 5.1, https://dl.acm.org/doi/10.1145/1553374.1553380
  The authors' GeomShapes / BasicShapes data: www.iro.umontreal.ca/~lisa/ptwiki/BabyAIShapesDatasets
"""

import dataclasses

import numpy as np

from effjax.data import draws

SIZE = 32  # pixels a side
CLASSES = ("rectangle", "ellipse", "triangle")
GREY_LEVELS = 8  # k/7, k = 0…7
AREA = (0.1, 0.4)  # of the image
MAX_SIDE = 0.9  # of the bounding box, in image sides
MAX_ELONGATION = 3.0  # width / height is log-uniform in [1/3, 3]
VARIANTS = ("basic", "geom")
SPLITS = ("train", "validation", "test")

_TRIANGLE = CLASSES.index("triangle")
_ELLIPSE = CLASSES.index("ellipse")
_DRAWS = 128  # per example: 8 fixed, then two a try; the shape that fits worst does so in 28 % of its tries
_PIXEL_CENTRES = (np.arange(SIZE) + 0.5) / SIZE


@dataclasses.dataclass(frozen=True)
class Shape:
    """One drawing and the numbers it was drawn from. Lengths are in image sides, angles in radians.

    Attributes:
      image: ``[32, 32]`` uint8, two grey levels, no anti-aliasing.
      label: index into ``CLASSES``.
      area: of the shape before it is cut into pixels, as a fraction of the image.
      elongation: width / height before rotation (a triangle's base / height).
      peak: where a triangle's tip stands above its base, 0 … 1; 0.5 for the other classes, which have none.
      angle: of rotation.
      foreground: grey level 0…7 of the shape.
      background: grey level 0…7 of the rest.
      box: ``(width, height)`` of the rotated shape's bounding box.
      corner: ``(x, y)`` of the bounding box's corner next to the image's origin.
    """

    image: np.ndarray
    label: int
    area: float
    elongation: float
    peak: float
    angle: float
    foreground: int
    background: int
    box: tuple[float, float]
    corner: tuple[float, float]


def draw(variant: str, seed: int, split: str, index: int) -> Shape:
    """Draws example ``index`` of a split: a function of its arguments alone, so any subset can be drawn again.

    Args:
      variant: "basic" (squares, circles, isosceles triangles as high as wide) or "geom" (any elongation, any peak).
      seed: of the whole dataset.
      split: "train", "validation" or "test".
      index: the example's place in the split, in [0, 2^32).

    Returns:
      The drawing with its geometry.
    """
    stream = (VARIANTS.index(variant) * len(SPLITS) + SPLITS.index(split)) * 2**32 + index
    u = draws.uniforms((seed, stream), _DRAWS)
    label = int(u[0] * len(CLASSES))
    foreground = int(u[1] * GREY_LEVELS)
    background = (foreground + 1 + int(u[2] * (GREY_LEVELS - 1))) % GREY_LEVELS
    angle = u[3] * (2 * np.pi if label == _TRIANGLE else np.pi / 2)
    peak = u[4] if variant == "geom" and label == _TRIANGLE else 0.5
    for u_area, u_elongation in u[8:].reshape(-1, 2):
        area = AREA[0] + (AREA[1] - AREA[0]) * u_area
        elongation = MAX_ELONGATION ** (2 * u_elongation - 1) if variant == "geom" else 1.0
        low, high = bounding_box(label, *_sides(label, area, elongation), peak, angle)
        if (high - low).max() <= MAX_SIDE:
            break
    else:
        raise AssertionError(f"no shape fits after {len(u[8:]) // 2} tries: class {label}, angle {angle}")
    box = high - low
    corner = u[5:7] * (1 - box)
    width, height = _sides(label, area, elongation)
    inside = _covers(label, width, height, peak, angle, origin=corner - low)
    levels = np.where(inside, foreground, background)
    image = np.round(levels * (255 / (GREY_LEVELS - 1))).astype(np.uint8)
    return Shape(image, label, area, elongation, peak, angle, foreground, background, tuple(box), tuple(corner))


def _sides(label: int, area: float, elongation: float) -> tuple[float, float]:
    """Width and height of a shape of the given area whose width is ``elongation`` times its height."""
    rectangle = area * {_TRIANGLE: 2.0, _ELLIPSE: 4 / np.pi}.get(label, 1.0)
    height = np.sqrt(rectangle / elongation)
    return elongation * height, height


def _corners(label: int, width: float, height: float, peak: float) -> np.ndarray:
    """``[n, 2]`` corners around the origin, before rotation."""
    w, h = width / 2, height / 2
    if label == _TRIANGLE:
        return np.array([[-w, -h], [w, -h], [(2 * peak - 1) * w, h]])
    return np.array([[-w, -h], [w, -h], [w, h], [-w, h]])


def bounding_box(label: int, width: float, height: float, peak: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """The rotated shape's extent around the point it turns about.

    Args:
      label: index into ``CLASSES``.
      width: before rotation, in image sides.
      height: before rotation, in image sides.
      peak: where a triangle's tip stands above its base, 0 … 1.
      angle: in radians.

    Returns:
      ``(low, high)``, each ``[2]``: x and y of the box's two corners.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    if label == _ELLIPSE:
        high = np.hypot([width * cos, width * sin], [height * sin, height * cos]) / 2
        return -high, high
    corners = _corners(label, width, height, peak) @ np.array([[cos, sin], [-sin, cos]])
    return corners.min(axis=0), corners.max(axis=0)


def _covers(label: int, width: float, height: float, peak: float, angle: float, origin: np.ndarray) -> np.ndarray:
    """``[SIZE, SIZE]`` bool, rows are y: which pixels have their centre inside the rotated shape."""
    x = _PIXEL_CENTRES[None, :] - origin[0]
    y = _PIXEL_CENTRES[:, None] - origin[1]
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = cos * x + sin * y, cos * y - sin * x  # turned back, where the shape stands upright
    if label == _ELLIPSE:
        return (2 * x / width) ** 2 + (2 * y / height) ** 2 <= 1
    if label == _TRIANGLE:
        rise = y / height + 0.5  # 0 at the base, 1 at the tip
        middle = rise * (peak - 0.5) * width
        left = middle - (1 - rise) * width / 2
        return (rise >= 0) & (left <= x) & (x <= left + (1 - rise) * width)
    return (np.abs(x) <= width / 2) & (np.abs(y) <= height / 2)
