"""A gradient that is turned around on its way back."""

import jax


@jax.custom_vjp
def reversed_gradient(x: jax.Array, strength: float | jax.Array = 1.0) -> jax.Array:
    """Returns ``x``; its gradient is multiplied by ``−strength``, so that what is before it climbs instead of falls.

    Args:
      x: any array.
      strength: a number, which may be traced; it has no gradient.

    Returns:
      ``x``.

    Example:
      >>> jax.grad(lambda x: 3.0 * reversed_gradient(x, 0.5))(1.0)
      Array(-1.5, dtype=float32, weak_type=True)

    References:
      Ganin & Lempitsky, `Unsupervised Domain Adaptation by Backpropagation <https://arxiv.org/abs/1409.7495>`_, 2015.
    """
    return x


def _forward(x: jax.Array, strength: float | jax.Array) -> tuple[jax.Array, float | jax.Array]:
    return x, strength


def _backward(strength: float | jax.Array, gradient: jax.Array) -> tuple[jax.Array, None]:
    return -strength * gradient, None


reversed_gradient.defvjp(_forward, _backward)
