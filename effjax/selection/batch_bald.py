"""Batches that are informative together: each pick adds the most to what the batch says about the members."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from effjax.numerics import check_probs
from effjax.selection.checks import check_count
from effjax.selection.pools import padded
from effjax.selection.products import product
from effjax.selection.ties import highest_one, lots
from effjax.typing import Array

_CHUNK_ELEMENTS = 2**22  # of the table of a chunk of candidates: 16 MiB


def batch_bald(key: jax.Array, probs: Array, k: int, *, num_samples: int = 10_000) -> jax.Array:
    """Picks k examples whose joint mutual information with the members is greatest, greedily.

    The entropy of several labels together is exact while there are at most ``num_samples`` combinations of them; from
    there on combinations are drawn, as many from each member as from any other. Candidates are looked at in chunks:
    memory stays below some tens of MiB, whatever the pool.

    Args:
      key: a PRNG key, for the samples, and the lots that tell equal candidates apart.
      probs: ``[M, N, C]`` probabilities of M members.
      k: how many, from 1 to N.
      num_samples: how many combinations of labels the joint entropy is taken over.

    Returns:
      ``[k]`` int32 positions in the order they were picked, no duplicates.

    Raises:
      UserError: if k is out of range, or what should be probabilities are none.

    References:
      Kirsch et al., `BatchBALD: Efficient and Diverse Batch Acquisition for Deep Bayesian Active Learning
      <https://arxiv.org/abs/1906.08158>`_, 2019, algorithm 1.
    """
    chex.assert_rank(probs, 3)
    members, count, classes = probs.shape
    check_count(k, count)
    check_probs("probs", probs)
    probs = padded(probs, axis=1)
    lots_of = lots(key, np.arange(probs.shape[1]))
    conditional, taken = _start(probs, count)
    table, weights = jnp.ones((1, members)), jnp.ones(1)
    drawn = jnp.zeros((members * max(num_samples // members, 1), members))
    chosen, exact = [], True
    for number in range(k):
        position, taken, picked = _pick(probs, conditional, taken, table, weights, lots_of)
        chosen.append(position)
        drawn = _draw(jax.random.fold_in(key, number), drawn, picked)
        exact = exact and len(table) * classes <= num_samples
        table, weights = _enumerate(table, weights, picked) if exact else _relative(drawn)
    return jnp.stack(chosen).astype(jnp.int32)


@jax.jit
def _start(probs: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The entropy of a label where the member is known, ``[N]``, and who must not be picked: the padding."""
    entropies = jax.lax.map(lambda own: jax.scipy.special.entr(own).sum(-1), probs)
    return product(jnp.full(len(probs), 1 / len(probs)), entropies), jnp.arange(probs.shape[1]) >= count


@jax.jit
def _pick(
    probs: jax.Array,
    conditional: jax.Array,
    taken: jax.Array,
    table: jax.Array,
    weights: jax.Array,
    drawn: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The candidate that adds most, who is taken now, and its predictions ``[M, C]``."""
    scores = jnp.where(taken, -jnp.inf, _entropy_given_batch(probs, table, weights) - conditional)
    position = highest_one(scores, drawn)
    return position, taken.at[position].set(True), probs[:, position]


def _entropy_given_batch(probs: jax.Array, table: jax.Array, weights: jax.Array) -> jax.Array:
    """The entropy of a candidate's label where those of the batch are known, ``[N]``.

    With the entropy of the batch, the same for all candidates, it is their joint entropy. Left out, it cannot drown the
    differences; nor do the probabilities of many labels together, which soon are too small for float32, appear.

    Args:
      probs: ``[M, N, C]``.
      table: ``[S, M]`` what each member gives a combination of the batch's labels, over what they give it on average.
      weights: ``[S]`` the probability of a combination; of those drawn, one over their number.
    """
    members, total, classes = probs.shape
    size = max(min(_CHUNK_ELEMENTS // (len(table) * classes), total), 1)
    missing = -total % size
    chunks = jnp.pad(probs, ((0, 0), (0, missing), (0, 0))).reshape(members, -1, size * classes).swapaxes(0, 1)

    def entropy(chunk: jax.Array) -> jax.Array:
        label = product(table, chunk) / members
        return product(weights, jax.scipy.special.entr(label)).reshape(size, classes).sum(-1)

    return jax.lax.map(entropy, chunks).reshape(-1)[:total]


@jax.jit
def _enumerate(table: jax.Array, weights: jax.Array, picked: jax.Array) -> tuple[jax.Array, jax.Array]:
    """All combinations with one more label, of ``picked`` ``[M, C]``."""
    longer = (table[:, None, :] * picked.T[None]).reshape(-1, table.shape[1])
    mean = longer.mean(-1)
    return longer / jnp.where(mean > 0, mean, 1.0)[:, None], jnp.repeat(weights, picked.shape[1]) * mean


@jax.jit
def _draw(key: jax.Array, drawn: jax.Array, picked: jax.Array) -> jax.Array:
    """Draws one more label for each combination: member m draws the m-th part of them.

    Args:
      key: a PRNG key.
      drawn: ``[S, M]`` logarithms of what each member gives a combination so far.
      picked: ``[M, C]`` predictions of the example that has been picked.
    """
    members = len(picked)
    below = jnp.cumsum(picked, axis=-1)[:, None]
    # By the inverse of the distribution: jax.random.categorical takes six times as long to compile.
    draws = below[..., -1:] * jax.random.uniform(key, (members, len(drawn) // members, 1))
    labels = (draws >= below[..., :-1]).sum(-1)
    return drawn + jnp.log(jnp.maximum(picked, 1e-30)).T[labels.reshape(-1)]


@jax.jit
def _relative(drawn: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The table of what has been drawn."""
    count, members = drawn.shape
    return members * jax.nn.softmax(drawn), jnp.full(count, 1 / count)
