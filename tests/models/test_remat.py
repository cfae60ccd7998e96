"""Parts of networks that are computed anew for the gradient."""

import jax
import numpy as np
import pytest

from effjax import models
from effjax.errors import UserError
from effjax.steps import Network

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)


def seen_by(name, remat="", keep=1.0, **options):
    """What the gradient keeps, in bytes, and what comes out: predictions, taps, statistics, gradients."""
    module = models.create(name, 3, **options)
    module = models.Narrow(module, keep, 4) if keep < 1 else module
    variables = models.init(module, jax.random.key(0), (16, 16, 3))
    network = Network(module, remat=remat)
    keys = jax.random.split(jax.random.key(1), len(IMAGES))
    state = {kind: values for kind, values in variables.items() if kind != "params"}

    def apply(params):
        seen = network.view.see({"image": IMAGES})
        options = {"train": True, "dropout_keys": keys, "mutable": list(state)}
        outputs, new = network({"params": params, **state}, seen, **options)
        return (outputs.preds, outputs.taps), new

    def gradient(params):
        value, backwards, new = jax.vjp(apply, params, has_aux=True)
        return value, new, backwards(jax.tree.map(lambda x: x + 1, value))

    kept = jax.eval_shape(lambda params: jax.vjp(apply, params, has_aux=True)[1], variables["params"])
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))
    quick = {"xla_backend_optimization_level": 0}
    return size, jax.jit(gradient, compiler_options=quick)(variables["params"])


@pytest.mark.parametrize(
    ("name", "pattern", "share", "options"),
    [
        ("resnet8", "stage./block.", 0.7, {"width": 0.25}),
        ("resnet8", "stage.", 0.7, {"width": 0.25, "taps": ("stem", "stage2/block1", "stage3/preact", "penultimate")}),
        ("vit", "block[0-9]", 0.3, {"dim": 16, "heads": 2, "blocks": 3, "patch": 4, "taps": ("block2",)}),
        ("scnn", "conv.*", 1.1, {"width": 0.125}),
        ("resnet8", "stage./block.", 0.7, {"keep": 0.5, "taps": ("stage2/block1",)}),
        ("fcos", "backbone/stage./block.", 0.9, {"backbone": "resnet8", "strides": (4,), "channels": 8, "convs": 1}),
    ],
)
def test_less_is_kept_and_nothing_changes(name, pattern, share, options):
    kept, plain = seen_by(name, **options)
    less, anew = seen_by(name, pattern, **options)
    assert less < share * kept
    assert jax.tree.structure(plain) == jax.tree.structure(anew)
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(anew), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1.0, float(np.abs(other).max())))


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(UserError, match=r"remat='stage1/blok1' matches no part.*did you mean 'stage1/block1'"):
        seen_by("resnet8", "stage1/blok1", width=0.25)
