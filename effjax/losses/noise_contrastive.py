"""CRD: each example's own counterpart told from many others of other classes, by noise-contrastive estimation."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from effjax.losses.batches import gather
from effjax.losses.masking import masked
from effjax.numerics import EXACT, at_least_float32, unit

_SMALL = 1e-7  # as RepDistiller has it


class OfOtherClasses(NamedTuple):
    """Examples in the order of their classes, to draw from those of other classes.

    Attributes:
      order: their global ids, class by class, ``[N]``.
      starts: where each class begins there, ``[K]``.
      counts: how many examples each has, ``[K]``.
    """

    order: jax.Array
    starts: jax.Array
    counts: jax.Array


def of_other_classes(keys: jax.Array, labels: jax.Array, examples: OfOtherClasses, count: int) -> jax.Array:
    """Draws examples of other classes than one's own, each as likely as any other, with replacement.

    RepDistiller draws them without; the expectation of the loss is the same.

    Args:
      keys: ``[B]`` typed keys.
      labels: ``[B]`` classes.
      examples: what there is to draw from; at least one has another class.
      count: how many for each.

    Returns:
      Global ids, ``[B, count]``.

    Example:
      >>> two = OfOtherClasses(jnp.array([4, 7, 9]), jnp.array([0, 2]), jnp.array([2, 1]))  # 4 and 7; 9
      >>> of_other_classes(jax.random.split(jax.random.key(0), 1), jnp.array([0]), two, 3)
      Array([[9, 9, 9]], dtype=int32)
    """
    starts, counts = examples.starts[labels], examples.counts[labels]

    def draw(key: jax.Array, start: jax.Array, own: jax.Array) -> jax.Array:
        place = jax.random.randint(key, (count,), 0, len(examples.order) - own)
        return examples.order[jnp.where(place < start, place, place + own)]

    return jax.vmap(draw)(keys, starts, counts)


def noise_contrastive(
    embeddings: jax.Array,
    bank: jax.Array,
    ids: jax.Array,
    negatives: jax.Array,
    normaliser: jax.Array,
    *,
    examples: int,
    temperature: float = 0.07,
    where: jax.Array | None = None,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """How well an embedding tells its counterpart in a memory from K others, per example: one direction of CRD.

    With ``p_j = exp(e · m_j / T) / Z``, N examples and noise that has each with probability 1/N:
    ``−log (p_i / (p_i + K/N)) − Σ_k log (K/N / (p_k + K/N))``. Z is computed once, at first: N times the mean of
    ``exp(e · m / T)`` over all that is compared in that batch; then it is a constant.

    Args:
      embeddings: e, ``[B, D]`` of unit length.
      bank: m, the memory of the other network's embeddings by global id, ``[M, D]``; it has no gradient.
      ids: ``[B]``, whose counterpart is the right one.
      negatives: ``[B, K]`` ids of others.
      normaliser: Z, ``[]``; below 0 where it has not been computed yet.
      examples: N, how many the training set has.
      temperature: T.
      where: ``[B]`` booleans; examples where it is false give 0 and have no part in Z.
      axis_name: the mapped axis over which the batch is spread.

    Returns:
      ``(loss [B], Z [])``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> loss, z = noise_contrastive(
      ...   jnp.array([[1.0, 0.0]]), jnp.eye(2), jnp.array([0]), jnp.array([[1]]), -1.0, examples=2, temperature=1.0
      ... )
      >>> z  # 2 · (e¹ + e⁰) / 2, so p is e / (e + 1) and 1 / (e + 1), against ½
      Array(3.7182817, dtype=float32)
      >>> loss  # log(1 + ½ / .731) + log(1 + .269 / ½)
      Array([0.951543], dtype=float32)

    References:
      Tian et al., `Contrastive Representation Distillation <https://arxiv.org/abs/1910.10699>`_, 2020, eq. 18;
      Wu et al., `Unsupervised Feature Learning via Non-Parametric Instance Discrimination
      <https://arxiv.org/abs/1805.01978>`_, 2018; `RepDistiller <https://github.com/HobbitLong/RepDistiller>`_,
      ``crd/criterion.py`` and ``crd/memory.py``.
    """
    chex.assert_rank([embeddings, bank, negatives], 2)
    chex.assert_equal_shape_prefix([embeddings, ids, negatives], 1)
    own = at_least_float32(jnp.asarray(embeddings))
    # Products with the whole memory, of which those that count are picked: far less to move than the picked rows.
    scores = jnp.matmul(own, jax.lax.stop_gradient(bank).T, precision=EXACT) / temperature
    compared = jnp.concatenate([ids[:, None], negatives], axis=1)
    likely = jnp.exp(jnp.take_along_axis(scores, compared, axis=1))
    weights = jnp.ones(len(own)) if where is None else jnp.asarray(where, likely.dtype)
    sums = jnp.stack([(likely.mean(1) * weights).sum(), weights.sum()])
    total, count = sums if axis_name is None else jax.lax.psum(sums, axis_name)
    fresh = jax.lax.stop_gradient(total / jnp.maximum(count, 1)) * examples
    z = jnp.where(jnp.asarray(normaliser) < 0, fresh, normaliser)
    probable, noise = likely / z, negatives.shape[1] / examples
    right = -jnp.log(probable[:, 0] / (probable[:, 0] + noise + _SMALL))
    wrong = -jnp.log(noise / (probable[:, 1:] + noise + _SMALL)).sum(1)
    return masked(right + wrong, where), z


def moved_memory(
    bank: jax.Array, embeddings: jax.Array, ids: jax.Array, *, momentum: float = 0.5, axis_name: str | None = None
) -> jax.Array:
    """The memory after a batch: those of its examples move towards their embeddings, and have unit length.

    Args:
      bank: ``[M, D]``, the same on all devices.
      embeddings: ``[B, D]``; of an example that occurs twice, their mean.
      ids: ``[B]``.
      momentum: the share that stays.
      axis_name: the mapped axis over which the batch is spread.

    Returns:
      ``[M, D]``, the same on all devices.

    Example:
      >>> moved_memory(jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.array([[1.0, 0.0]]), jnp.array([0]))
      Array([[0.70710677, 0.70710677],
             [1.        , 0.        ]], dtype=float32)
    """
    bank = jnp.asarray(bank)
    embeddings = gather(jax.lax.stop_gradient(at_least_float32(jnp.asarray(embeddings))), axis_name)
    ids = gather(jnp.asarray(ids), axis_name)
    # Of equal ids all write the same row, so that it does not matter who writes last.
    same = (ids[:, None] == ids[None, :]).astype(bank.dtype)
    mean = jnp.matmul(same, embeddings, precision=EXACT) / same.sum(1, keepdims=True)
    return bank.at[ids].set(unit(momentum * bank[ids] + (1 - momentum) * mean))
