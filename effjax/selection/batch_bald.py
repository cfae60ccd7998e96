"""Batches that are informative together: each pick adds the most to what the batch says about the members."""

from functools import partial

import chex
import jax
import jax.numpy as jnp

from effjax.selection.checks import check_count, check_finite

_CHUNK_ELEMENTS = 2**22  # of the table of a chunk of candidates: 16 MiB


def batch_bald(key: jax.Array, probs: jax.Array, k: int, *, num_samples: int = 10_000) -> jax.Array:
    """Picks k examples whose joint mutual information with the members is greatest, greedily.

    The entropy of several labels together is exact while there are at most ``num_samples`` combinations of them; from
    there on combinations are sampled from the members' mean. Candidates are looked at in chunks: memory stays below
    some tens of MiB, whatever the pool.

    Args:
      key: a PRNG key, for the samples.
      probs: ``[M, N, C]`` probabilities of M members.
      k: how many, from 1 to N.
      num_samples: how many combinations of labels the joint entropy is taken over.

    Returns:
      ``[k]`` int32 positions in the order they were picked, no duplicates; of equal ones the first.

    Raises:
      UserError: if k is out of range or a probability is not finite.

    References:
      Kirsch et al., `BatchBALD: Efficient and Diverse Batch Acquisition for Deep Bayesian Active Learning
      <https://arxiv.org/abs/1906.08158>`_, 2019, algorithm 1.
    """
    chex.assert_rank(probs, 3)
    check_count(k, probs.shape[1])
    check_finite("probs", probs)
    probs = jnp.asarray(probs, jnp.float32)
    members, _, classes = probs.shape
    conditional = jax.scipy.special.entr(probs).sum(-1).mean(0)  # of one label, the members known: they just add up
    table, weights = jnp.ones((1, members)), jnp.ones(1)
    # Of one length all the way, −1 where there is none yet: programs are compiled for shapes.
    taken, chosen, exact = jnp.zeros(probs.shape[1], bool), jnp.full(k, -1, jnp.int32), True
    for number in range(k):
        position, taken = _pick(probs, conditional, taken, table, weights)
        chosen = chosen.at[number].set(position)
        exact = exact and len(table) * classes <= num_samples
        if exact:
            table, weights = _enumerate(table, probs[:, position])
        else:
            table, weights = _sample(jax.random.fold_in(key, number), probs, chosen, num_samples)
    return chosen


@jax.jit
def _pick(
    probs: jax.Array, conditional: jax.Array, taken: jax.Array, table: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The candidate that adds most, and who is taken now."""
    scores = jnp.where(taken, -jnp.inf, _joint_entropy(probs, table, weights) - conditional)
    position = jnp.argmax(scores)
    return position, taken.at[position].set(True)


def _joint_entropy(probs: jax.Array, table: jax.Array, weights: jax.Array) -> jax.Array:
    """The entropy of a candidate's label together with those of the batch, ``[N]``.

    Args:
      probs: ``[M, N, C]``.
      table: ``[S, M]`` what each member gives a combination of the batch's labels.
      weights: ``[S]`` by which a combination counts: 1 where all are there, else 1 / (S · its probability).
    """
    members, total, classes = probs.shape
    size = max(min(_CHUNK_ELEMENTS // (len(table) * classes), total), 1)
    missing = -total % size
    padded = jnp.pad(probs, ((0, 0), (0, missing), (0, 0)), constant_values=1.0)
    chunks = padded.reshape(members, -1, size * classes).swapaxes(0, 1)

    def entropy(chunk: jax.Array) -> jax.Array:
        joint = (table @ chunk / members).reshape(len(table), size, classes)
        return jnp.einsum("s,snc->n", weights, jax.scipy.special.entr(joint))

    return jax.lax.map(entropy, chunks).reshape(-1)[:total]


@jax.jit
def _enumerate(table: jax.Array, picked: jax.Array) -> tuple[jax.Array, jax.Array]:
    """All combinations with one more label, of ``picked`` ``[M, C]``."""
    longer = (table[:, None, :] * picked.T[None]).reshape(-1, table.shape[1])
    return longer, jnp.ones(len(longer))


@partial(jax.jit, static_argnames="num_samples")
def _sample(key: jax.Array, probs: jax.Array, chosen: jax.Array, num_samples: int) -> tuple[jax.Array, jax.Array]:
    """Combinations of the labels of ``chosen``, as many drawn from each member as from any other."""
    members = len(probs)
    picked = jnp.where((chosen >= 0)[:, None], probs[:, chosen], 1.0)  # [M, k, C]; where there is none, a factor of 1
    each = max(num_samples // members, 1)
    logits = jnp.log(jnp.maximum(picked, 1e-30))
    labels = jax.random.categorical(key, logits[:, None], shape=(members, each, len(chosen))).reshape(-1, len(chosen))
    # What every member gives every combination: sums of logarithms, for products of many small ones vanish.
    table = jnp.exp(jnp.take_along_axis(logits[None], labels[:, None, :, None], axis=-1)[..., 0].sum(-1))
    return table, 1.0 / (len(table) * jnp.maximum(table.mean(-1), 1e-37))
