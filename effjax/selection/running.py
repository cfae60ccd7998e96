"""The best of a pool that passes by in batches: memory for one batch and k examples, however large the pool."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError
from effjax.numerics import Unusable
from effjax.selection.ties import lots

_NOBODY = np.iinfo(np.int32).max  # the id of a place that nobody has taken yet: it comes after all others


class RunningTopK(NamedTuple):
    """The k highest scores so far, equal ones by the lots of their ids: no order of the batches changes them.

    Attributes:
      scores: ``[k]`` float32, the highest first; −inf where fewer than k have been seen.
      ids: ``[k]`` int32 global ids.
      seen: ``[]`` int32 how many examples went in.
      invalid: ``[]`` int32 how many of them had a score that is not finite.
      seed: ``[]`` uint32 of the lots.

    Example:
      >>> best = RunningTopK.empty(2)
      >>> for scores, ids in (([0.1, 0.7], [10, 11]), ([0.9, 0.5], [12, 13])):
      ...     best = best.update(jnp.array(scores), jnp.array(ids))
      >>> best.ids
      Array([12, 11], dtype=int32)
    """

    scores: jax.Array
    ids: jax.Array
    seen: jax.Array
    invalid: jax.Array
    seed: jax.Array

    @classmethod
    def empty(cls, k: int, seed: int = 0) -> "RunningTopK":
        """The best k of nothing.

        Args:
          k: how many.
          seed: of the lots that tell equal scores apart, below 2³².

        Returns:
          The state before the first batch.

        Raises:
          UserError: if k is not 1 or more.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise UserError(f"k={k!r} must be a whole number, 1 or more")
        none = jnp.zeros((), jnp.int32)
        return cls(jnp.full(k, -jnp.inf), jnp.full(k, _NOBODY, jnp.int32), none, none, jnp.uint32(seed))

    def update(self, scores: jax.Array, ids: jax.Array, *, where: jax.Array | None = None) -> "RunningTopK":
        """Adds a batch.

        Args:
          scores: ``[B]``; one that is not finite is counted, and never among the best.
          ids: ``[B]`` integers, none of which has gone in before.
          where: ``[B]`` false for padding.

        Returns:
          The best of what came before and of the batch.

        Raises:
          AssertionError: if the shapes do not fit.
        """
        chex.assert_rank([scores, ids], 1)
        where = jnp.ones(scores.shape, bool) if where is None else jnp.asarray(where, bool)
        chex.assert_equal_shape([scores, ids, where])
        finite = jnp.isfinite(scores)
        valid = where & finite
        mine = RunningTopK(
            jnp.where(valid, scores, -jnp.inf).astype(jnp.float32),
            jnp.where(valid, ids, _NOBODY).astype(jnp.int32),
            where.sum(dtype=jnp.int32),
            (where & ~finite).sum(dtype=jnp.int32),
            self.seed,
        )
        return self.merge(mine)

    def merge(self, other: "RunningTopK") -> "RunningTopK":
        """The best of both; as many as this one keeps."""
        scores, ids = jnp.concatenate([self.scores, other.scores]), jnp.concatenate([self.ids, other.ids])
        drawn = lots(jax.random.key(self.seed), ids)
        # The higher lot comes first, as everywhere; the ids are for two lots that are equal.
        order = jnp.lexsort((ids, ~drawn, -scores))[: len(self.scores)]
        seen, invalid = self.seen + other.seen, self.invalid + other.invalid
        return RunningTopK(scores[order], ids[order], seen, invalid, self.seed)

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ids and the scores, ``[k]`` each, the highest score first, fewer where fewer were seen.

        Raises:
          Unusable: if a score was not finite.
        """
        if self.invalid:
            raise Unusable(
                f"scores: {int(self.invalid)} of {int(self.seen)} are not finite; mend the network first: a score of "
                "NaN says nothing of how unsure it is"
            )
        count = min(int(self.seen), len(self.scores))
        return np.asarray(self.ids[:count]), np.asarray(self.scores[:count])
