"""A dataset map without labels: what was seen of the labelled examples, extended to those that have none."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError
from effjax.numerics import check_finite
from effjax.selection.dataset_map import DatasetMap
from effjax.selection.products import in_range, product
from effjax.typing import Array

_PENALTIES = np.logspace(-3, 3, 13)  # times the mean eigenvalue of the features' Gram matrix


def extend_map(mapped: DatasetMap, features: Array, pool: Array) -> DatasetMap:
    """Predicts where unlabelled examples would lie on the map, by ridge regression on their features.

    A map needs labels: on a pool that has none it can only be guessed from the part that has. Each coordinate has a
    regression of its own, whose penalty is the best at predicting labelled examples that are left out one at a time
    (in closed form). It is a guess: measure it where labels are known before you trust it where they are not.

    Args:
      mapped: of the labelled examples, ``[L]`` each, L at least 3.
      features: ``[L, D]`` of the same.
      pool: ``[N, D]`` of the examples without labels.

    Returns:
      The guessed map of the pool, ``[N]`` each; confidence and correctness in [0, 1], variability in [0, ½].

    Raises:
      UserError: if fewer than 3 examples are mapped or a value is not finite.

    References:
      Swayamdipta et al., `Dataset Cartography <https://arxiv.org/abs/2009.10795>`_, 2020, on maps; leave-one-out
      residuals in closed form: Hastie et al., The Elements of Statistical Learning, 2009, eq. 7.64.
    """
    chex.assert_rank([features, pool], 2)
    chex.assert_equal_shape_suffix([features, pool], 1)
    if len(features) < 3:
        raise UserError(f"a map of {len(features)} labelled examples cannot be extended: label 3 or more first")
    for name, array in (("features", features), ("pool", pool), ("mapped", jnp.stack(mapped))):
        check_finite(name, array)
    features, pool = in_range(features, pool)
    targets = jnp.stack(mapped, -1).astype(jnp.float32)
    guessed = _ridge(features.astype(jnp.float32), targets, pool.astype(jnp.float32))
    limits = jnp.array([1.0, 0.5, 1.0])  # of confidence, variability, correctness
    return DatasetMap(*jnp.clip(guessed, 0.0, limits).T)


@jax.jit
def _ridge(features: jax.Array, targets: jax.Array, pool: jax.Array) -> jax.Array:
    """``[N, T]`` predictions, with the best penalty for each of the T targets."""
    centre, spread = features.mean(0), features.std(0) + 1e-6
    x, z, middle = (features - centre) / spread, (pool - centre) / spread, targets.mean(0)
    # As many unknowns as there are labelled examples, or features: an eigendecomposition costs the cube of it.
    solve = _by_examples if len(x) <= x.shape[1] else _by_features
    left_out, mean = solve(x, targets - middle)
    errors, slopes = jax.vmap(left_out)(jnp.asarray(_PENALTIES, jnp.float32) * jnp.maximum(mean, 1e-6))
    best = errors.argmin(0)
    chosen = jnp.take_along_axis(slopes, best[None, None], axis=0)[0]
    return middle + product(z, chosen)


_LeftOut = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


def _by_examples(x: jax.Array, y: jax.Array) -> tuple[_LeftOut, jax.Array]:
    """Ridge regression of ``y`` ``[L, T]`` on ``x`` ``[L, D]`` in the dual.

    Returns:
      From a penalty to the mean squared error on examples left out ``[T]`` and the slopes ``[D, T]``; and the mean
      eigenvalue of the Gram matrix ``[L, L]``.
    """
    values, vectors = jnp.linalg.eigh(product(x, x.T))
    values, rotated = jnp.maximum(values, 0.0), product(vectors.T, y)

    def left_out(penalty: jax.Array) -> tuple[jax.Array, jax.Array]:
        inverse = 1.0 / (values + penalty)
        coefficients = product(vectors, inverse[:, None] * rotated)
        # A residual is penalty · coefficient, and the error without the example is the residual over 1 − leverage;
        # the mean takes part in the fit, which adds 1/L to every leverage.
        rest = penalty * product(vectors**2, inverse) - 1.0 / len(x)
        errors = penalty * coefficients / jnp.maximum(rest, 1e-6)[:, None]
        return (errors**2).mean(0), product(x.T, coefficients)

    return left_out, values.mean()


def _by_features(x: jax.Array, y: jax.Array) -> tuple[_LeftOut, jax.Array]:
    """The same in the primal, for more examples than features."""
    values, vectors = jnp.linalg.eigh(product(x.T, x))
    values, turned = jnp.maximum(values, 0.0), product(x, vectors)
    rotated = product(turned.T, y)

    def left_out(penalty: jax.Array) -> tuple[jax.Array, jax.Array]:
        inverse = 1.0 / (values + penalty)
        slopes = inverse[:, None] * rotated
        rest = 1.0 - product(turned**2, inverse) - 1.0 / len(x)
        errors = (y - product(turned, slopes)) / jnp.maximum(rest, 1e-6)[:, None]
        return (errors**2).mean(0), product(vectors, slopes)

    return left_out, values.sum() / len(x)
