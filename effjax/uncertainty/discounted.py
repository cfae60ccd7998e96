"""Scores of what can be answered."""

import jax
import jax.numpy as jnp

from effjax.typing import Array


def discounted(scores: Array, probs: Array, column: int) -> jax.Array:
    """Multiplies scores by the probability that an example is not of some class, such as "cannot be answered".

    So what a network has learnt to be beyond an answer is not asked for because the network is unsure of it.

    Args:
      scores: ``[N]`` how unsure; not negative.
      probs: ``[M, N, C]`` probabilities of M predictions.
      column: the class.

    Returns:
      ``[N]``.

    Raises:
      ValueError: if the shapes do not fit, or there is no such class.

    Example:
      >>> discounted(jnp.array([0.5, 0.5]), jnp.array([[[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]]]), 2)
      Array([0.5 , 0.25], dtype=float32)
    """
    scores, probs = jnp.asarray(scores), jnp.asarray(probs)
    if probs.ndim != 3 or scores.shape != probs.shape[1:2] or not 0 <= column < probs.shape[-1]:
        given = f"scores {scores.shape}, probs {probs.shape}, column={column}"
        raise ValueError(f"{given}: allowed: [N], [M, N, C], a column from 0 to below C")
    kind = jnp.promote_types(probs.dtype, jnp.float32)
    return scores * (1.0 - probs[..., column].astype(kind).mean(0))
