"""How little a detector sticks to what it says of an object when the image changes."""

import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from effjax.numerics import check_probs
from effjax.typing import Array

_BASE = 1.3  # of CALD: agreement above it is mere repetition, below it mostly two different things


def cald(probs: Array, agreement: Array) -> jax.Array:
    """Consistency of detections under augmentation, as a doubt: the mean over the versions of ``1.3 - |m - 1.3|``.

    ``m`` is the overlap with the detection in the version, plus how alike the two predictions are (one less their
    Jensen-Shannon divergence, in bits) by how sure they are. As in the paper what agrees entirely is not doubted, and
    what does not agree at all not most. Otherwise than in its code, an image without a detection is not the first that
    is asked for, but has the score 0 of any image with nothing to doubt.

    Args:
      probs: ``[M, N, C]``: of an item in the plain image (the first), and in M - 1 versions; the last class is nothing.
      agreement: ``[M - 1, N]``, overlaps from 0 to 1.

    Returns:
      ``[N]``, from 0 to 1.3.

    Raises:
      Unusable: if they are no probabilities.

    Example:
      >>> sure, unsure = [0.9, 0.1], [0.5, 0.5]
      >>> probs = jnp.array([[sure, sure], [sure, unsure]])  # two items, in the image and in one version of it
      >>> [round(score, 1) for score in cald(probs, jnp.array([[1.0, 0.6]])).tolist()]
      [0.7, 1.2]

    References:
      Yu et al, 2022, Consistency-based Active Learning for Object Detection, https://arxiv.org/abs/2103.10374
    """
    probs = jnp.asarray(probs, jnp.float32)
    check_probs("probs", probs)
    first, others = probs[0], probs[1:]
    middle = (first + others) / 2
    bits = (entr(middle) - (entr(first) + entr(others)) / 2).sum(-1) / jnp.log(2.0)
    sure = first[:, :-1].max(-1) + others[:, :, :-1].max(-1)
    same = jnp.asarray(agreement, jnp.float32) + (1 - bits) * sure / 2
    return (_BASE - jnp.abs(same - _BASE)).mean(0)
