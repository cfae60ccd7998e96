"""What a weight is worth: a tree like the parameters, higher is kept longer. Leaves that are None stay so."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from effjax.numerics import at_least_float32
from effjax.typing import PyTree


def magnitude(params: PyTree) -> PyTree:
    """How large a weight is, |w|.

    Args:
      params: a tree of arrays.

    Returns:
      A tree of the same structure and shapes, float32 at least.

    Example:
      >>> magnitude({"kernel": jnp.array([[-2.0, 1.0]])})
      {'kernel': Array([[2., 1.]], dtype=float32)}

    References:
      Han et al., `Learning both Weights and Connections for Efficient Neural Networks
      <https://arxiv.org/abs/1506.02626>`_, 2015.
    """
    return jax.tree.map(lambda w: jnp.abs(at_least_float32(jnp.asarray(w))), params)


def saliency(params: PyTree, gradients: PyTree) -> PyTree:
    """How much the loss would change if a weight were 0, to first order: |w · ∂L/∂w|.

    Args:
      params: a tree of arrays.
      gradients: of the loss by them, of the same structure and shapes.

    Returns:
      A tree of the same structure and shapes, float32 at least.

    Example:
      >>> saliency({"kernel": jnp.array([[-2.0, 1.0]])}, {"kernel": jnp.array([[0.5, 3.0]])})
      {'kernel': Array([[1., 3.]], dtype=float32)}

    References:
      Lee et al., `SNIP: Single-shot Network Pruning based on Connection Sensitivity <https://arxiv.org/abs/1810.02340>`_,
      2019; Molchanov et al., `Importance Estimation for Neural Network Pruning <https://arxiv.org/abs/1906.10771>`_,
      2019, whose squares are in the same order.
    """
    return jax.tree.map(
        lambda w, g: jnp.abs(at_least_float32(jnp.asarray(w)) * at_least_float32(jnp.asarray(g))), params, gradients
    )


#: By name: from parameters and gradients to scores. One more is one function and one line here. Inside of a compiled
#: step, gradients that a score does not look at cost nothing.
SCORES: dict[str, Callable[[PyTree, PyTree], PyTree]] = {
    "magnitude": lambda params, _: magnitude(params),
    "saliency": saliency,
}
