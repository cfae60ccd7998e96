"""A detector on any backbone: where its places are, what it predicts there, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models
from effjax.errors import UserError

CLASSES = 3
SHAPE = (8, 12, 1)
SMALL = {"backbone": "resnet8", "width": 0.25, "channels": 4, "convs": 1}


def detector(**options):
    return models.create("fcos", CLASSES, **{**SMALL, **options})


def predicted(module, shape, batch=2):
    """What the module returns of a batch, as shapes: nothing is compiled."""
    return jax.eval_shape(
        lambda images: module.init_with_output(jax.random.key(0), images)[0], jnp.zeros((batch, *shape))
    )


def variables_of(module, shape):
    return jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *shape)))


def places_of(*maps):
    """The places of levels of these heights and widths, one by one."""
    return [[(i + 0.5) / h, (j + 0.5) / w, 1 / h, 1 / w] for h, w in maps for i in range(h) for j in range(w)]


@pytest.fixture(scope="module")
def small():
    """Two levels, the second coarser than all maps of the backbone; compiled once, in training and not."""
    module = detector(strides=(4, 8), taps=("stage2", "penultimate"))
    variables = models.init(module, jax.random.key(0), SHAPE)

    @jax.jit
    def both(variables, images):
        trained, new = module.apply(variables, images, train=True, mutable=["batch_stats"])
        return module.apply(variables, images), trained, new["batch_stats"]

    return variables, both


def images(batch=2):
    return jax.random.normal(jax.random.key(1), (batch, *SHAPE))


def head_of(variables):
    (name,) = (name for name in variables["params"] if name != "backbone")
    return name


def with_head(variables, **changed):
    """The variables with these parameters of the head, by layer and name."""
    name = head_of(variables)
    head = {
        layer: dict(params) if hasattr(params, "items") else params
        for layer, params in variables["params"][name].items()
    }
    for path, value in changed.items():
        layer, _, leaf = path.partition("__")
        if leaf:
            head[layer][leaf] = jnp.broadcast_to(jnp.asarray(value, jnp.float32), head[layer][leaf].shape)
        else:
            head[layer] = jnp.float32(value)
    return {**variables, "params": {**variables["params"], name: head}}


def test_five_levels_of_which_two_are_coarser_than_the_backbones():
    module = models.create("fcos", 4)
    assert module.strides == (8, 16, 32, 64, 128)
    found = predicted(module, (128, 256, 3), batch=3).preds
    places = sum(h * w for h, w in ((16, 32), (8, 16), (4, 8), (2, 4), (1, 2)))
    shapes = {"logits": (3, places, 4), "boxes": (3, places, 4), "places": (3, places, 4), "features": (3, places, 128)}
    assert {name: array.shape for name, array in found.items()} == shapes
    assert {array.dtype for array in found.values()} == {jnp.dtype("float32")}
    head = next(tree for name, tree in variables_of(module, (128, 256, 3))["params"].items() if name != "backbone")
    assert [name for name in sorted(head) if name.startswith("coarser")] == [
        "coarser128", "coarser128_norm", "coarser64", "coarser64_norm"
    ]  # fmt: skip
    # The head's convolutions are the same for all levels, their normalisation is a level's own.
    assert sum(name.startswith("conv") for name in head) == module.convs
    assert sum(name.startswith("level") and "norm" in name for name in head) == module.convs * 5


def test_places_are_the_centres_of_the_levels_cells(small):
    variables, both = small
    found = both(variables, images())[0].preds["places"]
    np.testing.assert_allclose(found[0], places_of((2, 3), (1, 2)), atol=1e-6)
    np.testing.assert_array_equal(found[0], found[1])


def test_boxes_are_as_many_strides_around_their_places_as_the_head_says(small):
    variables, both = small
    sides = np.array([0.5, 1.0, 2.0, 3.0])  # top, left, bottom, right: softplus of the bias, at a scale of 1
    bias = np.log(np.expm1(sides))
    fixed = with_head(variables, distances__kernel=0, distances__bias=bias, classes__kernel=0)
    preds = both(fixed, images())[0].preds
    y, x, height, width = np.array(places_of((2, 3), (1, 2))).T
    expected = np.stack([y - 0.5 * height, x - width, y + 2 * height, x + 3 * width], -1)
    np.testing.assert_allclose(preds["boxes"], [expected, expected], atol=1e-5)
    np.testing.assert_allclose(jax.nn.sigmoid(preds["logits"]), 0.01, atol=1e-6)  # at first, every class is rare
    # A level's scale multiplies what is put into softplus, of that level alone.
    scaled = both(with_head(fixed, level8_scale=0), images())[0].preds["boxes"][0]
    np.testing.assert_allclose(scaled[:6], expected[:6], atol=1e-5)
    around = np.log(2) * np.stack([-height, -width, height, width], -1) + np.stack([y, x, y, x], -1)
    np.testing.assert_allclose(scaled[6:], around[6:], atol=1e-5)


def test_training_normalises_by_the_batch_and_keeps_what_it_saw(small):
    variables, both = small
    plain, trained, new = both(variables, images())
    assert not np.allclose(plain.preds["logits"], trained.preds["logits"])
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), new, variables["batch_stats"])
    assert all(jax.tree.leaves(moved))  # of the backbone, the pyramid and all levels
    assert set(plain.taps) == {"stage2", "penultimate"}
    assert plain.taps["stage2"].shape == (2, 4, 6, 8)
    assert "stage2" in models.tap_paths(detector(strides=(4,)), SHAPE)


def test_examples_do_not_depend_on_one_another(small):
    variables, both = small
    alone = both(variables, images())[0].preds
    swapped = both(variables, images()[::-1])[0].preds
    np.testing.assert_allclose(swapped["boxes"][::-1], alone["boxes"], atol=1e-5)
    np.testing.assert_allclose(swapped["logits"][::-1], alone["logits"], atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "options", "shape", "maps"),
    [
        ("resnet8", {"width": 0.25, "strides": (1, 2, 4)}, (13, 18, 1), ((13, 18), (7, 9), (4, 5))),
        ("resnet8", {"stem": "halving", "strides": (4,)}, (30, 31, 1), ((8, 8),)),
        ("resnet18", {"width": 0.125, "strides": (8, 16, 32, 64)}, (100, 75, 3), ((13, 10), (7, 5), (4, 3), (2, 2))),
        ("efficientnet_lite0", {"strides": (4, 8)}, (30, 33, 3), ((8, 9), (4, 5))),
        ("vit", {"strides": (4, 8)}, (28, 20, 1), ((7, 5), (4, 3))),
        # These drop the last row where there is an odd one.
        ("densenet", {"strides": (1, 2, 4)}, (15, 13, 1), ((15, 13), (7, 6), (3, 3))),
        ("scnn", {"width": 0.125, "strides": (1, 2)}, (13, 14, 1), ((9, 10), (4, 5))),
    ],
)
def test_any_backbone_and_any_size(backbone, options, shape, maps):
    module = models.create("fcos", CLASSES, backbone=backbone, channels=4, convs=1, **options)
    assert predicted(module, shape).preds["places"].shape == (2, sum(h * w for h, w in maps), 4)


def test_what_is_too_small_is_doubled_with_its_last_row_once_more():
    from effjax.models.fcos import _enlarged

    coarse = jnp.arange(6.0).reshape(1, 2, 3, 1)
    found = _enlarged(coarse, 2, (1, 5, 4, 1))[0, :, :, 0]
    np.testing.assert_array_equal(
        found, np.array([[0, 0, 1, 1], [0, 0, 1, 1], [3, 3, 4, 4], [3, 3, 4, 4], [3, 3, 4, 4]])
    )


def test_half_precision_is_inside_alone():
    module = detector(strides=(2, 4), dtype="bfloat16", taps=("stage3",))
    found = predicted(module, SHAPE)
    assert {array.dtype for array in found.preds.values()} == {jnp.dtype("float32")}
    assert found.taps["stage3"].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables_of(module, SHAPE))} == {jnp.dtype("float32")}
    # Nothing but the last convolutions, those of classes and distances of each of two levels, is whole.
    jaxpr = jax.make_jaxpr(module.apply)(variables_of(module, SHAPE), jnp.zeros((1, *SHAPE)))
    convolutions = [e for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    whole = [e.invars[1].aval.shape[-1] for e in convolutions if e.outvars[0].aval.dtype == jnp.float32]
    assert sorted(whole) == [CLASSES, CLASSES, 4, 4]
    assert len(convolutions) > 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backbone": "mlp", "width": 1.0}, r"strides=\(8, 16, 32, 64, 128\): the backbone has maps of stride none"),
        ({"backbone": "mlp", "width": 2.0}, "'width': the backbone 'mlp' has none; .*did you mean 'widths'"),
        ({"backbone": "vit", "width": 1.0, "stem": "cifar"}, "'stem': the backbone 'vit' has none"),
        ({"strides": (8, 16)}, r"strides=\(8, 16\): the backbone has maps of stride 1, 2, 4; the finest"),
        ({"strides": (4,), "taps": ("stage9",)}, "taps: 'stage9' matches no activation"),
    ],
)
def test_what_a_backbone_has_not_is_refused_by_name(options, said):
    with pytest.raises(UserError, match=said) as caught:
        variables_of(detector(**options), SHAPE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strides": (8, 32)}, r"strides=\(8, 32\): allowed: whole numbers, each twice the one before"),
        ({"strides": ()}, r"strides=\(\): allowed"),
        ({"strides": 8}, "strides=8: allowed"),
        ({"channels": 0}, "channels=0"),
        ({"convs": 1.5}, r"convs=1\.5"),
        ({"stem": "cifer"}, "stem='cifer': .*did you mean 'cifar'"),
        ({"backbone": "resnet81"}, "backbone='resnet81'.*did you mean 'resnet8'"),
        ({"backbone": "fcos"}, "backbone='fcos'"),
        ({"backbone": "patches"}, "backbone='patches'"),
        ({"backbone": "vqa_attention"}, "backbone='vqa_attention'"),
        ({"anchors": 3}, "model 'fcos' has no option 'anchors'"),
    ],
)
def test_options_that_are_none_are_refused_by_name(options, said):
    with pytest.raises(UserError, match=said) as caught:
        detector(**options)
    assert "\n" not in str(caught.value)


def test_a_detector_has_its_own_head():
    with pytest.raises(UserError, match="model 'fcos': a detector has its own head"):
        variables_of(detector(strides=(4,), head=models.Classifier(2)), SHAPE)
