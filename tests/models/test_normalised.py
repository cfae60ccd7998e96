"""Batch normalisation in one operation, against flax's in many."""

import os
import subprocess
import sys
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.models import loops
from effjax.models.normalised import BatchNorm, Parts


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Several steps of every loop, whatever the sizes."""
    monkeypatch.setattr(loops, "_CHUNK", 1)


class Plain(nn.Module):
    activation: object
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, shortcut=None):
        norm = nn.BatchNorm(False, momentum=0.9, dtype=self.dtype, axis_name=self.axis_name, name="norm")
        y = norm(x) if shortcut is None else shortcut + norm(x)
        return y if self.activation is None else self.activation(y)


class Fused(nn.Module):
    activation: object
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, shortcut=None):
        given = {"dtype": self.dtype, "axis_name": self.axis_name, "activation": self.activation}
        return BatchNorm(False, momentum=0.9, name="norm", **given)(x, shortcut)


def drawn(shape, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x, shortcut, weights = (jnp.asarray(rng.normal(1, 2, shape), dtype) for _ in range(3))
    params = {"norm": {name: jnp.asarray(rng.normal(1, 0.5, shape[-1:]), np.float32) for name in ("scale", "bias")}}
    stats = {"norm": {"mean": jnp.zeros(shape[-1]), "var": jnp.ones(shape[-1])}}
    return x, shortcut, weights, params, stats


def outcome(module, params, stats, x, shortcut, weights):
    """The result, the statistics, and gradients of all that has some."""

    def loss(params, x, shortcut):
        y, new = module.apply({"params": params, "batch_stats": stats}, x, shortcut, mutable="batch_stats")
        return jnp.sum((y * weights).astype(jnp.float32)), (y, new)

    wanted = (0, 1) if shortcut is None else (0, 1, 2)
    return jax.value_and_grad(loss, wanted, has_aux=True)(params, x, shortcut)


def assert_alike(found, expected, tolerance=1e-5):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
        np.testing.assert_allclose(one, other, atol=tolerance * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("shape", [(6, 9, 7, 5), (8, 3)])
@pytest.mark.parametrize("with_shortcut", [False, True])
@pytest.mark.parametrize("activation", [None, nn.relu, nn.swish])
def test_values_statistics_and_gradients_are_those_of_flax(activation, with_shortcut, shape):
    x, shortcut, weights, params, stats = drawn(shape)
    given = (params, stats, x, shortcut if with_shortcut else None, weights)
    assert_alike(outcome(Fused(activation), *given), outcome(Plain(activation), *given))


def test_what_is_elsewhere_is_what_is_on_cpu(monkeypatch):
    x, shortcut, weights, params, stats = drawn((4, 6, 5, 3))
    in_loops = outcome(Fused(nn.relu), params, stats, x, shortcut, weights)
    monkeypatch.setattr(loops, "_on_each_platform", lambda in_chunks, at_once, arrays: at_once(*arrays))
    assert_alike(in_loops, outcome(Fused(nn.relu), params, stats, x, shortcut, weights))


def test_in_half_precision_statistics_are_whole():
    x, shortcut, weights, params, stats = drawn((4, 8, 4, 6), dtype=jnp.bfloat16)
    x = x + 100  # of which squares in half precision say nothing
    given = (params, stats, x, shortcut, weights)
    found, expected = (outcome(module(nn.relu, jnp.bfloat16), *given) for module in (Fused, Plain))
    assert_alike(found[0][1][1], expected[0][1][1])
    assert_alike((found[0][1][0], found[1]), (expected[0][1][0], expected[1]), 2e-2)


@pytest.mark.parametrize("fused", [True, False])
def test_over_devices_it_is_of_the_whole_batch(fused):
    x, shortcut, weights, params, stats = drawn((6, 4, 4, 3))
    (_, (whole, new)), gradients = outcome(Plain(nn.relu), params, stats, x, shortcut, weights)
    module = (Fused if fused else Plain)(nn.relu, axis_name="devices")
    split = [array.reshape(2, 3, *array.shape[1:]) for array in (x, shortcut, weights)]
    one = partial(outcome, module, params, stats)
    (_, (y, news)), found = jax.vmap(one, axis_name="devices")(*split)
    assert_alike(y.reshape(whole.shape), whole)
    assert_alike(jax.tree.map(lambda a: a[1], news), new)
    assert_alike(jax.tree.map(lambda a: a.sum(0), found[0]), gradients[0], 1e-4)
    assert_alike([a.reshape(x.shape) for a in found[1:]], list(gradients[1:]), 1e-4)


@pytest.mark.parametrize("with_shortcut", [False, True])
def test_parts_of_a_batch_are_each_normalised_alone(with_shortcut):
    x, shortcut, weights, params, stats = drawn((6, 4, 4, 3))
    shortcut = shortcut if with_shortcut else None
    found = outcome(Fused(nn.relu, axis_name=Parts(2)), params, stats, x, shortcut, weights)
    cut = [(array[:3], array[3:]) for array in (x, shortcut, weights) if array is not None]
    given = [(one[0], one[1] if with_shortcut else None, one[-1]) for one in zip(*cut, strict=True)]
    (one, other) = (outcome(Plain(nn.relu), params, stats, *part) for part in given)
    assert_alike(found[0][1][0], jnp.concatenate([one[0][1][0], other[0][1][0]]))
    assert_alike(found[0][1][1], jax.tree.map(lambda a, b: (a + b) / 2, one[0][1][1], other[0][1][1]))
    assert_alike(found[1][0], jax.tree.map(jnp.add, one[1][0], other[1][0]), 1e-4)
    for mine, first, second in zip(found[1][1:], one[1][1:], other[1][1:], strict=True):
        assert_alike(mine, jnp.concatenate([first, second]))


def test_a_batch_that_parts_do_not_divide_is_one():
    given = drawn((5, 4, 4, 3))
    x, shortcut, weights, params, stats = given
    assert_alike(*(outcome(Fused(nn.relu, axis_name=a), params, stats, x, shortcut, weights) for a in (Parts(2), None)))


def test_members_are_each_what_they_are_alone():
    several = [drawn((4, 5, 4, 3), seed) for seed in range(3)]
    x, shortcut, weights, params, stats = jax.tree.map(lambda *a: jnp.stack(a), *several)
    found = jax.vmap(partial(outcome, Fused(nn.relu)))(params, stats, x, shortcut, weights)
    for i, (x, shortcut, weights, params, stats) in enumerate(several):
        alone = outcome(Fused(nn.relu), params, stats, x, shortcut, weights)
        assert_alike(jax.tree.map(lambda a, i=i: a[i], found), alone)


def test_by_what_is_kept_it_is_flax_to_the_bit():
    x, shortcut, _, params, _ = drawn((4, 5, 4, 3))
    stats = {"mean": jnp.array([0.3, -1, 2]), "var": jnp.array([0.5, 2, 1])}
    variables = {"params": params["norm"], "batch_stats": stats}
    plain = nn.relu(shortcut + nn.BatchNorm(True).apply(variables, x))
    np.testing.assert_array_equal(BatchNorm(True, activation=nn.relu).apply(variables, x, shortcut), plain)


def test_statistics_have_no_gradient():
    x, _, _, params, stats = drawn((4, 5, 4, 3))

    def of_statistics(x):
        variables = {"params": params, "batch_stats": stats}
        return Fused(None).apply(variables, x, mutable="batch_stats")[1]["batch_stats"]["norm"]["mean"].sum()

    assert not jax.grad(of_statistics)(x).any()


_SHARDED = """
import flax.linen as nn, jax, jax.numpy as jnp, re
from jax.sharding import NamedSharding, PartitionSpec
from effjax.models import normalised
mesh = jax.make_mesh((2,), ("data",))
by_batch, same = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
def loss(x, scale, bias, shortcut):
    return jnp.square(normalised.batch_normalised(x, scale, bias, shortcut, nn.relu, 1e-5, None, jnp.float32)[0]).sum()
x, c = jax.ShapeDtypeStruct((64, 32, 32, 16), jnp.float32), jax.ShapeDtypeStruct((16,), jnp.float32)
step = jax.jit(jax.grad(loss, (0, 1, 2, 3)), in_shardings=(by_batch, same, same, by_batch))
text = step.lower(x, c, c, x).compile().as_text()
print({name: len(re.findall(rf" {name}[-(]", text)) for name in ("all-gather", "all-to-all", "collective-permute")})
print(len(re.findall(r" while[(]", text)))
"""


def test_a_batch_on_several_devices_stays_there():
    flags = "--xla_force_host_platform_device_count=2"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    done = subprocess.run([sys.executable, "-c", _SHARDED], env=environment, capture_output=True, text=True, check=True)
    moved, loops = done.stdout.splitlines()
    assert moved == "{'all-gather': 0, 'all-to-all': 0, 'collective-permute': 0}"
    assert int(loops) == 4
