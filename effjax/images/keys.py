"""The keys of the examples of a batch, and what is drawn with them."""

import chex
import jax
import jax.numpy as jnp


def per_example_keys(key: jax.Array, batch: int) -> jax.Array:
    """Returns one key an example, whichever way the caller gave them.

    Args:
      key: one PRNG key an example, ``[B]``, or a single one, from which a key is derived for each place in the batch.
        Typed keys (``jax.random.key``) and raw ones (``jax.random.PRNGKey``, uint32 with a trailing axis) do alike.
      batch: the number of examples, B.

    Returns:
      Typed keys, ``[B]``.

    Raises:
      AssertionError: if there are neither one nor B keys.
    """
    keys = key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
    if keys.ndim == 0:
        return jax.vmap(jax.random.fold_in, (None, 0))(keys, jnp.arange(batch))
    chex.assert_shape(keys, (batch,))
    return keys


def whole_below(draw: jax.Array, bound: jax.Array | int) -> jax.Array:
    """Makes a draw from [0, 1) a whole number below ``bound``, int32."""
    return jnp.floor(draw * bound).astype(jnp.int32)
