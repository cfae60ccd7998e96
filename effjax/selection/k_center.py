"""Covering a pool: each pick is the example furthest from all that are labelled or picked.

One pass over the pool for every pick would read all of it from memory each time. Distances to the nearest centre only
shrink, so those of a while ago are bounds: the picks are made among the few hundred examples that were furthest, whose
distances to one another are known, for as long as one of them is as far as any other example can be; then one pass
takes in all that have been picked. The picks are those of one pass each.

Of a pool that is divided among devices, each passes over its own part, and all of them pick among the same few hundred:
those candidates, with their features, are all that is sent, once a pass.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from effjax.numerics import check_finite
from effjax.selection.checks import check_count, check_positions
from effjax.selection.passes import CHUNK, Picked, first_picked, taken
from effjax.selection.pools import bucket, by_rows, padded
from effjax.selection.products import in_range, product
from effjax.selection.ties import highest_of, highest_one, lots
from effjax.typing import Array, Device

_HIGHEST_LOT = np.iinfo(np.uint32).max
_PARTS = "parts"  # the axis of devices that share a pool
_FURTHEST = 512  # examples among which picks are made between two passes


def k_center_greedy(
    features: Array,
    k: int,
    labelled: Array | None = None,
    *,
    key: jax.Array | None = None,
    devices: Sequence[Device] = (),
) -> jax.Array:
    """Picks k centres greedily: at most twice the radius of the best k.

    Args:
      features: ``[N, D]`` of the pool, finite.
      k: how many, from 1 to N, or to what is not labelled.
      labelled: what is labelled already: their features ``[L, D]``, or their positions in ``features``, ``[L]``
        integers; these are not picked again. With none, the first centre is the example nearest to the mean.
      key: a PRNG key, of the lots that tell equal distances apart; None is always the same one.
      devices: of this process, which share the pool: each holds a part of it, and the picks are the same but for
        rounding. Without any it is the default device. Not inside another program.

    Returns:
      ``[k]`` int32 positions in the order they were picked, no duplicates.

    Raises:
      UserError: if k or a position is out of range or a feature is not finite.

    Example:
      >>> k_center_greedy(jnp.array([[0.0], [1.0], [10.0], [4.0]]), 2, labelled=jnp.array([0]))  # the furthest, twice
      Array([2, 3], dtype=int32)

    References:
      Sener & Savarese, `Active Learning for Convolutional Neural Networks: A Core-Set Approach
      <https://arxiv.org/abs/1708.00489>`_, 2018, algorithm 1.
    """
    chex.assert_rank(features, 2)
    check_finite("features", features)
    points, free = split_labelled(features, labelled)
    check_count(k, int(free.sum()))
    features, points = in_range(features, points)
    if len(points):
        points = padded(points, least=CHUNK, fill=points[:1])
    drawn = lots(key, np.arange(bucket(len(features))))
    devices = devices[: math.gcd(len(drawn), len(devices))]  # parts of one size
    if len(devices) < 2:
        return _greedy(padded(features), points, padded(free, dtype=bool), drawn, k)
    mesh = Mesh(np.asarray(devices), (_PARTS,))
    in_parts = NamedSharding(mesh, P(_PARTS))
    parts = padded(features, place=in_parts), padded(free, dtype=bool, place=in_parts)
    return _greedy_in_parts(*parts, jax.device_put(drawn, in_parts), points, k, mesh)


def split_labelled(features: Array, labelled: Any) -> tuple[Array, np.ndarray]:
    """What is labelled: its features ``[L, D]``, and which of the pool may still be picked, ``[N]``."""
    free = np.ones(len(features), bool)
    if labelled is None or len(labelled) == 0:
        return np.zeros((0, features.shape[1]), np.float32), free
    if np.ndim(labelled) == 1:
        positions = check_positions("labelled", labelled, len(features))
        free[positions] = False
        return (features if isinstance(features, jax.core.Tracer) else np.asarray(features))[positions], free
    check_finite("labelled", labelled)
    chex.assert_equal_shape_suffix([features, labelled], 1)
    return labelled, free


class _Pool(NamedTuple):
    """Features of a pool ``[N, D]`` with their mean taken off, where they are read: large ones are not copied.

    Distances do not change by it, and large offsets no longer eat up their digits.

    Attributes:
      features: of the pool, or of this device's part of it.
      mean: of the whole pool, ``[D]``.
      squares: squared lengths without the mean, ``[N]``.
      first: the position of the first of them in the whole pool.
    """

    features: jax.Array
    mean: jax.Array
    squares: jax.Array
    first: jax.Array

    @classmethod
    def of(cls, features: jax.Array, free: jax.Array, axis_name: str | None) -> "_Pool":
        weights = free.astype(features.dtype)
        # A product: on CPU jaxlib 0.10 sums over a leading axis 50 times slower.
        if axis_name is None:
            mean, first = product(weights / weights.sum(), features), jnp.int32(0)
        else:
            total = jax.lax.psum(weights.sum(), axis_name)
            mean = jax.lax.psum(product(weights / total, features), axis_name)
            first = (jax.lax.axis_index(axis_name) * len(features)).astype(jnp.int32)
        return cls(features, mean, by_rows(lambda rows: ((rows - mean) ** 2).sum(-1), features), first)

    def nearer(self, nearest: jax.Array, centres: jax.Array, alive: jax.Array) -> jax.Array:
        """Squared distances ``[N]`` to the nearest centre, with those of ``centres`` ``[P, D]`` that are alive."""
        squares = jnp.where(alive, (centres**2).sum(-1), jnp.inf)

        def of_rows(nearest: jax.Array, own: jax.Array, rows: jax.Array) -> jax.Array:
            apart = own + (squares - 2.0 * product(rows - self.mean, centres.T)).min(-1)
            return jnp.minimum(nearest, jnp.maximum(apart, 0.0))

        return by_rows(of_rows, nearest, self.squares, self.features)

    def without(self, nearest: jax.Array, positions: jax.Array) -> jax.Array:
        """Distances ``[N]``, -1 of those at some positions of the whole pool."""
        here = positions - self.first
        inside = (here >= 0) & (here < len(nearest))
        return nearest.at[jnp.where(inside, here, len(nearest))].set(-1.0, mode="drop")


class _Candidates(NamedTuple):
    """The examples of a pool that are furthest: their distances ``[M]``, lots, positions, features, squared lengths."""

    values: jax.Array
    drawn: jax.Array
    positions: jax.Array
    features: jax.Array
    squares: jax.Array

    @classmethod
    def of(cls, pool: _Pool, values: jax.Array, drawn: jax.Array, most: int, axis_name: str | None) -> "_Candidates":
        """The furthest by ``values`` ``[N]``; of all devices, where the pool is divided among them."""
        own = highest_of(values, drawn, min(most, len(values)))
        features = pool.features[own] - pool.mean
        found = cls(values[own], drawn[own], own + pool.first, features, pool.squares[own])
        if axis_name is None:
            return found
        found = _gathered(found, axis_name)
        best = highest_of(found.values, found.drawn, min(most, len(found.values)))
        return jax.tree.map(lambda array: array[best], found)


def _gathered(found: _Candidates, axis_name: str) -> _Candidates:
    """Those of all devices, in one message: a row each of numbers of 32 bits."""
    columns = [array[:, None] if array.ndim == 1 else array for array in found]
    numbers = [jax.lax.bitcast_convert_type(column, jnp.uint32) for column in columns]
    ends = np.cumsum([column.shape[1] for column in columns])[:-1]
    sent = jnp.split(jax.lax.all_gather(jnp.concatenate(numbers, 1), axis_name, tiled=True), ends, 1)
    received = [
        jax.lax.bitcast_convert_type(numbers, array.dtype).reshape(-1, *array.shape[1:])
        for numbers, array in zip(sent, found, strict=True)
    ]
    return _Candidates(*received)


@partial(jax.jit, static_argnames="k")
def _greedy(features: jax.Array, points: jax.Array, free: jax.Array, drawn: jax.Array, k: int) -> jax.Array:
    return _picks(features, free, drawn, points, k, None)


@partial(jax.jit, static_argnames=("k", "mesh"))
def _greedy_in_parts(
    features: jax.Array, free: jax.Array, drawn: jax.Array, points: jax.Array, k: int, mesh: Mesh
) -> jax.Array:
    function = partial(_picks, k=k, axis_name=_PARTS)
    parts = (P(_PARTS), P(_PARTS), P(_PARTS), P())
    # All devices pick among the same candidates, which JAX cannot see.
    return jax.shard_map(function, mesh=mesh, in_specs=parts, out_specs=P(), check_vma=False)(
        features, free, drawn, points
    )


def _picks(
    features: jax.Array, free: jax.Array, drawn: jax.Array, points: jax.Array, k: int, axis_name: str | None
) -> jax.Array:
    pool = _Pool.of(features, free, axis_name)
    total = len(features) * (1 if axis_name is None else jax.lax.axis_size(axis_name))
    most = min(total, max(CHUNK, min(_FURTHEST, 4 * k)))

    def passed(picked: Picked) -> Picked:
        candidates = _Candidates.of(pool, picked.nearest, drawn, most, axis_name)
        order, count = _among(candidates, k - picked.number)
        return taken(pool, picked, candidates.positions[order], candidates.features[order], count)

    nearest = jnp.where(free, jnp.inf, -1.0)
    if len(points):
        chunks = (points - pool.mean).reshape(len(points) // CHUNK, CHUNK, points.shape[1])

        def closer(nearest: jax.Array, some: jax.Array) -> tuple[jax.Array, None]:
            return pool.nearer(nearest, some, jnp.ones(CHUNK, bool)), None

        nearest = jax.lax.scan(closer, nearest, chunks)[0]
        picked = Picked(nearest, jnp.zeros(k, jnp.int32), jnp.int32(0), jnp.int32(0))
    else:  # the mean has been taken off
        middle = _Candidates.of(pool, jnp.where(free, -pool.squares, -jnp.inf), drawn, 1, axis_name)
        picked = first_picked(pool, nearest, middle.positions, middle.features, k)
    return jax.lax.while_loop(lambda picked: picked.number < k, passed, picked).picks


def _among(candidates: _Candidates, most: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Picks among candidates ``[M]`` for as long as no other example of the pool can be further.

    Args:
      candidates: with their distances at the last pass.
      most: how many picks are left.

    Returns:
      Numbers of candidates ``[M]`` in the order they are picked, and how many there are of them.
    """
    values, drawn, _, own, squares = candidates
    apart = jnp.maximum(squares[:, None] + squares - 2.0 * product(own, own.T), 0.0)
    bound = values.min()
    lot = jnp.where(values == bound, drawn, jnp.uint32(_HIGHEST_LOT)).min()  # of no other example it is higher there

    def goes_on(state: tuple[jax.Array, ...]) -> jax.Array:
        values, best, _, count = state
        beats = (values[best] > bound) | ((values[best] == bound) & (drawn[best] >= lot))
        return beats & (values[best] >= 0) & (count < most) & (count < len(drawn))

    def pick(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        values, best, order, count = state
        values = jnp.minimum(values, apart[best]).at[best].set(-1.0)
        return values, highest_one(values, drawn), order.at[count].set(best), count + 1

    start = (values, highest_one(values, drawn), jnp.zeros(len(drawn), jnp.int32), jnp.int32(0))
    *_, order, count = jax.lax.while_loop(goes_on, pick, start)
    return order, count
