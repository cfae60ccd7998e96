"""The scores themselves."""

import chex
import jax
import jax.numpy as jnp


def entropy(probs: jax.Array) -> jax.Array:
    """Entropy of the mean prediction.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, in nats, from 0 to log C.

    References:
      Shannon, `A Mathematical Theory of Communication <https://doi.org/10.1002/j.1538-7305.1948.tb01338.x>`_, 1948.
    """
    return _entropy(_checked(probs).mean(0))


def least_confidence(probs: jax.Array) -> jax.Array:
    """One minus the largest probability of the mean prediction.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, from 0 to 1 − 1/C.

    References:
      Lewis & Gale, `A Sequential Algorithm for Training Text Classifiers <https://arxiv.org/abs/cmp-lg/9407020>`_,
      1994.
    """
    return 1.0 - _checked(probs).mean(0).max(-1)


def margin(probs: jax.Array) -> jax.Array:
    """One minus the distance of the two largest probabilities of the mean prediction.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions, at least two classes.

    Returns:
      ``[N]``, from 0 (sure) to 1 (two classes alike).

    References:
      Scheffer et al., `Active Hidden Markov Models for Information Extraction
      <https://doi.org/10.1007/3-540-44816-0_31>`_, 2001.
    """
    largest, _ = jax.lax.top_k(_checked(probs).mean(0), 2)
    return 1.0 - (largest[:, 0] - largest[:, 1])


def bald(probs: jax.Array) -> jax.Array:
    """How much the predictions disagree: the entropy of their mean less the mean of their entropies.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, in nats, from 0 (up to rounding) to log min(M, C).

    References:
      Houlsby et al., `Bayesian Active Learning for Classification and Preference Learning
      <https://arxiv.org/abs/1112.5745>`_, 2011; Gal et al., `Deep Bayesian Active Learning with Image Data
      <https://arxiv.org/abs/1703.02910>`_, 2017.
    """
    probs = _checked(probs)
    return _entropy(probs.mean(0)) - _entropy(probs).mean(0)


def variation_ratio(probs: jax.Array) -> jax.Array:
    """The share of predictions whose choice is not the most frequent one.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, from 0 to 1 − 1/M.

    References:
      Freeman, Elementary Applied Statistics, 1965; Beluch et al., `The Power of Ensembles for Active Learning in Image
      Classification <https://doi.org/10.1109/CVPR.2018.00976>`_, 2018.
    """
    choices = _checked(probs).argmax(-1)
    votes = jnp.stack([(choices == c).sum(0) for c in range(probs.shape[-1])])
    return 1.0 - votes.max(0) / probs.shape[0]


def consistency(probs: jax.Array) -> jax.Array:
    """The variance of each class's probability over the predictions, summed over the classes.

    Meant for predictions of augmented versions of an image: how little a network sticks to what it says.

    Args:
      probs: ``[M, N, C]`` probabilities of M predictions.

    Returns:
      ``[N]``, 0 where all are alike; the population variance, below 1.

    References:
      Gao et al., `Consistency-Based Semi-Supervised Active Learning <https://arxiv.org/abs/1910.07153>`_, 2020.
    """
    return _checked(probs).var(0).sum(-1)


def _entropy(probs: jax.Array) -> jax.Array:
    return jax.scipy.special.entr(probs).sum(-1)


def _checked(probs: jax.Array) -> jax.Array:
    chex.assert_rank(probs, 3)
    return jnp.asarray(probs, jnp.promote_types(jnp.result_type(probs), jnp.float32))
