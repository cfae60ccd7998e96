"""Dropout by example, pooling, batch normalisation, convolutions in groups."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models
from effjax.errors import UserError
from effjax.models.layers import Dropout, batch_norm, conv_no_bias

# What runs once is not worth optimising.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def keys_for(size, seed=0):
    return jax.random.split(jax.random.key(seed), size)


class TwoDropouts(nn.Module):
    rate: float

    @nn.compact
    def __call__(self, x, keys):
        return Dropout(self.rate, name="a")(x, keys), Dropout(self.rate, name="b")(x, keys)


def eager_drop(x, keys, rate=0.3):
    return TwoDropouts(rate).apply({}, x, keys)


drop = quick_jit(eager_drop, static_argnames="rate")


@pytest.mark.parametrize("shape", [(6, 5, 5, 3), (6, 8), (6, 1)])
def test_dropout_follows_the_example_not_its_place(shape):
    x, keys = jax.random.normal(jax.random.key(1), shape), keys_for(6)
    whole = np.stack(drop(x, keys))
    order = np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_array_equal(np.stack(drop(x[order], keys[order])), whole[:, order])
    parts = [np.stack(drop(x[i : i + 2], keys[i : i + 2])) for i in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_dropout_is_the_same_under_jit_and_vmap():
    x, keys = jnp.ones((6, 33)), keys_for(6)
    eager = np.stack(eager_drop(x, keys))
    np.testing.assert_array_equal(np.stack(jax.jit(eager_drop)(x, keys)), eager)
    # As over a mapped axis of devices: three shards of two examples.
    shards = jax.vmap(drop)(x.reshape(3, 2, 33), keys.reshape(3, 2))
    np.testing.assert_array_equal(np.stack(shards).reshape(2, 6, 33), eager)


def test_dropout_draws_differ_between_layers_examples_and_keys():
    x = jnp.ones((4, 256))
    a, b = drop(x, keys_for(4))
    assert (a != b).any(axis=1).all()
    assert (a[0] != a[1]).any()
    assert (a != drop(x, keys_for(4, seed=1))[0]).any(axis=1).all()


@pytest.mark.parametrize("rate", [0.05, 0.25, 0.5, 0.9])
def test_dropout_keeps_the_asked_share_and_the_expectation(rate):
    kept, _ = drop(jnp.ones((8, 50_001)), keys_for(8), rate)
    share = float((kept > 0).mean())
    deviation = (rate * (1 - rate) / kept.size) ** 0.5
    assert abs(share - (1 - rate)) < 5 * deviation
    np.testing.assert_allclose(np.unique(kept), [0, 1 / (1 - rate)], rtol=2e-4)
    # The neighbours in one random word are independent.
    pairs = kept[:, :50_000].reshape(-1, 2) > 0
    assert abs(float(pairs.all(1).mean()) - (1 - rate) ** 2) < 0.01


def test_dropout_off_is_the_identity():
    x = jnp.ones((2, 3))
    assert eager_drop(x, None)[0] is x
    assert eager_drop(x, keys_for(2), rate=0.0)[0] is x


def test_dropout_gradient_passes_kept_elements_only():
    x, keys = jnp.ones((2, 64)), keys_for(2)
    gradient = jax.grad(lambda x: eager_drop(x, keys, 0.5)[0].sum())(x)
    np.testing.assert_array_equal(gradient, drop(x, keys, 0.5)[0])


def test_batch_norm_normalises_by_the_batch_and_tracks_a_tenth_of_it():
    x = jax.random.normal(jax.random.key(0), (8, 3, 3, 2)) * 3 + 5
    norm = batch_norm("norm", train=True, dtype=jnp.float32, axis_name=None)
    variables = norm.init(jax.random.key(0), x)
    y, new = norm.apply(variables, x, mutable=["batch_stats"])
    mean, var = np.mean(x, (0, 1, 2)), np.var(x, (0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-5)
    np.testing.assert_allclose(new["batch_stats"]["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(new["batch_stats"]["var"], 0.9 + 0.1 * var, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"), [("resnet8", {"width": 0.25}), ("densenet", {"depth": 10, "growth": 2, "dropout": 0})]
)
def test_statistics_over_an_axis_are_those_of_the_whole_batch(name, options):
    images = jax.random.normal(jax.random.key(0), (8, 8, 8, 3)) * jnp.arange(1.0, 9)[:, None, None, None]
    alone = models.create(name, 3, **options)
    mapped = models.create(name, 3, axis_name="batch", **options)
    variables = models.init(mapped, jax.random.key(1), images.shape[1:])
    # The axis need not exist at initialisation, nor in evaluation.
    jax.eval_shape(partial(mapped.init, train=True), jax.random.key(1), images)
    jax.eval_shape(mapped.apply, variables, images)

    def train(module):
        def apply(images):
            outputs, new = module.apply(variables, images, train=True, mutable=["batch_stats"])
            return outputs.logits, new

        return apply

    whole, whole_stats = quick_jit(train(alone))(images)
    shards = images.reshape(4, 2, 8, 8, 3)
    parts, part_stats = quick_jit(jax.vmap(train(mapped), axis_name="batch"))(shards)
    np.testing.assert_allclose(parts.reshape(8, 3), whole, atol=1e-4)
    jax.tree.map(lambda p, w: np.testing.assert_allclose(p[2], w, atol=1e-5), part_stats, whole_stats)
    unsynchronised, _ = quick_jit(jax.vmap(train(alone)))(shards)
    assert np.abs(unsynchronised.reshape(8, 3) - whole).max() > 1e-2


def test_the_parameters_up_to_an_activation():
    network = models.create("resnet8", 3, width=0.25)
    below = models.params_up_to(network, "stage1", (8, 8, 1))
    assert {path.split("/")[0] for path in below} == {"stem_conv", "stem_norm", "stage1"}
    assert "stage1/block1/norm2/scale" in below
    everything = models.params_up_to(models.create("mlp", 3, widths=(4, 5)), "penultimate", (2, 2, 1))
    assert set(everything) == {f"dense{i}/{name}" for i in (1, 2) for name in ("kernel", "bias")}
    with pytest.raises(UserError, match="'stage4' matches no activation"):
        models.params_up_to(network, "stage4", (8, 8, 1))


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(3, 1, 2), (3, 2, 3), (1, 2, 6)])
def test_the_gradient_of_grouped_convolutions_is_xlas(kernel, stride, groups):
    rng = np.random.default_rng(0)
    x = jnp.float32(rng.standard_normal((2, 7, 6, 6)))
    layer = conv_no_bias(12, kernel, stride, groups, dtype=jnp.float32, name="conv")
    variables = layer.init(jax.random.key(0), x)
    plain = layer.clone(conv_general_dilated=None)
    weights = jnp.float32(rng.standard_normal(layer.apply(variables, x).shape))

    def gradients(layer):
        return jax.grad(lambda variables, x: (layer.apply(variables, x) * weights).sum(), (0, 1))(variables, x)

    np.testing.assert_array_equal(layer.apply(variables, x), plain.apply(variables, x))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), gradients(layer), gradients(plain))


def test_on_cpu_it_is_products():
    x = jnp.ones((1, 4, 4, 4))
    layer = conv_no_bias(4, 3, 1, 2, dtype=jnp.float32, name="conv")
    variables = layer.init(jax.random.key(0), x)
    traced = jax.jit(jax.grad(lambda variables: layer.apply(variables, x).sum())).trace(variables)
    products = [traced.lower(lowering_platforms=(one,)).as_text().count("stablehlo.dot") for one in ("cpu", "cuda")]
    assert products == [9, 0]
