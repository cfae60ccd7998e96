"""Feature maps blurred while a network trains: what convolutions put out, before anything else is done to it."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from effjax.models.depthwise import DepthwiseConv


def smoothed_maps(sigma: jax.Array | float) -> contextlib.AbstractContextManager[Any]:
    """Within it, networks that are applied blur what each of their convolutions puts out, but those of single pixels.

    Args:
      sigma: the standard deviation of the Gaussian, in pixels of the map, ``[]``. It may be traced; 0 changes
        nothing.

    References:
      Sinha et al., `Curriculum By Smoothing <https://arxiv.org/abs/2003.01367>`_, 2020, and its code,
      https://github.com/pairlab/CBS (3×3 pixels, zeros around the map).
    """
    return nn.intercept_methods(functools.partial(_blurred, sigma))


def _blurred(sigma: jax.Array | float, following: Callable, args: Any, options: Any, context: Any) -> Any:
    maps = following(*args, **options)
    layer = context.module
    if not isinstance(layer, nn.Conv | DepthwiseConv) or context.method_name != "__call__":
        return maps
    return gaussian_blur(maps, sigma) if np.max(layer.kernel_size) > 1 else maps


def gaussian_blur(maps: jax.Array, sigma: jax.Array | float) -> jax.Array:
    """Blurs ``[B, H, W, C]`` by a Gaussian of 3×3 pixels whose sum is 1, with zeros around the map.

    >>> x = jnp.zeros((1, 3, 3, 1)).at[0, 1, 1, 0].set(1.0)
    >>> gaussian_blur(x, 1.0)[0, 1, :, 0].round(4)
    Array([0.1238, 0.2042, 0.1238], dtype=float32)
    """
    side = jnp.exp(-0.5 / jnp.maximum(jnp.square(jnp.asarray(sigma, jnp.float32)), 1e-6))
    middle = 1.0 / (1.0 + 2.0 * side)
    middle, side = middle.astype(maps.dtype), (side * middle).astype(maps.dtype)
    for axis in (1, 2):
        pads = [(0, 0)] * 4
        pads[axis] = (1, 1)
        padded, size = jnp.pad(maps, pads), maps.shape[axis]
        before, after = (jax.lax.slice_in_dim(padded, start, start + size, axis=axis) for start in (0, 2))
        maps = middle * maps + side * (before + after)
    return maps
