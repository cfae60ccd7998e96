"""Every random draw of a run, as a function of (seed, step, purpose, example id)."""

import zlib

import jax
import jax.numpy as jnp


def purpose_key(seed: jax.Array | int, step: jax.Array | int, purpose: str) -> jax.Array:
    """Returns the key of one purpose (``"dropout"``, ``"augment"``, …) at one step, or one each at several, ``[B]``.

    Nothing is split off and carried along, so a resumed run draws what the uninterrupted one would have drawn.
    """
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
    return jax.vmap(jax.random.fold_in, (None, 0))(key, step) if jnp.ndim(step) else jax.random.fold_in(key, step)


def seed_of_view(seed: jax.Array | int, name: str) -> jax.Array:
    """Returns the seed that a further view of a run draws by, ``[]``: in it nothing is drawn as in the others."""
    return jax.random.bits(purpose_key(seed, 0, f"view {name}"), (), jax.numpy.uint32)


def example_keys(key: jax.Array, ids: jax.Array, copies: jax.Array | None = None) -> jax.Array:
    """Returns one key an example, ``[B]``, from its global id: the same wherever in the batch the example stands.

    The key is one of all, or of each, ``[B]``. Where an example comes several times in a batch, ``copies`` ``[B]``
    tells these apart.
    """
    keys = jax.vmap(jax.random.fold_in, in_axes=(None if key.ndim == 0 else 0, 0))(key, ids)
    return keys if copies is None else jax.vmap(jax.random.fold_in)(keys, copies)
