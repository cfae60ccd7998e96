"""The Swin transformer: published sizes, windows against attention over all pixels, masks, refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models
from effjax.errors import UserError
from effjax.models.swin import Swin

# What runs once is not worth optimising.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

IMAGES = jax.random.normal(jax.random.key(1), (2, 12, 16, 1))  # a grid of 6×8, then of 3×4: windows of 3×4
SMALL = Swin(3, depths=(2, 1), patch=2, dim=4, heads=2, drop_path=0.5, taps=(".*",))


@pytest.fixture(scope="module")
def variables():
    """Weights large enough for all parts to matter."""
    leaves, treedef = jax.tree.flatten(models.init(SMALL, jax.random.key(0), IMAGES.shape[1:]))
    rng = np.random.default_rng(0)
    return treedef.unflatten([leaf + rng.normal(0, 0.5, leaf.shape).astype(np.float32) for leaf in leaves])


def test_swin_tiny_has_the_published_size():
    module = models.create("swin_tiny", 1000)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), images)["params"]
    assert models.count_params(params) == 28_288_354
    assert params["stage1"]["block1"]["position_table"].shape == (13, 13, 3)
    assert models.flops(module, (224, 224, 3)) / 2e9 == pytest.approx(4.5, abs=0.05)


def test_the_window_follows_the_image():
    module = models.create("swin_tiny", 10)
    for side, table in ((160, 9), (192, 11), (224, 13)):
        images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        params = jax.eval_shape(module.init, jax.random.key(0), images)["params"]
        assert params["stage4"]["block2"]["position_table"].shape == (table, table, 24)


def norm(x, p):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * p["scale"] + p["bias"]


def dense(x, p):
    return x @ p["kernel"] + p["bias"]


def attended(x, p, window, shift, heads):
    """Attention of every pixel of ``x`` [H, W, C] to all in its window, pixel by pixel, without rolling."""
    height, width, channels = x.shape
    query, key, value = np.split(dense(x, p["attention"]["qkv"]), 3, axis=-1)
    result, size = np.zeros_like(x), channels // heads
    window_of = [
        [((i - shift[0]) // window[0], (j - shift[1]) // window[1]) for j in range(width)] for i in range(height)
    ]
    pixels = [(i, j) for i in range(height) for j in range(width)]
    for i, j in pixels:
        others = [(k, m) for k, m in pixels if window_of[k][m] == window_of[i][j]]
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            table = p["position_table"][..., head]
            scores = [
                query[i, j, part] @ key[k, m, part] / np.sqrt(size)
                + table[i - k + window[0] - 1, j - m + window[1] - 1]
                for k, m in others
            ]
            weights = np.exp(scores) / np.exp(scores).sum()
            result[i, j, part] = sum(w * value[k, m, part] for w, (k, m) in zip(weights, others, strict=True))
    return dense(result, p["attention"]["out"])


@pytest.mark.parametrize(
    ("before", "block", "shift"),
    [("stem", "stage1/block1", (0, 0)), ("stage1/block1", "stage1/block2", (1, 2))],
)
def test_blocks_equal_attention_over_all_pixels(variables, before, block, shift):
    taps = quick_jit(SMALL.apply)(variables, IMAGES).taps
    stage, name = block.split("/")
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"][stage][name])
    x = np.asarray(taps[before][1], np.float64)
    x = x + attended(norm(x, p["norm1"]), p, (3, 4), shift, heads=2)
    hidden = np.asarray(jax.nn.gelu(dense(norm(x, p["norm2"]), p["mlp"]["dense1"]), approximate=False))
    np.testing.assert_allclose(taps[block][1], x + dense(hidden, p["mlp"]["dense2"]), atol=1e-4)


def test_taps_and_the_classifier(variables):
    logits, taps = quick_jit(SMALL.apply)(variables, IMAGES)
    shapes = {name: tap.shape[1:] for name, tap in taps.items()}
    assert set(shapes) == set(models.tap_paths(SMALL, IMAGES.shape[1:]))
    assert shapes["stem"] == shapes["stage1"] == (6, 8, 4)
    assert shapes["stage2"] == shapes["stage2/block1"] == (3, 4, 8)
    np.testing.assert_allclose(dense(taps["penultimate"], variables["params"]["classifier"]), logits, atol=1e-5)


def test_keys_skip_branches_of_their_own_example(variables):
    apply = quick_jit(SMALL.apply)
    keys = jax.random.split(jax.random.key(9), 2)
    logits = apply(variables, IMAGES, dropout_keys=keys).logits
    assert (logits != apply(variables, IMAGES).logits).any()
    swapped = apply(variables, IMAGES[::-1], dropout_keys=keys[::-1]).logits
    np.testing.assert_allclose(swapped[::-1], logits, atol=1e-5)


def test_bfloat16_computes_and_gradients_are_finite(variables):
    low = SMALL.clone(dtype=jnp.bfloat16)

    def loss(params):
        outputs = low.apply({"params": params}, IMAGES)
        return (outputs.logits**2).sum(), outputs

    gradients, outputs = quick_jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert outputs.logits.dtype == jnp.float32
    assert {tap.dtype for tap in outputs.taps.values()} == {jnp.dtype("bfloat16")}
    for leaf in jax.tree.leaves(gradients):
        assert leaf.dtype == jnp.float32
        assert bool(jnp.isfinite(leaf).all())
        assert bool((leaf != 0).any())


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"28×32 pixels .* multiples of 32"):
        jax.eval_shape(models.create("swin_tiny", 3).init, jax.random.key(0), jnp.zeros((1, 28, 32, 3)))
    with pytest.raises(UserError, match="heads=5"):
        models.create("swin_tiny", 3, heads=5)
