"""95 % intervals for means and shares over examples, and for the difference of two on the same examples."""

from typing import NamedTuple

import chex
import jax.numpy as jnp
from jax.typing import ArrayLike

_Z = 1.959964  # 97.5 % of a normal distribution lie below


class Interval(NamedTuple):
    """An estimate ``[]`` between the ends of its 95 % interval.

    The examples are what is drawn at random: the interval says nothing of how training with another seed would differ.
    """

    value: ArrayLike
    low: ArrayLike
    high: ArrayLike


def mean_interval(values: ArrayLike) -> Interval:
    """The mean of values ``[N]`` over examples, N at least 2, with its normal interval.

    Args:
      values: ``[N]``, N at least 2.

    Returns:
      The mean and the ends of its interval, ``[]`` each.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> [round(float(end), 2) for end in mean_interval([0.0, 1.0, 0.0, 1.0])]  # ½ ± 1.96 √⅓ / 2
      [0.5, -0.07, 1.07]
    """
    values = jnp.asarray(values, jnp.float32)
    chex.assert_rank(values, 1)
    mean = values.mean()
    error = _Z * values.std(ddof=1) / jnp.sqrt(len(values))
    return Interval(mean, mean - error, mean + error)


def wilson_interval(hits: ArrayLike) -> Interval:
    """The share of true values among ``hits`` ``[N]``, with its score interval: right for shares near 0 and 1 too.

    Args:
      hits: ``[N]`` booleans.

    Returns:
      The share and the ends of its interval, ``[]`` each, in ``[0, 1]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> [round(float(end), 2) for end in wilson_interval([True] * 10)]  # ten of ten may be 72 %
      [1.0, 0.72, 1.0]

    References:
      Wilson, `Probable Inference, the Law of Succession, and Statistical Inference
      <https://doi.org/10.1080/01621459.1927.10502953>`_, 1927.
    """
    hits = jnp.asarray(hits, jnp.float32)
    chex.assert_rank(hits, 1)
    n, share = len(hits), hits.mean()
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * jnp.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return Interval(share, jnp.clip(middle - half, 0.0, share), jnp.clip(middle + half, share, 1.0))


def paired_interval(ours: ArrayLike, theirs: ArrayLike) -> Interval:
    """The mean difference of values ``[N]`` on the same examples, with the normal interval of the differences.

    Pairing takes out what the examples have in common: easy ones are easy for both.

    Args:
      ours: ``[N]``.
      theirs: ``[N]``, of the same examples in the same order.

    Returns:
      The mean of ``ours - theirs`` and the ends of its interval, ``[]`` each.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> [float(end) for end in paired_interval([0.5, 0.75, 1.0], [0.25, 0.5, 0.75])]  # always a quarter more
      [0.25, 0.25, 0.25]
    """
    ours, theirs = jnp.asarray(ours, jnp.float32), jnp.asarray(theirs, jnp.float32)
    chex.assert_equal_shape([ours, theirs])
    return mean_interval(ours - theirs)
