"""EfficientNet-Lite: published sizes, and a depthwise convolution whose two forms agree."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models
from effjax.models.depthwise import DepthwiseConv, grouped, same_pads, shifted_products
from effjax.models.efficientnet_lite import EfficientNetLite, round_channels

# What runs once is not worth optimising.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def shapes(name, size=64):
    module = models.create(name, 1000)
    return jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32))


@pytest.mark.parametrize(
    ("name", "millions", "exact"),
    [
        ("efficientnet_lite0", 4.7, 4_652_008),
        ("efficientnet_lite1", 5.4, 5_416_680),
        ("efficientnet_lite2", 6.1, 6_092_072),
        ("efficientnet_lite3", 8.2, 8_197_096),
        ("efficientnet_lite4", 13.0, 13_006_568),
    ],
)
def test_the_published_parameters(name, millions, exact):
    count = models.count_params(shapes(name)["params"])
    assert count == exact
    assert round(count / 1e6, 1) == millions


def test_the_published_multiply_adds():
    # 407 and 631 million in the table of the original.
    for name, size, published in [("efficientnet_lite0", 224, 407e6), ("efficientnet_lite1", 240, 631e6)]:
        macs = models.flops(models.create(name, 1000), (size, size, 3)) / 2
        assert macs == pytest.approx(published, rel=0.06)


def test_channels_are_rounded_to_eights_but_never_far_down():
    assert [round_channels(c) for c in (1, 16 * 1.1, 24 * 1.1, 40 * 1.1, 80 * 1.1, 12, 11, 18.9)] == [
        *(8, 16, 24, 48, 88, 16, 16, 24),
    ]


def test_taps_lie_where_the_blocks_are():
    paths = models.tap_paths(models.create("efficientnet_lite0", 1000), (64, 64, 3))
    assert paths[:4] == ("stem", "stage1/block1", "stage1", "stage2/block1")
    assert paths[-4:] == ("stage7/block1", "stage7", "head", "penultimate")
    assert sum("block" in path for path in paths) == 16
    assert models.options("efficientnet_lite0")["dropout"] == 0.2
    assert models.options("efficientnet_lite2")["dropout"] == 0.3


def numpy_same(x, size, stride):
    """By the definition of "SAME": ⌈n/stride⌉ outputs, the odd pixel of padding at the end."""
    sides = x.shape[1:3]
    pads = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in sides]
    return tuple((p // 2, p - p // 2) for p in pads)


def numpy_depthwise(x, kernel, stride, pads):
    size = len(kernel)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    out = [(side - size) // stride + 1 for side in padded.shape[1:3]]
    result = np.zeros((len(x), *out, x.shape[-1]))
    for i, j in np.ndindex(*out):
        window = padded[:, i * stride : i * stride + size, j * stride : j * stride + size]
        result[:, i, j] = (window * kernel[:, :, 0]).sum((1, 2))
    return result


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize(("size", "pads"), [((9, 19), None), ((1, 2), None), ((9, 12), ((0, 3), (2, 0)))])
def test_both_forms_of_the_depthwise_convolution(kernel, stride, size, pads):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, *size, 3)), rng.standard_normal((kernel, kernel, 1, 3))
    if pads is None:
        pads = numpy_same(x, kernel, stride)
        assert pads == same_pads(x, kernel, stride)
    expected = numpy_depthwise(x, w, stride, pads)
    x, w = jnp.float32(x), jnp.float32(w)
    weights = jnp.float32(rng.standard_normal(expected.shape))
    gradients = []
    for form in (shifted_products, grouped):
        np.testing.assert_allclose(form(x, w, stride, pads), expected, atol=1e-5)
        gradients.append(jax.grad(lambda x, w, form=form: (form(x, w, stride, pads) * weights).sum(), (0, 1))(x, w))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), *gradients)


def test_each_backend_gets_its_form():
    module = DepthwiseConv(3)
    images = jnp.ones((1, 4, 4, 2))
    variables = module.init(jax.random.key(0), images)
    traced = jax.jit(module.apply).trace(variables, images)
    assert "stablehlo.convolution" not in traced.lower(lowering_platforms=("cpu",)).as_text()
    assert "stablehlo.convolution" in traced.lower(lowering_platforms=("cuda",)).as_text()


def test_so_does_what_is_deployed():
    """In floats and in few bits: each layer of channels by themselves is the fast form on CPU."""
    module = small()
    shape, images = (32, 32, 3), jnp.ones((1, 32, 32, 3))
    variables = models.init(module, jax.random.key(0), shape)
    graph = models.deploy(module, variables, shape)
    text = jax.jit(graph.apply).trace(graph.fold(variables), images).lower(lowering_platforms=("cpu",)).as_text()
    convolutions = [line for line in text.splitlines() if "stablehlo.convolution" in line]
    assert convolutions
    assert all("feature_group_count = 1 " in line for line in convolutions)


def small(**options):
    """Seven narrow blocks: they compile in a third of the time."""
    return EfficientNetLite(3, width_factor=0.25, depth_factor=0.1, **options)


def test_dropout_is_governed_by_the_keys():
    module = small()
    images = jax.random.normal(jax.random.key(5), (4, 32, 32, 3))
    variables = models.init(module, jax.random.key(0), (32, 32, 3))
    keys = jax.random.split(jax.random.key(9), 4)
    apply = quick_jit(module.apply)
    dropped = apply(variables, images, dropout_keys=keys).logits
    swapped = apply(variables, images[::-1], dropout_keys=keys[::-1]).logits
    np.testing.assert_allclose(swapped[::-1], dropped, atol=1e-4)
    assert np.abs(apply(variables, images, dropout_keys=keys[::-1]).logits - dropped).max() > 1e-3


def test_training_in_bfloat16_moves_all_statistics():
    module = small(dtype=jnp.bfloat16)
    images = jax.random.normal(jax.random.key(5), (4, 32, 32, 3))
    variables = models.init(module, jax.random.key(0), (32, 32, 3))
    train = quick_jit(functools.partial(module.apply, train=True, mutable=["batch_stats"]))
    outputs, new = train(variables, images)
    assert outputs.logits.dtype == jnp.float32
    assert np.isfinite(outputs.logits).all()
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), new["batch_stats"], variables["batch_stats"])
    assert all(jax.tree.leaves(moved))
