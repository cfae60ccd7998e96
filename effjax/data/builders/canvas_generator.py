"""Real digits strewn over a canvas among fragments of digits, each with its box and class.

An example is a function of (seed, split, index) and of the digits that may be drawn, so any subset can be drawn again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from effjax.data import draws

SIZE = 64
SPLITS = ("train", "validation", "test")
CLASSES = 10
MOST = 6  # digits of one canvas

_HEIGHTS, _WIDTHS = (11, 26), (3, 30)  # pixels of a digit on the canvas, both ends included
_INK = 60  # the least grey level that a digit's box holds
_BRIGHTNESS = (0.45, 1.0)
_ONE_MORE = 0.6  # the probability of another digit
_OVERLAP = 2  # pixels by which two digits' boxes may overlap in both directions
_TRIES = 40
_FRAGMENTS, _FRAGMENT_SIDES, _FRAGMENT_BRIGHTNESS = 8, (5, 8), (0.4, 1.0)
_MARGIN = 4  # pixels around an MNIST digit, where there is no ink
_BACKGROUND, _NOISE = 0.25, 0.06  # the brightest background, and the standard deviation of the noise
_DRAWS = 3 + 7 * _FRAGMENTS + MOST + 5 * _TRIES


class Canvas(NamedTuple):
    """One image and what it shows.

    Attributes:
      image: ``[64, 64]`` uint8.
      boxes: of the digits, ``[n, 4]`` whole pixels y0, x0, y1, x1, the second two excluded.
      labels: which digits they are, ``[n]``.
      rows: their positions in the digits that were given, ``[n]``.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    rows: np.ndarray


def draw(
    frequencies: Sequence[float], seed: int, split: str, index: int, images: np.ndarray, labels: np.ndarray
) -> Canvas:
    """Draws example ``index`` of a split.

    Args:
      frequencies: of the ten classes, ``[10]``, of any sum.
      seed: of the whole dataset.
      split: one of ``SPLITS``.
      index: the example's place in the split, in [0, 2^32).
      images: digits to draw from, uint8 ``[N, 28, 28]``; those of a split are its own.
      labels: which digits they are, ``[N]``, of every class at least one.

    Returns:
      The example, with one to six digits.
    """
    u = draws.uniforms((seed, SPLITS.index(split) * 2**32 + index), _DRAWS)
    canvas = np.full((SIZE, SIZE), _BACKGROUND * u[0])
    for fragment in u[3 : 3 + 7 * int((_FRAGMENTS + 1) * u[1])].reshape(-1, 7):
        _add_fragment(canvas, images, fragment)
    ends = np.cumsum(frequencies) / np.sum(frequencies)
    members = [np.flatnonzero(labels == label) for label in range(CLASSES)]
    wanted = min(MOST, 1 + int(np.log1p(-u[2]) / np.log(_ONE_MORE)))
    # Drawn before a place is looked for: of classes drawn anew for every try, the narrow ones would fit more often.
    classes = np.searchsorted(ends, u[3 + 7 * _FRAGMENTS : -5 * _TRIES], "right")
    boxes: list[tuple[int, int, int, int]] = []
    rows: list[int] = []
    for attempt in u[-5 * _TRIES :].reshape(-1, 5):
        if len(boxes) == wanted:
            break
        of_class = members[min(int(classes[len(boxes)]), CLASSES - 1)]
        row = int(of_class[int(len(of_class) * attempt[0])])
        if (scaled := _scaled(images[row], attempt[1])) is None:
            continue
        (height, width), brightness = scaled.shape, _between(_BRIGHTNESS, attempt[2])
        y, x = (int((SIZE - side + 1) * place) for side, place in zip(scaled.shape, attempt[3:], strict=True))
        box = (y, x, y + height, x + width)
        if any(_overlap(box, other) for other in boxes):
            continue
        _lay(canvas, y, x, brightness * scaled / 255)
        boxes.append(box)
        rows.append(row)
    if not boxes:
        raise AssertionError(f"no digit fits after {_TRIES} tries")
    pixels = np.clip(canvas + _noise(seed, split, index), 0, 1)
    image = np.round(255 * pixels).astype(np.uint8)
    return Canvas(image, np.array(boxes), np.asarray(labels)[rows], np.array(rows))


def _add_fragment(canvas: np.ndarray, images: np.ndarray, u: np.ndarray) -> None:
    """A square cut out of a digit: strokes that are of no class."""
    digit = images[int(len(images) * u[0])]
    side = _whole(_FRAGMENT_SIDES, u[1])
    top, left = (_MARGIN + int((digit.shape[0] - 2 * _MARGIN - side + 1) * draw) for draw in u[2:4])
    y, x = (int((SIZE - side + 1) * draw) for draw in u[4:6])
    strokes = digit[top : top + side, left : left + side] / 255
    _lay(canvas, y, x, _between(_FRAGMENT_BRIGHTNESS, u[6]) * strokes)


def _scaled(digit: np.ndarray, u: float) -> np.ndarray | None:
    """What of a digit has ink, at a height that is drawn; None if it is too wide then."""
    ys, xs = np.nonzero(digit > _INK)
    tight = digit[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    height = _whole(_HEIGHTS, u)
    width = max(_WIDTHS[0], round(tight.shape[1] * height / tight.shape[0]))
    if width > _WIDTHS[1]:
        return None
    return np.asarray(Image.fromarray(tight).resize((width, height), Image.Resampling.BILINEAR))


def _lay(canvas: np.ndarray, y: int, x: int, strokes: np.ndarray) -> None:
    place = canvas[y : y + strokes.shape[0], x : x + strokes.shape[1]]
    np.maximum(place, strokes, out=place)


def _overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(min(a[i + 2], b[i + 2]) - max(a[i], b[i]) > _OVERLAP for i in range(2))


def _noise(seed: int, split: str, index: int) -> np.ndarray:
    """Nearly normal: sums of three draws, which are the same numbers on every machine."""
    stream = (SPLITS.index(split) + len(SPLITS)) * 2**32 + index
    sums = draws.uniforms((seed, stream), 3 * SIZE * SIZE).reshape(SIZE, SIZE, 3).sum(axis=-1)
    return _NOISE * 2 * (sums - 1.5)


def _between(ends: tuple[float, float], u: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * u


def _whole(ends: tuple[int, int], u: float) -> int:
    """One of the integers between two, both included."""
    return ends[0] + int((ends[1] - ends[0] + 1) * u)
