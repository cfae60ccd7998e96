"""Antialiased resizing of images by polynomial and Lanczos filters."""

from collections.abc import Callable
from functools import cache

import jax
import numpy as np

from effjax.errors import check_known
from effjax.images.separable import Size, check_size, compute_dtype, on_rows_and_columns


def resize(images: jax.Array, size: Size, *, method: str = "lanczos3") -> jax.Array:
    """Resizes images with a filter that widens as they shrink, as Pillow does.

    Pixels are areas: the centre of pixel i is at i + ½. At the border the filter is cut off and its weights are
    normalised again, so a constant stays a constant. Nothing is clipped, and "lanczos3" and "cubic" overshoot at edges.

    Args:
      images: ``[..., H, W, C]``, float; below float32 they are computed in float32.
      size: pixels: one number for both axes, or (height, width); smaller or larger than the images.
      method: "lanczos3"; "cubic" (Keys' with a = −½); or "linear", which never leaves the range of the input.

    Returns:
      ``[..., height, width, C]``, of the images' dtype; ``images`` themselves if they have that size.

    Raises:
      UserError: if there is no such method.
      TypeError: if the images are not float.
      ValueError: if they have fewer than three axes, or ``size`` is not one or two whole numbers above 0.

    Example:
      >>> resize(jax.numpy.array([[[0.0], [1.0]]]), (1, 4), method="linear")[0, :, 0]
      Array([0.  , 0.25, 0.75, 1.  ], dtype=float32)

    References:
      Keys, 1981, Cubic Convolution Interpolation for Digital Image Processing,
      https://doi.org/10.1109/TASSP.1981.1163711
      Turkowski, 1990, Filters for Common Resampling Tasks (Lanczos-windowed sinc), Graphics Gems,
      https://doi.org/10.1016/B978-0-08-050753-8.50042-5
    """
    height, width = check_size("resize", images, size)
    check_known(method, _FILTERS, f"resize: method={method!r}")
    if (height, width) == images.shape[-3:-1]:
        return images
    rows = _weights(images.shape[-3], height, method)
    columns = _weights(images.shape[-2], width, method)
    return on_rows_and_columns(images.astype(compute_dtype(images)), rows, columns).astype(images.dtype)


def _lanczos3(x: np.ndarray) -> np.ndarray:
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0)


def _cubic(x: np.ndarray) -> np.ndarray:
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _linear(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - x, 0)


_FILTERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"lanczos3": _lanczos3, "cubic": _cubic, "linear": _linear}


@cache
def _weights(source: int, size: int, method: str) -> np.ndarray:
    """The resizing of one axis, ``[size, source]``; every row sums to one."""
    step = source / size
    centres = (np.arange(size) + 0.5) * step
    distances = np.abs(np.arange(source) + 0.5 - centres[:, None])
    weights = _FILTERS[method](distances / max(step, 1.0))
    return weights / weights.sum(1, keepdims=True)
