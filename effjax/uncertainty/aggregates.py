"""From scores of the items of an example, such as an image's boxes, to one of the example."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from effjax.errors import check_known
from effjax.typing import Array

_FEW = 5  # items that "top_mean" looks at


def aggregate(scores: Array, present: Array, kind: str = "max") -> jax.Array:
    """One score of each example, from those of its items; 0 where it has none.

    Args:
      scores: ``[N, I]``, 0 or more.
      present: which items there are, booleans ``[N, I]``.
      kind: ``"max"``: of the least sure item; ``"mean"``; ``"sum"``, which grows with the number of items;
        ``"top_mean"``: the mean of the five highest, which one odd item does not decide.

    Returns:
      ``[N]``.

    Raises:
      UserError: if there is no such kind.
      AssertionError: if the shapes differ.

    Example:
      >>> aggregate(jnp.array([[0.3, 0.5, 9.0], [1.0, 1.0, 1.0]]), jnp.array([[1, 1, 0], [0, 0, 0]], bool), "sum")
      Array([0.8, 0. ], dtype=float32)

    References:
      Brust et al, 2019, Active Learning for Deep Object Detection, https://arxiv.org/abs/1809.09875
    """
    check_known(kind, AGGREGATES, f"aggregate={kind!r}")
    chex.assert_rank(scores, 2)
    chex.assert_equal_shape([scores, present])
    scores = jnp.asarray(scores)
    return AGGREGATES[kind](jnp.where(present, scores, 0.0), jnp.asarray(present, bool))


def _top_mean(scores: jax.Array, present: jax.Array) -> jax.Array:
    number = min(_FEW, scores.shape[-1])
    return jax.lax.top_k(scores, number)[0].sum(-1) / jnp.clip(present.sum(-1), 1, number)


#: From the scores ``[N, I]``, 0 where there is no item, and which items there are, to ``[N]``.
AGGREGATES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "max": lambda scores, present: scores.max(-1),
    "mean": lambda scores, present: scores.sum(-1) / jnp.maximum(present.sum(-1), 1),
    "sum": lambda scores, present: scores.sum(-1),
    "top_mean": _top_mean,
}
