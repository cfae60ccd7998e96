"""Maxima and means over windows: XLA's, with their gradients."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.models.pooling import average_pool, max_pool, max_pool_2x2

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


@pytest.mark.parametrize(("shape", "size", "stride", "pads"), CASES)
def test_means_are_those_of_xla_and_their_gradients_but_for_rounding(shape, size, stride, pads):
    rng = np.random.default_rng(size)
    x = rng.normal(size=shape).astype(np.float32)

    def by_xla(x):
        return nn.avg_pool(x, (size, size), (stride, stride), pads)

    weights = rng.normal(size=by_xla(x).shape).astype(np.float32)
    pools = (functools.partial(average_pool, size=size, stride=stride, pads=pads), by_xla)
    ours, theirs = (jax.jit(lambda x, pool=pool: jax.vjp(pool, x)[1](weights)[0])(x) for pool in pools)
    np.testing.assert_array_equal(pools[0](x), by_xla(x))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def shared(x):
    """As JAX differentiates a maximum by itself: equal elements share."""
    batch, height, width, channels = x.shape
    cut = x[:, : height // 2 * 2, : width // 2 * 2]
    return cut.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("shape", [(2, 6, 4, 3), (2, 7, 5, 1), (1, 2, 3, 2)])
def test_pools_of_two_by_two_and_their_gradients_are_those_of_a_maximum(shape, ties):
    rng = np.random.default_rng(0)
    x = (rng.integers(-1, 2, shape) if ties else rng.normal(size=shape)).astype(np.float32)
    weights = rng.normal(size=shared(x).shape).astype(np.float32)
    ours, theirs = (jax.jit(lambda x, pool=pool: jax.vjp(pool, x)[1](weights)[0])(x) for pool in (max_pool_2x2, shared))
    np.testing.assert_array_equal(max_pool_2x2(x), nn.max_pool(x, (2, 2), (2, 2)))
    np.testing.assert_array_equal(np.asarray(ours).view(np.int32), np.asarray(theirs).view(np.int32))
    if not ties:
        flax = jax.grad(lambda x: (nn.max_pool(x, (2, 2), (2, 2)) * weights).sum())(x)
        np.testing.assert_array_equal(ours, flax)


def test_pools_of_two_by_two_of_each_network():
    x = np.random.default_rng(0).normal(size=(3, 2, 5, 4, 2)).astype(np.float32)

    def gradient(x):
        return jax.grad(lambda x: (max_pool_2x2(x) ** 2).sum())(x)

    np.testing.assert_array_equal(jax.vmap(gradient)(x), np.stack([gradient(one) for one in x]))
