"""A model with fewer channels is used as any model is."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models
from effjax.errors import UserError
from effjax.models.narrow import layer_widths

SHAPE = (16, 16, 3)


def narrow(name="resnet8", keep=0.5, multiple_of=8, **options):
    return models.Narrow(models.create(name, 10, **options), keep, multiple_of)


def test_everything_that_is_asked_of_models():
    module, whole = narrow(), models.create("resnet8", 10)
    variables = models.init(module, jax.random.key(0), SHAPE)
    assert isinstance(module, nn.Module)
    assert (module.num_classes, module.head) == (10, None)
    assert {module, narrow()} == {module}
    assert module != narrow(keep=0.75)
    wide = models.init(whole, jax.random.key(0), SHAPE)
    assert jax.tree.structure(variables) == jax.tree.structure(wide)
    assert models.tap_paths(module, SHAPE) == models.tap_paths(whole, SHAPE)
    assert models.params_up_to(module, "stage1", SHAPE) == models.params_up_to(whole, "stage1", SHAPE)
    assert models.flops(module, SHAPE) < 0.35 * models.flops(whole, SHAPE)
    tapped = module.clone(taps=("stage2",))
    outputs = jax.jit(tapped.apply)(variables, jnp.ones((2, *SHAPE)))
    assert outputs.taps["stage2"].shape == (2, 8, 8, 16)
    graph = models.deploy(module, variables, SHAPE)
    np.testing.assert_allclose(
        graph.apply(graph.fold(variables), jnp.ones((2, *SHAPE))).logits, outputs.logits, atol=1e-5
    )
    _, state = module.apply(variables, jnp.ones((2, *SHAPE)), train=True, mutable=["batch_stats"])
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, {"batch_stats": variables["batch_stats"]})


def test_dropout_draws_by_the_same_names():
    module, whole = narrow("scnn"), models.create("scnn", 10)
    seen = []

    def note(following, args, options, context):
        if context.method_name == "__call__":
            seen.append(context.module.path)
        return following(*args, **options)

    for one in (module, whole):
        variables = models.init(one, jax.random.key(0), SHAPE)
        with nn.intercept_methods(note):
            one.apply(variables, jnp.ones((1, *SHAPE)), dropout_keys=jax.random.split(jax.random.key(1), 1))
    paths = [path for path in seen if path]
    assert paths[: len(paths) // 2] == paths[len(paths) // 2 :]


@pytest.mark.parametrize("keep", [0.1, 0.25, 0.6, 0.75])
@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("resnet20", {}, (4, 4, 3)),
        ("resnet50", {}, (32, 32, 3)),
        ("efficientnet_lite0", {}, (32, 32, 3)),
        ("densenet", {"depth": 16, "growth": 24}, (8, 8, 3)),
        ("scnn", {}, (8, 8, 1)),
    ],
)
@pytest.mark.parametrize("multiple_of", [8, 16])
def test_layers_put_out_multiples(name, options, shape, keep, multiple_of):
    """And a shape that agrees by chance, such as 8 channels before and after a block, makes no other network."""
    if name in ("resnet50", "efficientnet_lite0") and (keep, multiple_of) not in ((0.1, 8), (0.25, 8), (0.6, 16)):
        pytest.skip("large: a few will do")
    module = narrow(name, keep, multiple_of, **options)
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    shapes, whole = (jax.eval_shape(one.init, jax.random.key(0), images)["params"] for one in (module, module.wide))
    assert jax.tree.structure(shapes) == jax.tree.structure(whole)
    widths = layer_widths(module.wide, keep, multiple_of, shape)
    assert widths
    assert all(width % multiple_of == 0 for width in widths.values())
    if name == "resnet20":
        ends = [shapes[f"stage{i}"]["block3"]["conv2"]["kernel"].shape[-1] for i in (1, 2, 3)]
        assert ends == sorted(ends)


def test_residual_networks_by_the_paper():
    """Stages of 16, 32 and 64 channels, each of which holds the one before, in its middle."""
    widths = layer_widths(models.create("resnet20", 10), 0.5, 8, (32, 32, 3))
    assert [widths[f"stage{i}/block2/conv2"] for i in (1, 2, 3)] == [8, 16, 32]
    assert {widths[f"stage3/block{i}/conv1"] for i in (1, 2, 3)} == {32}


@pytest.mark.parametrize("given", [{"keep": 0.0}, {"keep": 1.5}, {"multiple_of": 0}, {"multiple_of": 2.0}])
def test_bad_arguments(given):
    with pytest.raises(UserError, match=rf"{next(iter(given))}.*={next(iter(given.values()))!r} must be"):
        models.init(narrow(**given), jax.random.key(0), SHAPE)
