"""The scores themselves: one program each, that goes through the predictions one after the other.

So nothing of the size of all of them is made, and on CPU, where jaxlib 0.10 sums over a leading axis 50 times slower
than memory allows, a loop over that axis is as fast as memory.
"""

import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from effjax.numerics import check_probs
from effjax.typing import Array

Score = Callable[[jax.Array], jax.Array]


def _checked(score: Score) -> Callable[[Array], jax.Array]:
    """Compiles a score, and refuses what are no probabilities: of NaN, one has the variation ratio of a sure network.

    Inside a program the values cannot be looked at; :func:`effjax.numerics.are_probs` says it there.
    """
    compiled = jax.jit(score)

    @functools.wraps(score)
    def checked(probs: Array) -> jax.Array:
        probs = jnp.asarray(probs)
        check_probs("probs", probs)
        return compiled(probs)

    return checked


@_checked
def entropy(probs: jax.Array) -> jax.Array:
    """Entropy of the mean prediction.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, in nats, from 0 to log C.

    Raises:
      AssertionError: if ``probs`` has not three axes.
      Unusable: if they are no probabilities (outside of a compiled program: inside they cannot be looked at).

    Example:
      >>> entropy(jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]]))  # two sure members that disagree: log 2
      Array([0.6931], dtype=float32)

    References:
      Shannon, `A Mathematical Theory of Communication <https://doi.org/10.1002/j.1538-7305.1948.tb01338.x>`_, 1948.
    """
    return entr(_mean(probs)).sum(-1)


@_checked
def least_confidence(probs: jax.Array) -> jax.Array:
    """One minus the largest probability of the mean prediction.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, from 0 to 1 − 1/C.

    Raises:
      AssertionError: if ``probs`` has not three axes.
      Unusable: if they are no probabilities (outside of a compiled program: inside they cannot be looked at).

    Example:
      >>> least_confidence(jnp.array([[[0.7, 0.3], [1.0, 0.0]]]))
      Array([0.3, 0. ], dtype=float32)

    References:
      Lewis & Gale, `A Sequential Algorithm for Training Text Classifiers <https://arxiv.org/abs/cmp-lg/9407020>`_,
      1994.
    """
    return 1.0 - _mean(probs).max(-1)


@_checked
def margin(probs: jax.Array) -> jax.Array:
    """One minus the distance of the two largest probabilities of the mean prediction.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, from 0 (sure; or there is but one class) to 1 (two classes alike).

    Raises:
      AssertionError: if ``probs`` has not three axes.
      Unusable: if they are no probabilities (outside of a compiled program: inside they cannot be looked at).

    Example:
      >>> margin(jnp.array([[[0.7, 0.3], [0.5, 0.5]]]))
      Array([0.6, 1. ], dtype=float32)

    References:
      Scheffer et al., `Active Hidden Markov Models for Information Extraction
      <https://doi.org/10.1007/3-540-44816-0_31>`_, 2001.
    """
    mean = _mean(probs)
    first = jax.nn.one_hot(mean.argmax(-1), mean.shape[-1], dtype=bool)
    return 1.0 - (mean.max(-1) - jnp.where(first, 0.0, mean).max(-1))


@_checked
def bald(probs: jax.Array) -> jax.Array:
    """How much the predictions disagree: the entropy of their mean less the mean of their entropies.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, in nats, from 0 (up to rounding) to log min(M, C).

    Raises:
      AssertionError: if ``probs`` has not three axes.
      Unusable: if they are no probabilities (outside of a compiled program: inside they cannot be looked at).

    Example:
      >>> agree, disagree = jnp.array([[0.5, 0.5], [0.5, 0.5]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> abs(bald(jnp.stack([agree, disagree], axis=1)))  # both means are unsure; only one by disagreement
      Array([0.    , 0.6931], dtype=float32)

    References:
      Houlsby et al., `Bayesian Active Learning for Classification and Preference Learning
      <https://arxiv.org/abs/1112.5745>`_, 2011; Gal et al., `Deep Bayesian Active Learning with Image Data
      <https://arxiv.org/abs/1703.02910>`_, 2017.
    """
    return (entr(_mean(probs)) - _mean(probs, entr)).sum(-1)


