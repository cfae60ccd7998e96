"""A head in the classifier's place reads feature maps by stride; without one, no parameter is called otherwise."""

import hashlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models

# By model: how many variables there are, and a hash of their paths and shapes, recorded when it came. Whoever
# changes one makes the checkpoints of that model unreadable.
VARIABLES = {
    "mlp": (8, "7f37d3858cc3c904"),
    "scnn": (8, "27c46b24d92f7254"),
    "resnet8": (37, "9e04144d81cc3479"),
    "resnet20": (97, "a4ff838b4540f867"),
    "resnet32": (157, "c3c3ff988f7e02ef"),
    "resnet56": (277, "705b79c40f1b0d10"),
    "resnet110": (547, "3c13627d52a58499"),
    "resnet8x4": (52, "c4a30cd9cb4ad9fe"),
    "resnet32x4": (172, "a4df1143858905fb"),
    "wrn_16_1": (69, "9a55f38165e48700"),
    "wrn_16_2": (70, "45267c15c089466e"),
    "wrn_40_1": (189, "fe86c36c321dc8b4"),
    "wrn_40_2": (190, "c1a3fc8e1cd57a66"),
    "vgg8": (32, "ca8cbebf7c33898d"),
    "vgg13": (62, "6e6f4af5dc3b543a"),
    "mobilenet_v2_cifar": (267, "584586d7ab109efa"),
    "shufflenet_v1": (247, "22c216615d3ebef2"),
    "shufflenet_v2": (282, "ed91b4704a1da94f"),
    "mobilenet_v1": (137, "f46ce28140868740"),
    "resnet18": (102, "6e33ee36c4f07a8f"),
    "resnet34": (182, "aa387114b9f7af4e"),
    "resnet50": (267, "cd5e092d9bd82b24"),
    "densenet": (497, "48e68bcfa331edaf"),
    "vit": (81, "fc997ecc119febf9"),
    "deit_tiny": (153, "1debdb5a43626002"),
    "deit_small": (153, "32016cb0b4344bec"),
    "swin_tiny": (173, "f2fa92aabdffdbed"),
    "efficientnet_lite0": (247, "9948cbd8e825a520"),
    "efficientnet_lite1": (322, "7edc4a3fb34bdc5b"),
    "efficientnet_lite2": (322, "ee247003c6075f3a"),
    "efficientnet_lite3": (367, "3a25d2e5b17bbe2b"),
    "efficientnet_lite4": (457, "d4a956b944391d52"),
    "resnet101": (522, "bacbfdf36778ac1e"),
    "resnet152": (777, "28848165ac4a8157"),
    "wide_resnet50_2": (267, "4a4acd7dd929f039"),
    "wide_resnet101_2": (522, "5336c3807d3a4359"),
    "resnext50_32x4d": (267, "cec8953a83ac10bf"),
    "resnext101_32x8d": (522, "25e1e0130951a544"),
    "regnet_x_400mf": (357, "91acafc15fcddf05"),
    "regnet_x_800mf": (267, "f1609cc69905ccc1"),
    "regnet_x_1_6gf": (297, "bbf10d34c2203d89"),
    "regnet_x_3_2gf": (402, "0b69180d652d2f1b"),
    "regnet_y_400mf": (331, "0ab4b7d72417b990"),
    "regnet_y_800mf": (293, "fb23f7b8ced0944e"),
    "regnet_y_1_6gf": (540, "61bd94e78c430647"),
    "regnet_y_3_2gf": (426, "0c69dd6c398b5858"),
    "regnet_y_8gf": (350, "8bd7b818d124da16"),
    "timm_regnet_x_400mf": (357, "56570b464532bcf5"),
    "timm_regnet_y_800mf": (293, "e2d880bafbbe98e8"),
    "timm_regnet_y_8gf": (350, "3f6189e009d2b7c5"),
    "vgg11": (22, "5d836297ae5145be"),
    "vgg16": (32, "85a3a8a1ce2553d8"),
    "vgg16_bn": (84, "2afbbf1579c7eea8"),
    "densenet121": (606, "81d48d9599f8fbba"),
    "mobilenet_v2": (262, "fc1e5b845cf3fe5e"),
    "mobilenet_v3_large": (266, "0a1b34f1f0a89cf6"),
    "mobilenet_v3_small": (210, "cdcaffc5e1282e9a"),
    "convnext_atto": (128, "2cb8232667fd0617"),
    "convnext_tiny": (182, "14cc2aaa135fc38b"),
    "convnext_small": (344, "26e911d85a2c8ce3"),
    "vit_t_16": (153, "1debdb5a43626002"),
    "vit_s_16": (153, "32016cb0b4344bec"),
    "vit_b_16": (153, "a33f9955867d4daa"),
    "deit_base": (153, "a33f9955867d4daa"),
    "deit_tiny_distilled": (155, "28e013a1f8f2a779"),
    "deit_small_distilled": (155, "8273512963250e00"),
    "timm_efficientnet_lite0": (247, "9948cbd8e825a520"),
    "timm_efficientnet_lite1": (322, "7edc4a3fb34bdc5b"),
    "efficientnet_b0": (311, "1d099f3cba6dba92"),
    "efficientnet_b1": (439, "980e94dceeb07068"),
    "efficientnet_b2": (439, "b7198a1a65d19e34"),
    "efficientnet_b3": (496, "71d88f05a8ada79b"),
    "efficientnet_b4": (610, "dc26cdf85765d6c6"),
    "tf_efficientnet_b0": (311, "1d099f3cba6dba92"),
    "fcos": (182, "47dff98393dbbfb4"),
    "vqa_attention": (15, "16cf7d21b6e40a50"),
}
SHAPES = {
    "mlp": (6, 6, 1),
    "vqa_attention": (28, 28, 1),
    "scnn": (12, 12, 1),
    "densenet": (8, 8, 3),
    "swin_tiny": (224, 224, 3),
}
# Of images of 32×32 pixels: by model its options and, by stride, the maps [h, w, C]; and the tap that equals one.
MAPS = {
    "mlp": ({"widths": (5,)}, {}, ()),
    "scnn": ({"width": 0.125}, {"stride1": (28, 28, 8), "stride2": (14, 14, 8)}, ("stride1", "conv2")),
    "resnet8": (
        {"width": 0.25},
        {"stride1": (32, 32, 4), "stride2": (16, 16, 8), "stride4": (8, 8, 16)},
        ("stride2", "stage2"),
    ),
    "resnet18": (
        {"width": 0.0625},
        {"stride4": (8, 8, 4), "stride8": (4, 4, 8), "stride16": (2, 2, 16), "stride32": (1, 1, 32)},
        ("stride32", "stage4"),
    ),
    "densenet": (
        {"depth": 10, "growth": 2},
        {"stride1": (32, 32, 6), "stride2": (16, 16, 5), "stride4": (8, 8, 4)},
        ("stride2", "block2"),
    ),
    "vit": ({"dim": 12, "blocks": 2}, {"stride4": (8, 8, 12)}, ("stride4", "block2")),
    "swin_tiny": (
        {"patch": 2, "dim": 6},
        {"stride2": (16, 16, 6), "stride4": (8, 8, 12), "stride8": (4, 4, 24), "stride16": (2, 2, 48)},
        ("stride8", "stage3"),
    ),
    "efficientnet_lite0": (
        {},
        {
            "stride2": (16, 16, 16),
            "stride4": (8, 8, 24),
            "stride8": (4, 4, 40),
            "stride16": (2, 2, 112),
            "stride32": (1, 1, 320),
        },
        ("stride16", "stage5"),
    ),
    "mobilenet_v2": (
        {"width": 0.1},
        {
            "stride2": (16, 16, 8),
            "stride4": (8, 8, 8),
            "stride8": (4, 4, 8),
            "stride16": (2, 2, 16),
            "stride32": (1, 1, 32),
        },
        ("stride16", "stage5"),
    ),
    "convnext_atto": (
        {},
        {"stride4": (8, 8, 40), "stride8": (4, 4, 80), "stride16": (2, 2, 160), "stride32": (1, 1, 320)},
        ("stride8", "stage2"),
    ),
    "regnet_x_800mf": (
        {},
        {"stride4": (8, 8, 64), "stride8": (4, 4, 128), "stride16": (2, 2, 288), "stride32": (1, 1, 672)},
        ("stride32", "stage4"),
    ),
    "vgg11": (
        {},
        {
            "stride1": (32, 32, 64),
            "stride2": (16, 16, 128),
            "stride4": (8, 8, 256),
            "stride8": (4, 4, 512),
            "stride16": (2, 2, 512),
        },
        ("stride16", "block5"),
    ),
    "vit_t_16": ({}, {"stride16": (2, 2, 192)}, ("stride16", "block12")),
    "deit_tiny_distilled": ({}, {"stride16": (2, 2, 192)}, ("stride16", "block12")),
}


