"""How much examples have to teach, by what a network that has trained for a little says of them."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from effjax.numerics import at_least_float32
from effjax.typing import Array, PyTree


def el2n(logits: Array, labels: Array) -> jax.Array:
    """The error L2-norm: how far the probabilities are from the label, ‖softmax(z) − y‖₂.

    It is the norm of the cross-entropy's gradient in the logits, and, for want of better, a bound on that in all
    parameters. The published score is its mean over several networks, early in their training.

    Args:
      logits: ``[..., K]``.
      labels: classes ``[...]``.

    Returns:
      ``[...]``, from 0 to √2.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> el2n(jnp.array([[0.0, 0.0], [50.0, 0.0]]), jnp.array([0, 1])).round(4)
      Array([0.7071, 1.4142], dtype=float32)

    References:
      Paul et al., `Deep Learning on a Data Diet: Finding Important Examples Early in Training
      <https://arxiv.org/abs/2107.07075>`_, 2021, definition 2.1 of EL2N;
      Katharopoulos & Fleuret, `Not All Samples Are Created Equal: Deep Learning with Importance Sampling
      <https://arxiv.org/abs/1803.00942>`_, 2018 (the bound).
    """
    logits, labels = at_least_float32(jnp.asarray(logits)), jnp.asarray(labels)
    chex.assert_shape(labels, logits.shape[:-1])
    error = jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return jnp.sqrt(jnp.square(error).sum(-1))


def gradient_norms(loss: Callable[[PyTree, Any], jax.Array], params: PyTree, examples: PyTree) -> jax.Array:
    """GraNd: the norm of the gradient of each example's own loss, in all parameters.

    The published score is its mean over networks of several initialisations, early in their training or before it.

    Args:
      loss: from the parameters and one example to its loss, ``[]``.
      params: any tree of arrays.
      examples: a tree of arrays ``[N, ...]``, one row an example.

    Returns:
      ``[N]``.

    Example:
      >>> gradient_norms(lambda w, x: w @ x, jnp.zeros(2), jnp.array([[3.0, 4.0], [0.0, 1.0]]))
      Array([5., 1.], dtype=float32)

    References:
      Paul et al., `Deep Learning on a Data Diet: Finding Important Examples Early in Training
      <https://arxiv.org/abs/2107.07075>`_, 2021, definition 2.1 of GraNd.
    """

    def norm(example: PyTree) -> jax.Array:
        return optax.tree.norm(jax.grad(loss)(params, example))

    return jax.vmap(norm)(examples)
