"""Linear maps of images that act on rows and on columns: two small matrix products."""

import jax
import jax.numpy as jnp
import numpy as np

from effjax.numerics import EXACT

Size = int | tuple[int, int]


def check_size(name: str, images: jax.Array, size: Size) -> tuple[int, int]:
    """Returns ``size`` as (height, width).

    Args:
      name: of the operation, for the error.
      images: ``[..., H, W, C]``, float.
      size: pixels: one number for both axes, or (height, width).

    Raises:
      TypeError: if the images are not float.
      ValueError: if they have fewer than three axes, or ``size`` is not one or two whole numbers above 0.
    """
    if images.ndim < 3:
        raise ValueError(f"{name}: images must be [..., H, W, C], got shape {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"{name}: images must be float, got {images.dtype}")
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    whole = [isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in pair]
    if len(pair) != 2 or not all(whole):
        raise ValueError(f"{name}: size={size!r}; allowed: a whole number of pixels above 0, or (height, width)")
    return pair


def compute_dtype(images: jax.Array) -> jnp.dtype:
    """Returns what filters of ``images`` are computed in: float32, or float64 if the images are."""
    return jnp.promote_types(images.dtype, jnp.float32)


def on_rows_and_columns(images: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    """Returns ``rows · image · columnsᵀ``, channel by channel, in full precision.

    Args:
      images: ``[..., H, W, C]``, float32 or float64.
      rows: ``[h, H]``, a constant of the compiled program.
      columns: ``[w, W]``, likewise.

    Returns:
      ``[..., h, w, C]``, of the images' dtype.
    """
    row_matrix, column_matrix = jnp.asarray(rows, images.dtype), jnp.asarray(columns, images.dtype)
    # Left to itself the GPU or TPU multiplies in TF32 or bfloat16, with errors a thousand times as large.
    return jnp.einsum("hH,wW,...HWc->...hwc", row_matrix, column_matrix, images, precision=EXACT)