NAMES = []  # of what the last head was given


class Everything(nn.Module):
    """Returns all that a head is given, in order (JAX sorts dictionaries)."""

    @nn.compact
    def __call__(self, features, train=False, dropout_keys=None):
        NAMES[:] = features
        return [*features.values()]


class Heatmap(nn.Module):
    """A value for each place of the finest map, and one for the image."""

    width: int = 3

    @nn.compact
    def __call__(self, features, train=False, dropout_keys=None):
        finest = features[next(iter(features))]
        finest = nn.BatchNorm(use_running_average=not train, name="norm")(finest)
        score = nn.Dense(1, name="score")(features["penultimate"])
        return {"heat": nn.Conv(self.width, (1, 1), name="heat")(finest), "score": score[:, 0]}


def paths(variables):
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves}


def shapes(module, image_shape):
    return jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *image_shape)))


@pytest.mark.parametrize("name", models.NAMES)
def test_variables_are_called_as_ever(name):
    shape = SHAPES.get(name, (224, 224, 3) if name.startswith(("deit", "vit_")) else (32, 32, 3))
    found = paths(shapes(models.create(name, 5), shape))
    text = "\n".join(f"{path} {size}" for path, size in sorted(found.items()))
    assert (len(found), hashlib.sha256(text.encode()).hexdigest()[:16]) == VARIABLES[name]


