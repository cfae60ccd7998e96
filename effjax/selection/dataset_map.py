"""Maps of a dataset: what training made of each example, and which examples it never learnt."""

from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from effjax.errors import check_known
from effjax.selection.ties import lots
from effjax.typing import Array


class DatasetMap(NamedTuple):
    """Where the examples lie, each ``[N]``.

    Attributes:
      confidence: the mean over epochs of the probability of the label.
      variability: its standard deviation over epochs (of the population).
      correctness: the share of epochs in which the label was the network's choice.
    """

    confidence: Array
    variability: Array
    correctness: Array


def dataset_map(true_label_probs: jax.Array, correct: jax.Array) -> DatasetMap:
    """Maps a dataset.

    Args:
      true_label_probs: ``[E, N]`` the probability of the label, by epoch.
      correct: ``[E, N]`` whether the label was the network's choice.

    Returns:
      The map.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> easy_and_hard = jnp.array([[0.8, 0.2], [1.0, 0.4]])  # two epochs of two examples
      >>> found = dataset_map(easy_and_hard, easy_and_hard > 0.5)
      >>> found.confidence, found.variability, found.correctness
      (Array([0.9, 0.3], dtype=float32), Array([0.1, 0.1], dtype=float32), Array([1., 0.], dtype=float32))
      >>> rank_outliers(found)
      Array([1, 0], dtype=int32)

    References:
      Swayamdipta et al., `Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics
      <https://arxiv.org/abs/2009.10795>`_, 2020.
    """
    chex.assert_rank([true_label_probs, correct], 2)
    chex.assert_equal_shape([true_label_probs, correct])
    probs = jnp.asarray(true_label_probs, jnp.float32)
    return DatasetMap(probs.mean(0), probs.std(0), jnp.asarray(correct, jnp.float32).mean(0))


def map_of_records(records: Mapping[str, Array], ids: Array) -> DatasetMap:
    """The map of examples whose training has been recorded on its way, see :mod:`effjax.steps.records`.

    Each time that a batch held an example counts as one epoch: with its augmentation and dropout, before the step that
    the batch made. So the map costs no pass over the data.

    Args:
      records: ``seen``, ``right``, ``prob``, ``prob_squared``, ``[num_ids]`` each, or ``[M, num_ids]`` of several
        networks, over which the map is taken together.
      ids: ``[N]`` global ids.

    Returns:
      The map ``[N]``; NaN for an example that was never seen.
    """
    seen, right, prob, squared = (
        jnp.asarray(records[name], jnp.float32).reshape(-1, records[name].shape[-1])[:, ids].sum(0)
        for name in ("seen", "right", "prob", "prob_squared")
    )
    mean = prob / seen
    return DatasetMap(mean, jnp.sqrt(jnp.maximum(squared / seen - mean**2, 0.0)), right / seen)


def rank_outliers(mapped: DatasetMap, by: str = "correctness", *, key: jax.Array | None = None) -> jax.Array:
    """Orders the examples, those that look least learnable first.

    Args:
      mapped: a map.
      by: ``"correctness"``: the least often right first, of equals the least confident (what the published ablation
        removes); ``"confidence_variability"``: the smallest product of confidence and variability first (what the
        paper's text says).
      key: a PRNG key, of the lots that tell equal ones apart; None is always the same one.

    Returns:
      ``[N]`` int32 positions, no duplicates.

    Raises:
      UserError: if there is no such order.

    References:
      Karamcheti et al., `Mind Your Outliers! Investigating the Negative Impact of Outliers on Active Learning for
      Visual Question Answering <https://arxiv.org/abs/2107.02331>`_, 2021, sec. 6.
    """
    orders = {
        "correctness": lambda: (mapped.confidence, mapped.correctness),
        "confidence_variability": lambda: (mapped.confidence * mapped.variability,),
    }
    check_known(by, orders, f"by={by!r}")
    drawn = lots(key, jnp.arange(len(mapped.confidence)))
    return jnp.lexsort((drawn, *orders[by]())).astype(jnp.int32)
