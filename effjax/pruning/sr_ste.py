"""Training through masks: weights that are removed still learn, so that they may come back."""

import functools

import jax
import jax.numpy as jnp

from effjax.pruning.masks import map_masked
from effjax.typing import PyTree


def sr_ste(params: PyTree, masks: PyTree, *, decay: float = 2e-4) -> PyTree:
    """Masks the parameters, but lets the gradient through to all of them, and draws the removed ones to 0.

    The gradient by the parameters is that by the masked ones, plus ``decay`` times the weight where it is removed
    ("sparse-refined straight-through estimator"). Masks are to be found anew, of the parameters, at every step.

    Args:
      params: a tree of arrays.
      masks: a tree of the same structure, as :func:`mask` or :func:`n_of_m_mask` gives it.
      decay: λ_W, 0 is the plain straight-through estimator.

    Returns:
      The masked parameters; leaves without a mask are as they were.

    Example:
      >>> kept = jnp.array([True, False])
      >>> jax.grad(lambda w: sr_ste(w, kept, decay=0.1).sum())(jnp.array([3.0, 5.0]))  # 1, and 1 + 0.1 · 5
      Array([1. , 1.5], dtype=float32)

    References:
      Zhou et al., `Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch
      <https://arxiv.org/abs/2102.04010>`_, 2021.
    """
    return map_masked(functools.partial(_sr_ste, decay), masks, params)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sr_ste(decay: float, kept: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.where(kept, weights, jnp.zeros_like(weights))


def _forward(decay: float, kept: jax.Array, weights: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _sr_ste(decay, kept, weights), (kept, weights)


def _backward(decay: float, saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[None, jax.Array]:
    kept, weights = saved
    return None, gradient + jnp.where(kept, jnp.zeros_like(weights), decay * weights)


_sr_ste.defvjp(_forward, _backward)
