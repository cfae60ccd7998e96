"""Losses of a detector: what is there, and where."""

import chex
import jax
import jax.numpy as jnp

from effjax.boxes import aligned_generalized_iou
from effjax.losses.masking import blank, masked
from effjax.numerics import at_least_float32
from effjax.typing import Array


def quality_focal(
    logits: Array,
    quality: Array,
    classes: Array,
    positive: Array,
    *,
    beta: float | jax.Array = 2.0,
    where: Array | None = None,
) -> jax.Array:
    """Cross-entropy of each class between a probability and how good the box is, weighted by the gap between the two.

    The target of a positive point is its quality at its class, and 0 at the others; that of other points is 0
    everywhere. No gradient flows to the quality.

    Args:
      logits: ``[..., K]``, of the sigmoid of each class.
      quality: ``[...]`` in [0, 1]: usually the IoU of what the point predicts and what it should.
      classes: ``[...]`` integers in ``[0, K)``; of points that are not positive anything.
      positive: ``[...]`` booleans: whether the point predicts an object.
      beta: the exponent of the weight, 1 or more; the higher, the less counts what is nearly right.
      where: ``[...]`` booleans; points where it is false give 0 and no gradient.

    Returns:
      The loss, summed over the classes, ``[...]``. It is usually summed over all points and divided by the number of
      positive ones.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> logits = jax.scipy.special.logit(jnp.array([[0.5, 0.25]]))
      >>> quality_focal(logits, jnp.array([0.5]), jnp.array([0]), jnp.array([True]))  # ¼² · −log ¾
      Array([0.018], dtype=float32)

    References:
      Li et al., `Generalized Focal Loss <https://arxiv.org/abs/2006.04388>`_, 2020, eq. 2.
    """
    logits, quality, classes, positive = map(jnp.asarray, (logits, quality, classes, positive))
    where = None if where is None else jnp.asarray(where, bool)
    chex.assert_equal_shape([quality, classes, positive])
    chex.assert_shape(quality, logits.shape[:-1])
    logits = at_least_float32(blank(logits, where))
    quality = jnp.where(positive, jax.lax.stop_gradient(quality.astype(logits.dtype)), 0.0)
    target = blank(jnp.where(classes[..., None] == jnp.arange(logits.shape[-1]), quality[..., None], 0.0), where)
    return masked(_focal(logits, target, beta).sum(-1), where)


def soft_quality_focal(
    logits: Array, target: Array, *, beta: float | jax.Array = 2.0, where: Array | None = None
) -> jax.Array:
    """The quality focal loss with a teacher's probability of each class in the place of what is true.

    No gradient flows to the target.

    Args:
      logits: ``[..., K]``, of the sigmoid of each class.
      target: probabilities ``[..., K]``.
      beta: see :func:`quality_focal`.
      where: ``[...]`` booleans; points where it is false give 0 and no gradient.

    Returns:
      The loss, summed over the classes, ``[...]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> float(soft_quality_focal(jnp.array([0.0]), jnp.array([0.5])))  # as sure as the teacher
      0.0

    References:
      Li et al., `Generalized Focal Loss <https://arxiv.org/abs/2006.04388>`_, 2020, eq. 2.
    """
    logits, target = jnp.asarray(logits), jnp.asarray(target)
    where = None if where is None else jnp.asarray(where, bool)
    chex.assert_equal_shape([logits, target])
    logits = at_least_float32(blank(logits, where))
    target = blank(jax.lax.stop_gradient(target.astype(logits.dtype)), where)
    return masked(_focal(logits, target, beta).sum(-1), where)


def _focal(logits: jax.Array, target: jax.Array, beta: float | jax.Array) -> jax.Array:
    entropy = -target * jax.nn.log_sigmoid(logits) - (1.0 - target) * jax.nn.log_sigmoid(-logits)
    return jnp.abs(target - jax.nn.sigmoid(logits)) ** beta * entropy


def generalized_iou_loss(predicted: Array, target: Array, *, where: Array | None = None) -> jax.Array:
    """1 − the generalised IoU of a box and what it should be, which has a gradient where they do not touch, too.

    No gradient flows to the target.

    Args:
      predicted: boxes ``[..., 4]``.
      target: boxes ``[..., 4]``.
      where: ``[...]`` booleans; boxes where it is false give 0 and no gradient.

    Returns:
      The loss, ``[...]``, in [0, 2].

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> left, right = [0.0, 0.0, 1.0, 0.25], [0.0, 0.75, 1.0, 1.0]
      >>> generalized_iou_loss(jnp.array([left, left]), jnp.array([left, right]))
      Array([0. , 1.5], dtype=float32)

    References:
      Rezatofighi et al., `Generalized Intersection over Union <https://arxiv.org/abs/1902.09630>`_, 2019, alg. 2.
    """
    predicted, target = jnp.asarray(predicted), jax.lax.stop_gradient(jnp.asarray(target))
    where = None if where is None else jnp.asarray(where, bool)
    chex.assert_equal_shape([predicted, target])
    return masked(1.0 - aligned_generalized_iou(blank(predicted, where), blank(target, where)), where)
