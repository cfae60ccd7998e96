"""How far a classifier's confidence is from its accuracy."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from effjax.typing import Array


class CalibrationBins(NamedTuple):
    """Sums over equal-width confidence bins: they merge exactly over batches, devices and hosts.

    Bin b of n holds confidences in ``(b/n, (b+1)/n]``.

    Attributes:
      count: examples in each bin, ``[n]``.
      confidence: the sum of their confidences, ``[n]``.
      correct: how many of them are right, ``[n]``.
    """

    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride] (tuples have a method of this name)
    confidence: jax.Array
    correct: jax.Array

    @classmethod
    def empty(cls, num_bins: int = 15) -> "CalibrationBins":
        """The bins of nothing."""
        zeros = jnp.zeros((num_bins,), jnp.float32)
        return cls(zeros, zeros, zeros)

    def update(self, probs: Array, labels: Array, *, where: Array | None = None) -> "CalibrationBins":
        """Adds probabilities ``[N, K]`` and integer labels ``[N]``, leaving out those where ``where`` is false.

        Raises:
          AssertionError: if the shapes do not fit.
        """
        probs, labels = jnp.asarray(probs), jnp.asarray(labels)
        chex.assert_rank([probs, labels], [2, 1])
        chex.assert_equal_shape_prefix([probs, labels], 1)
        num_bins = self.count.shape[0]
        where = jnp.ones(labels.shape, bool) if where is None else jnp.asarray(where, bool)
        chex.assert_equal_shape([labels, where])
        confidence = probs.max(-1).astype(jnp.float32)
        right = (jnp.argmax(probs, -1) == labels).astype(jnp.float32)
        index = jnp.clip(jnp.ceil(confidence * num_bins).astype(jnp.int32) - 1, 0, num_bins - 1)
        counted = (index[:, None] == jnp.arange(num_bins)) & where[:, None]

        def binned(values: jax.Array) -> jax.Array:  # no matrix product: accelerators would round its inputs
            return jnp.where(counted, values[:, None], 0.0).sum(0)

        return CalibrationBins(
            self.count + counted.sum(0, dtype=jnp.float32),
            self.confidence + binned(confidence),
            self.correct + binned(right),
        )

    def merge(self, other: "CalibrationBins") -> "CalibrationBins":
        """The bins of what either has seen."""
        return CalibrationBins(*(a + b for a, b in zip(self, other, strict=True)))

    def compute(self) -> jax.Array:
        """The expected calibration error, ``[]``, in ``[0, 1]``."""
        return jnp.abs(self.correct - self.confidence).sum() / self.count.sum()


def expected_calibration_error(
    probs: Array, labels: Array, *, num_bins: int = 15, where: Array | None = None
) -> jax.Array:
    """The mean gap between confidence and accuracy over equal-width bins, weighted by the bins' counts.

    Args:
      probs: probabilities ``[N, K]``.
      labels: integer classes ``[N]``.
      num_bins: equal-width bins of the confidence (the highest probability).
      where: ``[N]`` booleans; examples where it is false do not count.

    Returns:
      ``[]``, in ``[0, 1]``.

    Example:
      >>> sure = jnp.array([[0.75, 0.25], [0.75, 0.25]])
      >>> expected_calibration_error(sure, jnp.array([0, 1]))  # 75 % sure, 50 % right
      Array(0.25, dtype=float32)

    References:
      Guo et al., `On Calibration of Modern Neural Networks <https://arxiv.org/abs/1706.04599>`_, 2017, eq. 3.
    """
    return CalibrationBins.empty(num_bins).update(probs, labels, where=where).compute()
