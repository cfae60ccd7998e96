"""Where on an image a network looks, as a warm light."""

import numpy as np

_WARM = np.array([255, 120, 0], np.float32)
_STRENGTH = 0.65  # of the light where it is strongest


def heated(image: np.ndarray, weights: np.ndarray, least: int = 128) -> np.ndarray:
    """Lights the places of an image by their weights.

    Args:
      image: uint8 ``[H, W, 1 or 3]``.
      weights: of the places of a grid of the image's form, row by row ``[places]``, 0 or more.
      least: pixels that its longer side has at least: a small image is enlarged by a whole factor.

    Returns:
      uint8 ``[h, w, 3]``.

    Raises:
      ValueError: if no grid of the image's form has so many places.
    """
    height, width = image.shape[:2]
    rows = max(1, round((len(weights) * height / width) ** 0.5))
    if len(weights) % rows:
        raise ValueError(f"{len(weights)} places are no grid over an image of {height}×{width}")
    factor = max(1, -(-least // max(height, width)))
    pixels = np.repeat(np.repeat(image, factor, 0), factor, 1).astype(np.float32)
    grid = np.asarray(weights, np.float32).reshape(rows, -1) / max(float(np.max(weights)), 1e-12)
    down = np.arange(len(pixels)) * rows // len(pixels)
    right = np.arange(pixels.shape[1]) * grid.shape[1] // pixels.shape[1]
    light = _STRENGTH * grid[down][:, right, None]
    return np.round(pixels * (1 - light) + _WARM * light).astype(np.uint8)
