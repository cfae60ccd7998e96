"""How sparse a network is at a step of its training."""

import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError


def cubic_sparsity(step: jax.Array | int, *, begin: int, end: int, final: float, initial: float = 0.0) -> jax.Array:
    """A sparsity that rises fast while there is much to remove, and ever more slowly towards its end.

    ``final + (initial − final)(1 − t)³``, where t goes from 0 at ``begin`` to 1 at ``end``.

    Args:
      step: of the training, may be traced.
      begin: the last step of sparsity ``initial``.
      end: the first step of sparsity ``final``; equal to ``begin``, that step is the first of sparsity ``final``.
      final: the share of weights that are 0 in the end, from 0 to 1.
      initial: the share that is 0 until ``begin``, from 0 to 1.

    Returns:
      The sparsity, ``[]`` float32; before ``begin`` it is ``initial`` and after ``end`` it is ``final``, exactly.

    Raises:
      UserError: if a sparsity is none, or the end comes before the beginning.

    Example:
      >>> cubic_sparsity(5, begin=0, end=10, final=0.8)  # 0.8 (1 − ½³)
      Array(0.7, dtype=float32)

    References:
      Zhu & Gupta, `To Prune, or Not to Prune <https://arxiv.org/abs/1710.01878>`_, 2017, eq. 1.
    """
    for name, value in (("initial", initial), ("final", final)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UserError(f"cubic_sparsity: {name}={value!r} must be a share of the weights, from 0 to 1")
    if not end >= begin:
        raise UserError(f"cubic_sparsity: end={end} must not come before begin={begin}")
    if end == begin:
        return jnp.where(jnp.asarray(step) >= end, np.float32(final), np.float32(initial))
    done = jnp.clip((jnp.asarray(step, jnp.float32) - begin) / (end - begin), 0.0, 1.0)
    missing = (1.0 - done) ** 3
    return initial * missing + final * (1.0 - missing)
