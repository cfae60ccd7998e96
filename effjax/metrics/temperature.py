"""One temperature that makes a classifier's confidence fit its accuracy."""

import chex
import jax
import jax.numpy as jnp

from effjax.typing import Array

_LEAST, _MOST, _HALVINGS = 0.05, 20.0, 40


def fit_temperature(logits: Array, labels: Array) -> jax.Array:
    """Finds the temperature T at which softmax(logits / T) has the least negative log-likelihood.

    Fit it on validation data, and divide the test data's logits by it. Of an ensemble, pass the logarithm of the mean
    probabilities.

    Args:
      logits: ``[N, K]``, finite.
      labels: ``[N]`` integer classes.

    Returns:
      T, ``[]``, between 0.05 and 20.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> logits = jnp.tile(jnp.array([2.0 * jnp.log(3.0), 0.0]), (4, 1))  # 90 % sure
      >>> fit_temperature(logits, jnp.array([0, 0, 0, 1]))  # 75 % right: the logit should be log 3
      Array(2., dtype=float32, weak_type=True)

    References:
      Guo et al., `On Calibration of Modern Neural Networks <https://arxiv.org/abs/1706.04599>`_, 2017, sec. 4.2.
    """
    logits, labels = jnp.asarray(logits, jnp.float32), jnp.asarray(labels)
    chex.assert_rank([logits, labels], [2, 1])
    chex.assert_equal_shape_prefix([logits, labels], 1)
    labelled = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]

    def slope(inverse: jax.Array) -> jax.Array:
        """Of the negative log-likelihood in 1 / T, in which it is convex: the slope rises."""
        return ((jax.nn.softmax(logits * inverse) * logits).sum(-1) - labelled).mean()

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = jnp.sqrt(low * high)
        rises = slope(middle) > 0
        return jnp.where(rises, low, middle), jnp.where(rises, middle, high)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.asarray(1 / _MOST), jnp.asarray(1 / _LEAST)))
    return 1.0 / jnp.sqrt(low * high)
