"""Maxima and means over windows, whose gradients are fast on CPU."""

import functools
import itertools
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from effjax.models.depthwise import Pads


def max_pool(x: jax.Array, size: int, stride: int, pads: Pads) -> jax.Array:
    """``nn.max_pool`` over square windows, to the bit, and so are gradients: of equal elements the first gets it.

    XLA scatters the gradient on CPU, element by element; sums of shifted choices, one a place in the window, are many
    times faster. Elsewhere it is XLA's.

    Args:
      x: ``[B, H, W, C]``, finite.
      size: of a window, both sides.
      stride: of both axes.
      pads: before and after the rows, and the columns; nothing there is a maximum.

    Returns:
      ``[B, H', W', C]``.

    Example:
      >>> x = jnp.array([[1.0, 5.0, 5.0, 2.0]]).reshape(1, 1, 4, 1)
      >>> jax.grad(lambda x: max_pool(x, 3, 1, ((1, 1), (1, 1))).sum())(x).ravel()
      Array([0., 3., 1., 0.], dtype=float32)
    """
    return cast(jax.Array, _max_pool(x, size, stride, pads))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x, size, stride, pads):
    return _by_xla(x, size, stride, pads)


def _forward(x, size, stride, pads):
    y = _by_xla(x, size, stride, pads)
    return y, (x, y)


def _backward(size, stride, pads, saved, gradient):
    x, y = saved

    def by_xla(x, y, gradient):
        return jax.vjp(lambda x: _by_xla(x, size, stride, pads), x)[1](gradient)[0]

    by_choices = functools.partial(_by_choices, size=size, stride=stride, pads=pads)
    return (jax.lax.platform_dependent(x, y, gradient, cpu=by_choices, default=by_xla),)


_max_pool.defvjp(_forward, _backward)


def _by_xla(x: jax.Array, size: int, stride: int, pads: Pads) -> jax.Array:
    return nn.max_pool(x, (size, size), (stride, stride), pads)  # pyright: ignore[reportArgumentType] (it takes pairs)


