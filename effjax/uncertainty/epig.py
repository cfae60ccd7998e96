"""What an answer would say of other examples, rather than of the network."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from effjax.numerics import check_probs
from effjax.typing import Array

_AT_ONCE = 64  # examples: joint predictions of all would not fit into memory


def epig(probs: Array, target_probs: Array) -> jax.Array:
    """Expected predictive information gain: what is learnt of targets' labels from an example's, on average.

    BALD rewards whatever members disagree on; this only what matters to the predictions that are asked for.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions, of the same members as ``target_probs``.
      target_probs: ``[M, T, C]``, of a sample of what will be predicted.

    Returns:
      ``[N]``, in nats, from 0 (up to rounding) to log min(M, C); never more than :func:`effjax.uncertainty.bald`.

    Raises:
      ValueError: if members, classes or axes do not fit, or there is no target.
      Unusable: if they are no probabilities (outside of a compiled program: inside they cannot be looked at).

    Example:
      >>> sides = jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]])  # two members, one example: they disagree
      >>> epig(sides, sides), epig(sides, jnp.full((2, 1, 2), 0.5))  # a target that depends on it; one that does not
      (Array([0.6931472], dtype=float32), Array([0.], dtype=float32))

    References:
      Bickford Smith et al., `Prediction-Oriented Bayesian Active Learning <https://arxiv.org/abs/2304.08151>`_, 2023.
    """
    probs, target_probs = jnp.asarray(probs), jnp.asarray(target_probs)
    fits = probs.ndim == target_probs.ndim == 3 and probs.shape[::2] == target_probs.shape[::2]
    if not fits or not target_probs.shape[1]:
        raise ValueError(f"probs {probs.shape}, target_probs {target_probs.shape}: allowed: [M, N, C] and [M, T, C]")
    for name, array in (("probs", probs), ("target_probs", target_probs)):
        check_probs(name, array)
    return _epig(probs, target_probs)


@jax.jit
def _epig(probs: jax.Array, target_probs: jax.Array) -> jax.Array:
    """The entropy of both labels apart less that of both together, the mean over the targets."""
    kind = jnp.promote_types(probs.dtype, jnp.float32)
    probs, targets = jnp.moveaxis(probs, 1, 0).astype(kind), target_probs.astype(kind)
    apart = entr(targets.mean(0)).sum(-1).mean()
    joint = partial(jnp.einsum, "mc,mtd->tcd", precision=jax.lax.Precision.HIGHEST)

    def one(own: jax.Array) -> jax.Array:
        both = entr(joint(own, targets) / len(own)).sum((1, 2)).mean()
        return entr(own.mean(0)).sum() + apart - both

    return jnp.maximum(jax.lax.map(one, probs, batch_size=_AT_ONCE), 0.0)
