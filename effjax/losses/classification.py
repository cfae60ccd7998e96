"""Losses against labels."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.masking import blank, masked
from effjax.numerics import at_least_float32


def cross_entropy(
    logits: jax.Array, labels: jax.Array, *, label_smoothing: float = 0.0, where: jax.Array | None = None
) -> jax.Array:
    """Cross-entropy between labels and the softmax of the logits, per example.

    Computed in float32 (float64 for float64 logits) whatever the logits' precision.

    Args:
      logits: unnormalised log-probabilities, ``[..., K]``.
      labels: classes ``[...]`` (integers in ``[0, K)``) or distributions ``[..., K]`` (floats that sum to 1).
      label_smoothing: the share of the label's mass that is spread evenly over all K classes.
      where: ``[...]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss in nats, ``[...]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3]), where=jnp.array([True, False]))  # log 4
      Array([1.3863, 0.    ], dtype=float32)

    References:
      Szegedy et al., `Rethinking the Inception Architecture <https://arxiv.org/abs/1512.00567>`_, 2016 (smoothing).
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    num_classes = logits.shape[-1]
    log_probs = jax.nn.log_softmax(at_least_float32(blank(logits, where)), axis=-1)
    if jnp.issubdtype(labels.dtype, jnp.integer):
        chex.assert_shape(labels, logits.shape[:-1])
        at_label = jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]
    else:
        chex.assert_equal_shape([logits, labels])
        # A class of probability 0 adds nothing, even where its log-probability has overflowed.
        at_label = jnp.where(labels > 0, labels * log_probs, 0.0).sum(-1)
    loss = -at_label
    if label_smoothing:
        loss = (1.0 - label_smoothing) * loss - label_smoothing / num_classes * log_probs.sum(-1)
    return masked(loss, where)
