"""How alike two networks represent the same examples."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from effjax.numerics import EXACT


def cka(x: jax.Array, y: jax.Array) -> jax.Array:
    """Linear centred kernel alignment of two representations of the same examples.

    1 if they are equal up to a rotation, a scale and a shift; of independent ones it is low only where there are far
    more examples than features (see :class:`MinibatchCka`, which has no such bias).

    Args:
      x: ``[N, ...]``; all axes but the first are features.
      y: ``[N, ...]``, with other features and other numbers of them.

    Returns:
      ``[]`` in ``[0, 1]``; 0 where a representation is the same for all examples.

    Raises:
      AssertionError: if the numbers of examples differ.

    Example:
      >>> x = jnp.array([[0.0, 1.0], [2.0, 0.0], [1.0, 3.0]])
      >>> cka(x, 5.0 - 2.0 * x[:, ::-1])  # reflected, scaled, shifted
      Array(1., dtype=float32)

    References:
      Kornblith et al., `Similarity of Neural Network Representations Revisited <https://arxiv.org/abs/1905.00414>`_,
      2019, eq. 2 and 3.
    """
    chex.assert_equal_shape_prefix([x, y], 1)
    x, y = _of_unit_range(_centred(_flat(x))), _of_unit_range(_centred(_flat(y)))
    if len(x) <= max(x.shape[1], y.shape[1]):  # the smaller of the two equal forms
        gram_x, gram_y = jnp.matmul(x, x.T, precision=EXACT), jnp.matmul(y, y.T, precision=EXACT)
        return _aligned((gram_x * gram_y).sum(), jnp.square(gram_x).sum(), jnp.square(gram_y).sum())
    return _aligned(_cross(x, y), _cross(x, x), _cross(y, y))


def linear_gram(x: jax.Array) -> jax.Array:
    """Scalar products of the examples' features, divided by the number of features so that large maps stay in range.

    Args:
      x: ``[N, ...]``; all axes but the first are features.

    Returns:
      ``[N, N]``, of the centred features.
    """
    x = _centred(_flat(x))
    return jnp.matmul(x, x.T, precision=EXACT) / x.shape[1]


def unbiased_hsic(gram_x: jax.Array, gram_y: jax.Array) -> jax.Array:
    """An unbiased estimate of the Hilbert–Schmidt independence criterion; 0 in expectation for independent features.

    Args:
      gram_x: Gram matrix ``[N, N]`` of at least 4 examples, centred or not.
      gram_y: another of the same examples.

    Returns:
      ``[]``, of either sign.

    Raises:
      AssertionError: if the shapes differ.

    References:
      Song et al., `Feature Selection via Dependence Maximization <https://jmlr.org/papers/v13/song12a.html>`_, 2012,
      eq. 5.
    """
    chex.assert_equal_shape([gram_x, gram_y])
    n = len(gram_x)
    x, y = (jnp.where(jnp.eye(n, dtype=bool), 0.0, gram) for gram in (gram_x, gram_y))
    own = (x * y).sum()
    all_pairs = x.sum() * y.sum() / ((n - 1) * (n - 2))
    through = 2.0 * (x.sum(0) * y.sum(0)).sum() / (n - 2)
    return (own + all_pairs - through) / (n * (n - 3))


class MinibatchCka(NamedTuple):
    """Linear CKA over batches: sums of unbiased estimates, whose memory does not grow with the examples.

    Unlike :func:`cka` it does not depend on how many features there are, and may be a little above 1 or below 0.

    Attributes:
      xy: the sum over batches of :func:`unbiased_hsic` of both, ``[]``.
      xx: of the first with itself.
      yy: of the second with itself.

    References:
      Nguyen et al., `Do Wide and Deep Networks Learn the Same Things? <https://arxiv.org/abs/2010.15327>`_, 2021,
      eq. 2 and 3.
    """

    xy: jax.Array
    xx: jax.Array
    yy: jax.Array

    @classmethod
    def empty(cls) -> "MinibatchCka":
        """The alignment of nothing."""
        zero = jnp.zeros((), jnp.float32)
        return cls(zero, zero, zero)

    def update(self, gram_x: jax.Array, gram_y: jax.Array) -> "MinibatchCka":
        """Adds the Gram matrices ``[N, N]`` of one batch; all batches must be of one size, 4 or more."""
        sums = (unbiased_hsic(*pair) for pair in ((gram_x, gram_y), (gram_x, gram_x), (gram_y, gram_y)))
        return self.merge(MinibatchCka(*sums))

    def merge(self, other: "MinibatchCka") -> "MinibatchCka":
        """The alignment over what either has seen."""
        return MinibatchCka(*(a + b for a, b in zip(self, other, strict=True)))

    def compute(self) -> jax.Array:
        """The alignment ``[]``; 0 where a representation is the same for all examples."""
        return _aligned(self.xy, self.xx, self.yy)


def _flat(x: jax.Array) -> jax.Array:
    return jnp.asarray(x, jnp.float32).reshape(len(x), -1)


def _centred(x: jax.Array) -> jax.Array:
    return x - x.mean(0)


def _of_unit_range(x: jax.Array) -> jax.Array:
    """The fourth powers that follow stay in range."""
    largest = jnp.abs(x).max()
    return x / jnp.where(largest > 0, largest, 1.0)


def _cross(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.square(jnp.matmul(x.T, y, precision=EXACT)).sum()


def _aligned(xy: jax.Array, xx: jax.Array, yy: jax.Array) -> jax.Array:
    defined = (xx > 0) & (yy > 0)
    xx, yy = (jnp.where(defined, own, 1.0) for own in (xx, yy))
    return jnp.where(defined, xy / (jnp.sqrt(xx) * jnp.sqrt(yy)), 0.0)
