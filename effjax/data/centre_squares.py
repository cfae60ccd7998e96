"""What becomes of boxes where an image's centre square is cut out, as decoding to one size does."""

import numpy as np
import numpy.typing as npt

LEAST = 0.1  # a box is lost if less of its area is left: as where a view moves the pixels, see images.targets


def boxes_in_square(boxes: np.ndarray, height: npt.ArrayLike, width: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Moves boxes from an image to its centre square.

    >>> boxes_in_square(np.array([[0, 0.25, 0.5, 0.75]]), height=30, width=40)[0].round(3).tolist()
    [[0.0, 0.167, 0.5, 0.833]]

    Args:
      boxes: ``[..., 4]`` y0, x0, y1, x1 in [0, 1] of the image.
      height: of the image, in any unit; of boxes of several, that of each: ``[...]``.
      width: likewise.

    Returns:
      The boxes in [0, 1] of the square, float32, cut off at its sides; and which of them still show at least a tenth
      of their area, ``[...]``.
    """
    boxes = np.asarray(boxes, np.float64)
    sides = np.stack(np.broadcast_arrays(height, width, height, width), axis=-1)
    scale = sides / sides.min(axis=-1, keepdims=True)
    whole = np.where(scale == 1, boxes, (boxes - 0.5) * scale + 0.5)
    cut = np.clip(whole, 0, 1)
    left, of = _area(cut), _area(whole)
    uncut = (scale == 1).all(axis=-1)  # there boxes without an area stay, too
    return cut.astype(np.float32), uncut | (left > 0) & (left >= LEAST * of)


def boxes_on_whole(boxes: np.ndarray, height: npt.ArrayLike, width: npt.ArrayLike) -> np.ndarray:
    """Moves boxes from an image's centre square to the image.

    >>> boxes_on_whole(np.array([[0, 0, 0.5, 1]]), height=30, width=40)[0].tolist()
    [0.0, 0.125, 0.5, 0.875]

    Args:
      boxes: ``[..., 4]`` y0, x0, y1, x1 in [0, 1] of the square.
      height: of the image, see :func:`boxes_in_square`.
      width: likewise.

    Returns:
      The boxes in [0, 1] of the image.
    """
    sides = np.stack(np.broadcast_arrays(height, width, height, width), axis=-1)
    return (np.asarray(boxes, np.float64) - 0.5) * (sides.min(axis=-1, keepdims=True) / sides) + 0.5


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)
