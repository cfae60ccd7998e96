"""Models by name: defaults, options, and errors that a user can act on."""

import jax.numpy as jnp
import pytest

from effjax import models
from effjax.errors import UserError


def test_equal_arguments_make_equal_modules():
    one = models.create("mlp", 3, widths=[8, 8], dtype="float32")
    two = models.create("mlp", 3, widths=(8, 8), dtype=jnp.float32)
    assert one == two
    assert hash(one) == hash(two)
    assert hash(one) == hash(models.create("mlp", 3, widths=(8, 8)))
    assert one != models.create("mlp", 3, widths=(8, 9))


@pytest.mark.parametrize("name", models.NAMES)
def test_every_default_is_an_allowed_value(name):
    defaults = models.options(name)
    assert {"dtype", "taps"} <= set(defaults)
    assert models.create(name, 4, **defaults) == models.create(name, 4)


def test_what_the_name_says_is_not_an_option():
    assert set(models.options("resnet20")) == {"width", "stem", "shortcut", "axis_name", "dtype", "taps"}
    with pytest.raises(UserError, match="no option 'depths'"):
        models.create("resnet20", 10, depths=(1, 1, 1))


def published(names, **numbers):
    return {name: {key: values[i] for key, values in numbers.items()} for i, name in enumerate(names)}


# As the papers, or their authors' code, have them. What is built of them is counted elsewhere, which takes its time.
SAID = {
    **published(
        [f"efficientnet_b{i}" for i in range(5)],
        width_factor=(1.0, 1.0, 1.1, 1.2, 1.4),
        depth_factor=(1.0, 1.1, 1.2, 1.4, 1.8),
        dropout=(0.2, 0.2, 0.3, 0.3, 0.4),
    ),
    **published(
        [f"efficientnet_lite{i}" for i in range(5)],
        width_factor=(1.0, 1.0, 1.1, 1.2, 1.4),
        depth_factor=(1.0, 1.1, 1.2, 1.4, 1.8),
        dropout=(0.2, 0.2, 0.3, 0.3, 0.3),
    ),
    **published(
        ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"],
        depths=((2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)),
        bottleneck=(False, False, True, True, True),
    ),
    **published(
        ["wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d"],
        depths=((3, 4, 6, 3), (3, 4, 23, 3), (3, 4, 6, 3), (3, 4, 23, 3)),
        groups=(1, 1, 32, 32),
        group_width=(128, 128, 4, 8),
    ),
    **published(
        [f"regnet_x_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf")],
        depth=(22, 16, 18, 25),
        first_width=(24, 56, 80, 88),
        slope=(24.48, 35.73, 34.01, 26.31),
        step=(2.54, 2.28, 2.25, 2.25),
        group_width=(16, 16, 24, 48),
        squeezes=(False,) * 4,
    ),
    **published(
        [f"regnet_y_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf")],
        depth=(16, 14, 27, 21, 17),
        first_width=(48, 56, 48, 80, 192),
        slope=(27.89, 38.84, 20.71, 42.63, 76.82),
        step=(2.09, 2.4, 2.65, 2.66, 2.19),
        group_width=(8, 16, 24, 24, 56),
        squeezes=(True,) * 5,
    ),
    **published(
        ["convnext_atto", "convnext_tiny", "convnext_small"],
        dim=(40, 96, 96),
        depths=((2, 2, 6, 2), (3, 3, 9, 3), (3, 3, 27, 3)),
    ),
    **published(
        ["vit_t_16", "vit_s_16", "vit_b_16", "deit_tiny", "deit_small", "deit_base"],
        dim=(192, 384, 768) * 2,
        heads=(3, 6, 12) * 2,
        blocks=(12,) * 6,
        patch=(16,) * 6,
    ),
    **published(
        ["vgg11", "vgg16", "vgg16_bn"],
        depths=((1, 1, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 3, 3, 3)),
        normalized=(False, False, True),
    ),
    **published(["resnet20", "resnet32", "resnet56", "resnet110"], depths=((3,) * 3, (5,) * 3, (9,) * 3, (18,) * 3)),
    **published(["wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2"], depth=(16, 16, 40, 40), widen=(1, 2, 1, 2)),
}


@pytest.mark.parametrize("name", SAID)
def test_a_name_says_the_published_numbers(name):
    module = models.create(name, 4)
    assert {key: getattr(module, key) for key in SAID[name]} == SAID[name]


def test_resnets_differ_in_stem_and_shortcut():
    assert (models.options("resnet20")["stem"], models.options("resnet20")["shortcut"]) == ("cifar", "pad")
    assert (models.options("resnet18")["stem"], models.options("resnet18")["shortcut"]) == ("imagenet", "projection")


@pytest.mark.parametrize(
    ("name", "num_classes", "options", "parts"),
    [
        ("densnet", 10, {}, ["'densnet'", "densenet121", "did you mean 'densenet'", "in all)"]),
        ("scnn", 10, {"widht": 2}, ["'scnn'", "'widht'", "did you mean 'width'"]),
        ("scnn", 0, {}, ["num_classes=0"]),
        ("scnn", 10, {"head": "boxes"}, ["head='boxes'", "a flax module"]),
        ("scnn", 10, {"width": 0}, ["width=0", "above 0"]),
        ("scnn", 10, {"width": True}, ["width=True"]),
        ("scnn", 10, {"dropout": 0.5}, ["dropout=0.5", "2 numbers"]),
        ("scnn", 10, {"dropout": (0.5,)}, ["dropout=(0.5,)", "2 numbers"]),
        ("mlp", 10, {"dropout": 1.0}, ["dropout=1.0", "below 1"]),
        ("mlp", 10, {"widths": 300}, ["widths=300", "tuple"]),
        ("mlp", 10, {"widths": (300, 0)}, ["widths=(300, 0)"]),
        ("mlp", 10, {"activation": "rulu"}, ["activation='rulu'", "did you mean 'relu'"]),
        ("mlp", 10, {"dtype": "float16"}, ["dtype='float16'", "bfloat16"]),
        ("mlp", 10, {"taps": "dense1"}, ["taps='dense1'", "tuple"]),
        ("mlp", 10, {"taps": ("(",)}, ["taps=('(',)"]),
        ("densenet", 10, {"depth": 41}, ["depth=41", "6n + 4"]),
        ("densenet", 10, {"growth": 0}, ["growth=0"]),
        ("resnet18", 10, {"stem": "cifer"}, ["stem='cifer'", "did you mean 'cifar'"]),
        ("resnet18", 10, {"shortcut": "A"}, ["shortcut='A'", "pad, projection"]),
        ("resnet18", 10, {"axis_name": 3}, ["axis_name=3"]),
    ],
)
def test_errors_name_the_option_the_value_and_what_is_allowed(name, num_classes, options, parts):
    with pytest.raises(UserError) as error:
        models.create(name, num_classes, **options)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
