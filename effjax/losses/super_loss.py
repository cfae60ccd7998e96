"""SuperLoss: the weight that makes a hard example count less, and an easy one more, in closed form."""

import math

import chex
import jax
import jax.numpy as jnp

from effjax.numerics import at_least_float32

_ITERATIONS = 4  # each triples the digits


def super_loss(losses: jax.Array, threshold: jax.Array | float, *, regularization: float = 1.0) -> jax.Array:
    """The loss of a loss: ``min over σ of (ℓ − τ) σ + λ (log σ)²``, whose gradient in ℓ is σ.

    Args:
      losses: ℓ, one value an example, ``[...]``, of any kind.
      threshold: τ, what tells easy from hard examples, in the same unit: log K for the cross-entropy of K classes, or a
        running mean of the losses.
      regularization: λ, above 0: the smaller, the further weights are from 1.

    Returns:
      ``[...]``; it may be negative.

    Example:
      >>> super_loss(jnp.array([1.0, 2.0, 0.0]), 1.0).round(3)
      Array([ 0.   ,  0.827, -1.718], dtype=float32)

    References:
      Castells et al., `SuperLoss: A Generic Loss for Robust Curriculum Learning
      <https://papers.nips.cc/paper/2020/hash/2cfa8f9e50e0f510ede9d12338a5f564-Abstract.html>`_, 2020, eq. 2 and 4.
    """
    weights = super_loss_weights(losses, threshold, regularization=regularization)
    return (at_least_float32(losses) - threshold) * weights + regularization * jnp.square(jnp.log(weights))


def super_loss_weights(losses: jax.Array, threshold: jax.Array | float, *, regularization: float = 1.0) -> jax.Array:
    """SuperLoss's σ: ``exp(−W(½ max(−2/e, (ℓ − τ) / λ)))``, with Lambert's W; no gradient flows through it.

    Args:
      losses: ℓ, ``[...]``.
      threshold: τ.
      regularization: λ, above 0.

    Returns:
      ``[...]``: 1 at the threshold, more below it, up to e, and less above it.

    Raises:
      AssertionError: if the losses are no floats.

    Example:
      >>> super_loss_weights(jnp.array([0.0, 1.0, 2.0, 1e4]), 1.0).round(4)
      Array([2.7183, 1.    , 0.7035, 0.0013], dtype=float32)

    References:
      Castells et al., `SuperLoss: A Generic Loss for Robust Curriculum Learning
      <https://papers.nips.cc/paper/2020/hash/2cfa8f9e50e0f510ede9d12338a5f564-Abstract.html>`_, 2020, eq. 4.
    """
    chex.assert_type(losses, float)
    losses = jax.lax.stop_gradient(at_least_float32(losses))
    return jnp.exp(-lambert_w(0.5 * (losses - threshold) / regularization))


def lambert_w(x: jax.Array) -> jax.Array:
    """Lambert's W, its principal branch: the w ≥ −1 for which ``w eʷ = x``.

    Args:
      x: ``[...]``; what is below −1/e counts as −1/e, where W is −1.

    Returns:
      ``[...]``.

    Example:
      >>> lambert_w(jnp.array([-1.0, 0.0, jnp.e])).round(4)
      Array([-1.,  0.,  1.], dtype=float32)

    References:
      Corless et al., `On the Lambert W Function <https://doi.org/10.1007/BF02124750>`_, 1996, eq. 4.22 (the series at
      −1/e) and 5.9 (Halley's iteration).
    """
    p = jnp.sqrt(jnp.maximum(2.0 * (math.e * x + 1.0), 0.0))
    series = -1.0 + p * (1.0 - p * (1.0 / 3.0 - p * (11.0 / 72.0)))
    log = jnp.log1p(jnp.maximum(x, 0.0))
    w = jnp.where(x < 0.25, series, log * (1.0 - jnp.log1p(log) / (2.0 + log)))
    near = p < 1e-2  # the series is exact there, and the iteration would divide by nearly 0
    w = jnp.where(near, 0.0, w)
    for _ in range(_ITERATIONS):
        exp = jnp.exp(w)
        excess = w * exp - x
        w = w - excess / (exp * (w + 1.0) - (w + 2.0) * excess / (2.0 * w + 2.0))
    return jnp.where(near, series, w)
