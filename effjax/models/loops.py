"""Passes over feature maps, as loops on CPU: there XLA fuses neither into them nor out of them.

What it would fuse otherwise are whole chains of residual blocks into the transposes that gradients of kernels begin
with, computed again for each of them; and its own sums over all but the last axis are slow.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

_CHUNK = 1 << 18  # bytes of an operand that a step of a loop reads: what is added up stays in the second cache


def added(of: Callable[..., tuple[jax.Array, ...]], arrays: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    """What ``of`` makes of the arrays ``[..., C]``, added up to ``[C]``."""

    def at_once(*arrays):
        return tuple(one.sum(tuple(range(one.ndim - 1))) for one in of(*arrays))

    def in_chunks(*arrays):
        rows = _rows(arrays[0])
        first = of(*(array[:, :rows] for array in arrays))

        def add(index, sums):
            return tuple(map(jnp.add, sums, of(*_chunk(arrays, index, rows))))

        sums = jax.lax.fori_loop(1, arrays[0].shape[1] // rows, add, first)
        return tuple(one.sum((0, 1, 2)) for one in sums)

    return _on_each_platform(in_chunks, at_once, arrays)


def mapped(of: Callable[..., tuple[jax.Array, ...]], arrays: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    """What ``of`` makes of the arrays, element by element."""

    def in_chunks(*arrays):
        rows = _rows(arrays[0])
        shapes = jax.eval_shape(of, *arrays)

        def write(index, results):
            new = of(*_chunk(arrays, index, rows))
            place = functools.partial(jax.lax.dynamic_update_slice_in_dim, start_index=index * rows, axis=1)
            return tuple(place(result, one) for result, one in zip(results, new, strict=True))

        empty = tuple(jnp.zeros(one.shape, one.dtype) for one in shapes)
        return jax.lax.fori_loop(0, arrays[0].shape[1] // rows, write, empty)

    return _on_each_platform(in_chunks, of, arrays)


def _on_each_platform(in_chunks: Callable, at_once: Callable, arrays: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    if arrays[0].ndim != 4:  # [B, C] of vectors
        return at_once(*arrays)
    return jax.lax.platform_dependent(*arrays, cpu=in_chunks, default=at_once)


def _rows(x: jax.Array) -> int:
    """How many rows of all images a step of a loop takes: of the batch's axis it takes all, which may be on devices."""
    height = x.shape[1]
    fitting = max(1, _CHUNK * height // max(1, x.size * 4))
    return next(rows for rows in range(min(fitting, height), 0, -1) if height % rows == 0)


def _chunk(arrays: Sequence[jax.Array], index: jax.Array, rows: int) -> list[jax.Array]:
    return [jax.lax.dynamic_slice_in_dim(array, index * rows, rows, axis=1) for array in arrays]
