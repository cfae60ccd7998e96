"""Logits without their mean and scale, so that a student need not be as sure as its teacher."""

import jax
import jax.numpy as jnp

from effjax.numerics import at_least_float32
from effjax.typing import Array

_EPSILON = 1e-7  # of the authors' code


def standardize_logits(logits: Array) -> jax.Array:
    """``(z − mean(z)) / (std(z) + 1e-7)`` over the classes, with the standard deviation of a sample (K − 1).

    Losses on logits then compare in which order and by how much classes differ, not how sure a network is. Of equal
    logits all are 0, and have no gradient.

    Args:
      logits: ``[..., K]``, two classes at least.

    Returns:
      The same of mean 0 and standard deviation 1, in at least float32.

    Example:
      >>> standardize_logits(jnp.array([1.0, 2.0, 6.0])).round(4)  # mean 3, variance (4 + 1 + 9) / 2
      Array([-0.7559, -0.378 ,  1.1339], dtype=float32)

    References:
      Sun et al., `Logit Standardization in Knowledge Distillation <https://arxiv.org/abs/2403.01427>`_, 2024; `its code
      <https://github.com/sunshangquan/logit-standardization-KD>`_.
    """
    logits = at_least_float32(jnp.asarray(logits))
    centred = logits - logits.mean(-1, keepdims=True)
    variance = jnp.square(centred).sum(-1, keepdims=True) / (logits.shape[-1] - 1)
    alike = variance == 0  # where a square root has no derivative
    return centred / (jnp.sqrt(jnp.where(alike, 1.0, variance)) + _EPSILON)
