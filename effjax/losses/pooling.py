"""Feature maps of one size, where those of a student and a teacher differ."""

import jax
import jax.numpy as jnp
import numpy as np

from effjax.numerics import EXACT


def averaged(maps: jax.Array, height: int, width: int) -> jax.Array:
    """Averages ``[B, H, W, C]`` down to ``[B, height, width, C]``, as PyTorch's adaptive pooling does."""
    if maps.shape[1:3] == (height, width):
        return maps
    rows, columns = _averages(maps.shape[1], height), _averages(maps.shape[2], width)
    return jnp.einsum("ph,qw,bhwc->bpqc", rows.astype(maps.dtype), columns.astype(maps.dtype), maps, precision=EXACT)


def _averages(size: int, smaller: int) -> np.ndarray:
    """The matrix ``[smaller, size]`` whose row i averages the cells that the i-th of equal parts touches."""
    starts = np.arange(smaller) * size // smaller
    stops = -(-np.arange(1, smaller + 1) * size // smaller)
    cells = np.arange(size)
    inside = (cells >= starts[:, None]) & (cells < stops[:, None])
    return inside / inside.sum(1, keepdims=True)
