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
