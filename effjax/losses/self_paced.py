"""Weights that let a network learn from what it finds easy first."""

import chex
import jax
import jax.numpy as jnp

from effjax.errors import check_known

FORMS = ("hard", "linear")


def self_paced_weights(losses: jax.Array, threshold: jax.Array | float, *, form: str = "hard") -> jax.Array:
    """Weighs examples by their own losses; no gradient flows through the weights.

    Args:
      losses: one value an example, ``[...]``, any unit.
      threshold: λ, in the same unit, above 0; it grows as training goes on.
      form: ``"hard"``: 1 below the threshold, 0 from it on; ``"linear"``: 1 − loss / λ, at least 0.

    Returns:
      Weights in [0, 1] for losses that are not negative, ``[...]``.

    Raises:
      UserError: if there is no such form.

    Example:
      >>> self_paced_weights(jnp.array([0.5, 2.0]), 1.0)
      Array([1., 0.], dtype=float32)
      >>> self_paced_weights(jnp.array([0.25, 2.0]), 1.0, form="linear")
      Array([0.75, 0.  ], dtype=float32)

    References:
      Kumar et al., `Self-Paced Learning for Latent Variable Models
      <https://papers.nips.cc/paper/3923-self-paced-learning-for-latent-variable-models>`_, 2010 (hard);
      Jiang et al., `Easy Samples First: Self-paced Reranking for Zero-Example Multimedia Search
      <https://doi.org/10.1145/2647868.2654918>`_, 2014 (linear).
    """
    check_known(form, FORMS, f"form={form!r}")
    chex.assert_type(losses, float)
    losses = jax.lax.stop_gradient(losses)
    if form == "hard":
        return (losses < threshold).astype(losses.dtype)
    return jnp.maximum(1.0 - losses / threshold, 0.0).astype(losses.dtype)
