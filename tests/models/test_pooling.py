"""Maxima over windows: XLA's, to the bit, with their gradients."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.models.pooling import max_pool

CASES = [  # images, size, stride, zeros at the sides
    ((2, 13, 14, 3), 3, 2, ((1, 1), (1, 1))),
    ((2, 7, 8, 3), 2, 2, ((0, 0), (0, 0))),
    ((2, 6, 5, 2), 3, 1, ((1, 1), (0, 2))),
    ((2, 9, 9, 2), 3, 2, ((0, 1), (1, 0))),
    ((1, 11, 8, 2), 2, 3, ((1, 0), (0, 2))),
    ((1, 10, 9, 2), 5, 2, ((2, 2), (2, 1))),
    ((2, 4, 6, 1), 4, 4, ((0, 0), (0, 2))),
]


def by_xla(x, size, stride, pads):
    return nn.max_pool(x, (size, size), (stride, stride), pads)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize(("shape", "size", "stride", "pads"), CASES)
def test_values_and_gradients_are_those_of_xla(shape, size, stride, pads, ties):
    rng = np.random.default_rng(size)
    x = (rng.integers(-2, 3, shape) if ties else rng.normal(size=shape)).astype(np.float32)
    weights = rng.normal(size=by_xla(x, size, stride, pads).shape).astype(np.float32)

    def of(pool):
        return jax.jit(lambda x: jax.vjp(lambda x: pool(x, size, stride, pads), x)[1](weights)[0])

    np.testing.assert_array_equal(max_pool(x, size, stride, pads), by_xla(x, size, stride, pads))
    np.testing.assert_array_equal(of(max_pool)(x), of(by_xla)(x))


def test_of_bfloat16_and_of_each_network():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, 2, 7, 7, 4)), jnp.bfloat16)
    weights = jnp.asarray(rng.normal(size=(3, 2, 4, 4, 4)), jnp.bfloat16)
    pools = (functools.partial(pool, size=3, stride=2, pads=((1, 1), (1, 1))) for pool in (max_pool, by_xla))
    ours, theirs = (
        jax.jit(jax.vmap(lambda x, weights, pool=pool: jax.vjp(pool, x)[1](weights)[0]))(x, weights) for pool in pools
    )
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(ours.astype(jnp.float32), theirs.astype(jnp.float32), rtol=0.02, atol=0.02)
