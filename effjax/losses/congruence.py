"""Neighbours in the batch differ from their teacher's embeddings in other directions."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.batches import gather, kept, own_rows, vectors
from effjax.losses.masking import masked


def correlation_congruence(
    student: jax.Array, teacher: jax.Array, *, where: jax.Array | None = None, axis_name: str | None = None
) -> jax.Array:
    """``|s_i − t_i| · |s_{i+1} − t_{i+1}|``, inner products of neighbours' absolute differences, per example.

    The form that RepDistiller has from the authors: with N examples there are N − 1 pairs of neighbours, and the value
    of an example is that of the pair that begins with it, times N / (N − 1), the last one's 0. So the mean over the
    batch (with ``where``: the sum over those that take part, divided by their number) is the mean over the pairs. The
    paper's own form compares the batch's Gaussian kernels; its published accuracies on CIFAR-100 are RepDistiller's.
    The order of the batch matters. Gradients flow to both sides: in the method both are embeddings that are learnt.

    Args:
      student: embeddings ``[B, D]``.
      teacher: embeddings ``[B, D]``.
      where: ``[B]`` booleans; examples where it is false take no part, give 0, and are nobody's neighbours.
      axis_name: the mapped axis over which the batch is spread; the neighbour of a device's last example is the next
        device's first.

    Returns:
      The loss, ``[B]``; 0 where there are fewer than two examples.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> correlation_congruence(jnp.array([[1.0], [-2.0], [3.0]]), jnp.zeros((3, 1)))  # pairs of 2 and 6, times 3 / 2
      Array([3., 9., 0.], dtype=float32)

    References:
      Peng et al., `Correlation Congruence for Knowledge Distillation <https://arxiv.org/abs/1904.01802>`_, 2019;
      `RepDistiller <https://github.com/HobbitLong/RepDistiller>`_, ``distiller_zoo/CC.py``.
    """
    chex.assert_rank([student, teacher], 2)
    chex.assert_equal_shape([student, teacher])
    here = kept(where, len(student))
    own = jnp.abs(vectors(jnp.asarray(student), where) - vectors(jnp.asarray(teacher), where))
    everyone, takes_part = gather(own, axis_name), gather(here, axis_name)
    order = jnp.argsort(~takes_part, stable=True)  # those that take part, in their order, then the others
    ordered, count = everyone[order], takes_part.sum()
    products = (ordered[:-1] * ordered[1:]).sum(-1)
    is_pair = jnp.arange(len(products)) < count - 1
    scaled = jnp.where(is_pair, products * count / jnp.maximum(count - 1, 1), 0.0)
    values = jnp.zeros(len(everyone), scaled.dtype).at[order[:-1]].set(scaled)
    return masked(own_rows(values, len(student), axis_name), where)
