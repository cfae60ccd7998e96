"""Images that differ in what is in them: objects of the same class are compared with one another."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from effjax.selection.checks import check_count
from effjax.typing import Array

_ABSENT = 2.0  # the distance to an image without the class, the largest that a cosine allows
_ROUNDS = 25  # of medoids, at most


def category_diverse(key: jax.Array, features: Array, classes: Array, scores: Array, present: Array, k: int) -> Array:
    """Picks the medoids of k clusters of images.

    Args:
      key: a PRNG key, for the first medoids.
      features: of the objects found in each image, ``[N, I, D]``.
      classes: of the objects, integers ``[N, I]``.
      scores: how sure the detector is of them ``[N, I]``: by that they count.
      present: booleans ``[N, I]``, false where an image has fewer objects.
      k: how many, from 1 to N.

    Returns:
      ``[k]`` int32 positions, no duplicates.

    Raises:
      UserError: if k is out of range.

    References:
      Yang et al, 2024, Plug and Play Active Learning for Object Detection, https://arxiv.org/abs/2211.11612, sec. 3.3.
    """
    check_count(k, len(features))
    return jnp.asarray(_medoids(key, np.asarray(image_distances(features, classes, scores, present)), k), jnp.int32)


@jax.jit
def image_distances(features: Array, classes: Array, scores: Array, present: Array) -> jax.Array:
    """How different images are by their objects.

    From A to B it is the mean over A's objects, by their scores, of one less the cosine with the most similar object of
    the same class in B, 2 where B has none; symmetrised. Two images without objects are alike.

    Args:
      features: ``[N, I, D]``.
      classes: integers ``[N, I]``.
      scores: ``[N, I]``.
      present: booleans ``[N, I]``.

    Returns:
      ``[N, N]``, from 0 to 2.

    Raises:
      AssertionError: if the shapes do not fit.
    """
    chex.assert_equal_shape([classes, scores, present])
    chex.assert_shape(features, (*classes.shape, None))
    features = jnp.asarray(features, jnp.float32)
    directions = features / jnp.maximum(jnp.linalg.norm(features, axis=-1, keepdims=True), 1e-12)
    weights = jnp.where(present, jnp.asarray(scores, jnp.float32), 0.0)

    def from_one(image: tuple[jax.Array, ...]) -> jax.Array:
        own, kind, weight, there = image
        cosine = jnp.einsum("id,njd->nij", own, directions, precision="highest")
        same = (kind[:, None] == classes[:, None, :]) & present[:, None, :]
        nearest = jnp.where(same, 1 - cosine, _ABSENT).min(-1)  # [N, I]
        total = weight.sum()
        found = (nearest * weight).sum(-1) / jnp.maximum(total, 1e-12)
        return jnp.where(there.any() & (total > 0), found, jnp.where(present.any(-1), _ABSENT, 0.0))

    one_way = jax.lax.map(from_one, (directions, jnp.asarray(classes), weights, jnp.asarray(present)))
    return (one_way + one_way.T) / 2


def _medoids(key: jax.Array, distances: np.ndarray, k: int) -> np.ndarray:
    """k-medoids from a k-means++ start."""
    number = len(distances)
    medoids: list[int] = []
    nearest = np.ones(number)
    for one in jax.random.split(key, k):
        weights = np.where(np.isin(np.arange(number), medoids), -np.inf, np.log(np.maximum(nearest, 1e-15)))
        medoids.append(int(np.argmax(weights + np.asarray(jax.random.gumbel(one, (number,))))))
        nearest = np.minimum(nearest if len(medoids) > 1 else np.inf, distances[medoids[-1]] ** 2)
    chosen = np.asarray(medoids)
    for _ in range(_ROUNDS):
        cluster = distances[chosen].argmin(0)
        cluster[chosen] = np.arange(k)  # where two images are alike, each medoid keeps its own
        moved = chosen.copy()
        for own in range(k):
            members = np.flatnonzero(cluster == own)
            moved[own] = members[distances[np.ix_(members, members)].sum(0).argmin()]
        if np.array_equal(moved, chosen):
            break
        chosen = moved
    return chosen