@_checked
def disagreement(probs: jax.Array) -> jax.Array:
    """How much the predictions disagree, times how unsure they are together: :func:`bald` times :func:`entropy`.

    Of a student and its teacher: what they see differently, and neither of them for certain.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, in squared nats, from 0 (up to rounding) to log min(M, C) · log C.

    Raises:
      AssertionError: if ``probs`` has not three axes.
      Unusable: if they are no probabilities (outside of a compiled program: inside they cannot be looked at).

    Example:
      >>> student, teacher = jnp.array([[1.0, 0.0], [0.5, 0.5]]), jnp.array([[0.0, 1.0], [0.5, 0.5]])
      >>> abs(disagreement(jnp.stack([student, teacher])))  # log 2 squared; nothing where both are unsure alike
      Array([0.48045304, 0.        ], dtype=float32)

    References:
      Wang et al., `ALWOD: Active Learning for Weakly-Supervised Object Detection <https://arxiv.org/abs/2309.07914>`_,
      2023, which compares whole detections of a student and a teacher; this is of the item at a place.
    """
    whole = entr(_mean(probs)).sum(-1)
    return (whole - _mean(probs, entr).sum(-1)) * whole


@_checked
def variation_ratio(probs: jax.Array) -> jax.Array:
    """The share of predictions whose choice is not the most frequent one.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, from 0 to 1 − 1/M.

    Raises:
      AssertionError: if ``probs`` has not three axes.
      Unusable: if they are no probabilities (outside of a compiled program: inside they cannot be looked at).

    Example:
      >>> variation_ratio(jnp.array([[[0.9, 0.1]], [[0.6, 0.4]], [[0.2, 0.8]], [[0.7, 0.3]]]))  # one of four differs
      Array([0.25], dtype=float32)

    References:
      Freeman, Elementary Applied Statistics, 1965; Beluch et al., `The Power of Ensembles for Active Learning in Image
      Classification <https://doi.org/10.1109/CVPR.2018.00976>`_, 2018.
    """
    chex.assert_rank(probs, 3)
    choices = jnp.asarray(probs).argmax(-1)

    def most_votes(member: int, most: jax.Array) -> jax.Array:
        return jnp.maximum(most, (choices == choices[member]).sum(0))

    members, examples, _ = probs.shape
    return 1.0 - jax.lax.fori_loop(0, members, most_votes, jnp.zeros(examples, int)) / members


@_checked
def consistency(probs: jax.Array) -> jax.Array:
    """The variance of each class's probability over the predictions, summed over the classes.

    Meant for predictions of augmented versions of an image: how little a network sticks to what it says.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, 0 where all are alike; the population variance, below 1.

    Raises:
      AssertionError: if ``probs`` has not three axes.
      Unusable: if they are no probabilities (outside of a compiled program: inside they cannot be looked at).

    Example:
      >>> consistency(jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]]))  # a variance of ¼ for each of two classes
      Array([0.5], dtype=float32)

    References:
      Gao et al., `Consistency-Based Semi-Supervised Active Learning <https://arxiv.org/abs/1910.07153>`_, 2020.
    """
    mean = _mean(probs)
    return _mean(probs, lambda own: (own - mean) ** 2).sum(-1)


def _mean(probs: jax.Array, function: Callable[[jax.Array], jax.Array] = lambda own: own) -> jax.Array:
    """The mean over the M predictions of a function ``[N, C] -> [N, C]`` of each, in float32 at least."""
    chex.assert_rank(probs, 3)
    probs = jnp.asarray(probs)
    kind = jnp.promote_types(probs.dtype, jnp.float32)
    start = jnp.zeros(probs.shape[1:], kind)
    total = jax.lax.fori_loop(0, len(probs), lambda m, total: total + function(probs[m].astype(kind)), start)
    return total / len(probs)
