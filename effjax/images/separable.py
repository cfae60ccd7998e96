"""Linear maps of images that act on rows and on columns: two small matrix products."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from effjax.numerics import EXACT

Size = int | tuple[int, int]

_BLOCKS = 8  # that the outputs of an axis are cut into, where most weights are zero
_FEW_CHANNELS = 4
_WORTH = 0.7  # of a matrix' weights, that the blocks may hold


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

    On CPU a matrix that is a band, as those of resizing are, is cut into a few blocks, so that what is zero is not
    multiplied; GPUs and TPUs are faster with one product.

    Args:
      images: ``[..., H, W, C]``, float32 or float64.
      rows: ``[h, H]``, a constant of the compiled program.
      columns: ``[w, W]``, likewise.

    Returns:
      ``[..., h, w, C]``, of the images' dtype.
    """
    blocks = _blocks(rows), _blocks(columns)
    kept = sum(block.weights.size for of_axis in blocks for block in of_axis)
    if kept > _WORTH * (rows.size + columns.size):
        return _dense(images, rows, columns)
    return jax.lax.platform_dependent(
        images, cpu=lambda images: _banded(images, *blocks), default=lambda images: _dense(images, rows, columns)
    )


def _dense(images: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    row_matrix, column_matrix = jnp.asarray(rows, images.dtype), jnp.asarray(columns, images.dtype)
    # Left to itself the GPU or TPU multiplies in TF32 or bfloat16, with errors a thousand times as large.
    return jnp.einsum("hH,wW,...HWc->...hwc", row_matrix, column_matrix, images, precision=EXACT)


class _Block(NamedTuple):
    """Some outputs in a row ``[n]``, of the inputs from ``start`` to ``stop`` that have a weight in one of them."""

    start: int
    stop: int
    weights: np.ndarray  # [n, stop - start]

    def of_channels(self, channels: int) -> "_Block":
        """The same for pixels with so many channels in a row."""
        weights = np.kron(self.weights, np.eye(channels))
        return _Block(self.start * channels, self.stop * channels, weights)


def _blocks(matrix: np.ndarray) -> list[_Block]:
    """Cuts a matrix ``[m, n]`` into bands of outputs, each with the inputs that it touches."""
    found = []
    for part in np.array_split(matrix, min(_BLOCKS, len(matrix))):
        touched = np.flatnonzero(np.abs(part).max(0) > 0)
        start, stop = (int(touched[0]), int(touched[-1]) + 1) if touched.size else (0, 1)
        found.append(_Block(start, stop, part[:, start:stop]))
    return found


def _banded(images: jax.Array, rows: list[_Block], columns: list[_Block]) -> jax.Array:
    *batch, height, width, channels = images.shape
    # Rows first: their pixels lie in memory one after the other.
    x = images.reshape(-1, height, width * channels)
    x = jnp.concatenate([_product("hH,bHq->bhq", block, x) for block in rows], 1)
    if channels <= _FEW_CHANNELS:
        # One product of all channels of a row, by a matrix that keeps them apart, is faster than one by one.
        x = x.reshape(-1, width * channels)
        wide = [block.of_channels(channels) for block in columns]
        x = jnp.concatenate([_product("wW,bW->bw", block, x) for block in wide], 1)
    else:
        x = jnp.concatenate([_product("wW,bWc->bwc", block, x.reshape(-1, width, channels)) for block in columns], 1)
    heights, widths = (sum(len(block.weights) for block in of_axis) for of_axis in (rows, columns))
    return x.reshape(*batch, heights, widths, channels)


def _product(form: str, block: _Block, x: jax.Array) -> jax.Array:
    weights = jnp.asarray(block.weights, x.dtype)
    return jnp.einsum(form, weights, x[:, block.start : block.stop], precision=EXACT)