def _by_choices(x: jax.Array, y: jax.Array, gradient: jax.Array, *, size: int, stride: int, pads: Pads) -> jax.Array:
    """Places that are a stride apart belong to the same places of their windows, so each of these sets is one sum."""
    (top, _), (left, _), (batch, rows, columns, channels) = *pads, y.shape
    down, across = (-(-size // stride) - 1 + count for count in (rows, columns))  # in strides, what windows reach
    padded = _cut(x, (top, left), (down * stride, across * stride), -jnp.inf)
    blocks = padded.reshape(batch, down, stride, across, stride, channels)
    chosen, found = {}, jnp.zeros(y.shape, bool)
    for i, j in itertools.product(range(size), repeat=2):
        (row, below), (column, beside) = divmod(i, stride), divmod(j, stride)
        here = (blocks[:, row : row + rows, below, column : column + columns, beside] == y) & ~found
        chosen[i, j], found = jnp.where(here, gradient, 0), found | here

    def total(below: int, beside: int) -> jax.Array:
        found = jnp.zeros((batch, down, across, channels), gradient.dtype)
        # Backwards: the windows of an element are added in the order in which they lie, as XLA adds them.
        for i, j in itertools.product(range(below, size, stride)[::-1], range(beside, size, stride)[::-1]):
            found += _cut(chosen[i, j], (i // stride, j // stride), (down, across), 0)
        return found

    lines = [jnp.stack([total(below, beside) for beside in range(stride)], 3) for below in range(stride)]
    whole = jnp.stack(lines, 2).reshape(batch, down * stride, across * stride, channels)
    return _cut(whole, (-top, -left), x.shape[1:3], 0)


def average_pool(x: jax.Array, size: int, stride: int, pads: Pads) -> jax.Array:
    """``nn.avg_pool`` over square windows, to the bit, zeros at the sides counted; so are gradients, but for rounding.

    Where windows overlap, XLA's gradient is a pass over mostly zeros on CPU, which takes ten times as long as a sum of
    what each place of the windows gets. Elsewhere it is XLA's.

    Args:
      x: ``[B, H, W, C]``.
      size: of a window, both sides.
      stride: of both axes.
      pads: before and after the rows, and the columns; zeros are there.

    Returns:
      ``[B, H', W', C]``.

    Example:
      >>> x = jnp.array([[1.0, 5.0, 3.0]]).reshape(1, 1, 3, 1)
      >>> jax.grad(lambda x: 9 * average_pool(x, 3, 1, ((1, 1), (1, 1))).sum())(x).ravel()
      Array([2., 3., 2.], dtype=float32)
    """
    return cast(jax.Array, _average_pool(x, size, stride, pads))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _average_pool(x, size, stride, pads):
    return nn.avg_pool(x, (size, size), (stride, stride), pads)


def _forward_average(x, size, stride, pads):
    return _average_pool(x, size, stride, pads), x


def _backward_average(size, stride, pads, x, gradient):
    def by_xla(x, gradient):
        return jax.vjp(lambda x: nn.avg_pool(x, (size, size), (stride, stride), pads), x)[1](gradient)[0]

    def by_sums(x, gradient):
        shares, whole = gradient / size**2, jnp.zeros_like(x)
        for place in itertools.product(range(size), repeat=2):
            around = []
            for first, (before, _), side, count in zip(place, pads, x.shape[1:3], shares.shape[1:3], strict=True):
                begin = first - before
                around.append((begin, side - begin - (count - 1) * stride - 1, stride - 1))
            whole += jax.lax.pad(shares, jnp.zeros((), shares.dtype), [(0, 0, 0), *around, (0, 0, 0)])
        return whole

    return (jax.lax.platform_dependent(x, gradient, cpu=by_sums, default=by_xla),)


_average_pool.defvjp(_forward_average, _backward_average)


@jax.custom_vjp
def max_pool_2x2(x: jax.Array) -> jax.Array:
    """Non-overlapping 2×2 max-pooling, whose gradient is faster on CPU than that of ``nn.max_pool``.

    Elements that share the maximum share the gradient, as everywhere in JAX but in ``nn.max_pool``, which gives it to
    the first.

    Args:
      x: ``[B, H, W, C]``; an odd last row or column is left out.

    Returns:
      ``[B, ⌊H/2⌋, ⌊W/2⌋, C]``.
    """
    return _windows_2x2(x).max((2, 4))


def _forward_2x2(x):
    y = max_pool_2x2(x)
    return y, (x, y)


def _backward_2x2(saved, gradient):
    x, y = saved
    here = (_windows_2x2(x) == y[:, :, None, :, None]).astype(gradient.dtype)
    # Four terms are added for all places at once; XLA's sum over two axes takes the places one by one.
    shared = here[:, :, 0, :, 0] + here[:, :, 0, :, 1] + here[:, :, 1, :, 0] + here[:, :, 1, :, 1]
    parts = here * (gradient / shared)[:, :, None, :, None]
    batch, height, _, width, _, channels = parts.shape
    whole = parts.reshape(batch, 2 * height, 2 * width, channels)
    return (_cut(whole, (0, 0), x.shape[1:3], 0),)


max_pool_2x2.defvjp(_forward_2x2, _backward_2x2)


def _windows_2x2(x: jax.Array) -> jax.Array:
    """``[B, ⌊H/2⌋, 2, ⌊W/2⌋, 2, C]``."""
    batch, height, width, channels = x.shape
    height, width = height // 2, width // 2
    return x[:, : 2 * height, : 2 * width].reshape(batch, height, 2, width, 2, channels)


def _cut(x: jax.Array, before: tuple[int, int], sides: tuple[int, ...], value: float) -> jax.Array:
    """Images with so many rows and columns before, less where that is negative, and as many after as make the sides."""
    around = [
        (first, side - first - length, 0) for first, side, length in zip(before, sides, x.shape[1:3], strict=True)
    ]
    return jax.lax.pad(x, jnp.asarray(value, x.dtype), [(0, 0, 0), *around, (0, 0, 0)])