@pytest.mark.parametrize("name", MAPS)
def test_a_head_reads_the_maps_by_stride_finest_first(name):
    options, maps, same = MAPS[name]
    taps = {"penultimate": "penultimate", **({same[0]: same[1]} if same else {})}
    module = models.create(name, 5, head=Everything(), taps=tuple(taps.values()), **options)
    images, variables = jnp.zeros((1, 32, 32, 3)), shapes(module, (32, 32, 3))
    jaxpr, outputs = jax.make_jaxpr(module.apply, return_shape=True)(variables, images)
    assert [*maps, "penultimate"] == NAMES
    assert [found.shape[1:] for found in outputs.preds[:-1]] == [*maps.values()]
    # What the backbone is made of does not depend on what reads it.
    classifier = paths(shapes(models.create(name, 5, **options), (32, 32, 3)))
    assert paths(variables) == {path: size for path, size in classifier.items() if "/classifier/" not in path}
    # They are the very activations that taps name.
    computed = jax.tree.unflatten(jax.tree.structure(outputs), jaxpr.jaxpr.outvars)
    for feature, tap in taps.items():
        assert computed.preds[NAMES.index(feature)] is computed.taps[tap]


@pytest.mark.parametrize(
    ("name", "shorter"),
    [
        *((name, {}) for name in ("wrn_16_1", "vgg8", "mobilenet_v1", "mobilenet_v2_cifar")),
        *((name, {}) for name in ("shufflenet_v1", "shufflenet_v2")),
        ("densenet121", {"depths": (1, 1, 1, 1)}),
    ],
)
def test_maps_are_called_by_how_much_smaller_than_the_image_they_are(name, shorter):
    module = models.create(name, 5, head=Everything()).clone(**shorter)
    outputs, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    strides = [32 // found.shape[1] for found in outputs.preds[:-1]]
    assert [*(f"stride{stride}" for stride in strides), "penultimate"] == NAMES
    assert all(found.shape[1] == found.shape[2] for found in outputs.preds[:-1])
    assert sorted(strides) == strides


def test_a_head_predicts_a_tree_and_learns_with_the_backbone():
    module = models.create("resnet8", 5, head=Heatmap(), width=0.25)
    images = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    variables = models.init(module, jax.random.key(1), (16, 16, 3))
    assert "classifier" not in variables["params"]
    assert set(variables["params"]["head"]) == {"norm", "score", "heat"}

    def loss(params):
        outputs, new = module.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
        return (outputs.preds["heat"] ** 2).mean() + outputs.preds["score"].sum(), (outputs, new)

    gradients, (outputs, new) = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert jax.tree.map(jnp.shape, outputs.preds) == {"heat": (2, 16, 16, 3), "score": (2,)}
    assert (gradients["stem_conv"]["kernel"] != 0).any()
    assert (new["batch_stats"]["head"]["norm"]["mean"] != 0).any()  # it is told that it trains


def test_heads_are_part_of_what_makes_models_equal_but_not_of_their_words():
    one, same, other = (models.create("mlp", 3, head=Heatmap(width)) for width in (1, 1, 2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    # Stored answers are found by the words.
    assert repr(one) == repr(models.create("mlp", 3))
    assert "head" not in models.options("mlp")


def test_the_classifier_is_a_head_too():
    features = {"penultimate": jnp.ones((2, 4), jnp.bfloat16)}
    head = models.Classifier(3, name="classifier")
    variables = head.init(jax.random.key(0), features)
    logits = head.apply(variables, features)
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, np.tile(variables["params"]["kernel"].sum(0), (2, 1)), rtol=1e-6)
