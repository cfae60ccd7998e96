"""Parameters against the papers' (and torchvision's) figures; operations against counts by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from effjax import models


def shapes(name, num_classes, image_shape, **options):
    module = models.create(name, num_classes, **options)
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    return jax.eval_shape(module.init, jax.random.key(0), images)


@pytest.mark.parametrize(
    ("name", "paper", "exact"),
    [
        ("resnet20", 0.27e6, 269_722),
        ("resnet32", 0.46e6, 464_154),
        ("resnet56", 0.85e6, 853_018),
        ("resnet110", 1.7e6, 1_727_962),
    ],
)
def test_cifar_resnets_have_the_papers_parameters(name, paper, exact):
    count = models.count_params(shapes(name, 10, (32, 32, 3))["params"])
    assert count == exact
    assert float(f"{count:.2g}") == paper


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("resnet8x4", 1_233_540),
        ("resnet32x4", 7_433_860),
        ("wrn_16_1", 180_916),
        ("wrn_16_2", 703_284),
        ("wrn_40_1", 569_780),
        ("wrn_40_2", 2_255_156),
        ("vgg8", 3_965_028),
        ("vgg13", 9_462_180),
    ],
)
def test_networks_of_comparisons_on_cifar_have_repdistillers_parameters(name, exact):
    assert models.count_params(shapes(name, 100, (32, 32, 3))["params"]) == exact


@pytest.mark.parametrize(("depth", "exact"), [(8, 83_892), (20, 278_324), (56, 861_620), (110, 1_736_564)])
def test_its_resnets_are_ours_with_projections(depth, exact):
    found = shapes(f"resnet{depth}", 100, (32, 32, 3), shortcut="projection")
    assert models.count_params(found["params"]) == exact


@pytest.mark.parametrize(
    ("name", "exact"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)]
)
def test_imagenet_resnets_have_torchvisions_parameters(name, exact):
    assert models.count_params(shapes(name, 1000, (224, 224, 3))["params"]) == exact


def test_mobilenet_v1_has_4_2_million_parameters():
    """The paper's 4.2 million; mdistiller's network by its layers."""
    pairs = [(32, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), *[(512, 512)] * 5, (512, 1024)]
    pairs += [(1024, 1024)]
    separable = sum(9 * before + 2 * before + before * after + 2 * after for before, after in pairs)
    exact = 27 * 32 + 2 * 32 + separable + 1024 * 1000 + 1000
    assert models.count_params(shapes("mobilenet_v1", 1000, (224, 224, 3))["params"]) == exact == 4_231_976


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("regnet_x_800mf", 7_259_656),
        ("regnet_x_3_2gf", 15_296_552),
        ("regnet_y_800mf", 6_432_512),
        ("regnet_y_1_6gf", 11_202_430),
        ("regnet_y_3_2gf", 19_436_338),
        ("vgg16", 138_357_544),
        ("deit_small", 22_050_664),
        ("deit_base", 86_567_656),
    ],
)
def test_networks_without_a_golden_have_the_published_parameters(name, exact):
    assert models.count_params(shapes(name, 1000, (224, 224, 3))["params"]) == exact


@pytest.mark.parametrize(
    ("options", "exact"),
    [({"depth": 100, "growth": 12}, 769_162), ({"depth": 190, "growth": 40}, 25_624_430)],
)
def test_densenet_has_the_papers_parameters(options, exact):
    assert models.count_params(shapes("densenet", 10, (32, 32, 3), **options)["params"]) == exact


def test_scnn_and_mlp_parameters():
    # 3·3·1·32+32, 3·3·32·64+64, 12·12·64·128+128, 128·10+10.
    assert models.count_params(shapes("scnn", 10, (28, 28, 1))["params"]) == 320 + 18_496 + 1_179_776 + 1_290
    mlp = shapes("mlp", 3, (4, 4, 1), widths=(5, 7))["params"]
    assert models.count_params(mlp) == (16 * 5 + 5) + (5 * 7 + 7) + (7 * 3 + 3)
    assert models.count_params(shapes("mlp", 3, (4, 4, 1), widths=())["params"]) == 16 * 3 + 3


def test_width_multiplies_channels():
    params = shapes("resnet20", 10, (32, 32, 3), width=4)["params"]
    assert params["stage3"]["block1"]["conv1"]["kernel"].shape == (3, 3, 128, 256)
    assert params["classifier"]["kernel"].shape == (256, 10)
    narrow = shapes("scnn", 10, (28, 28, 1), width=0.1)["params"]
    assert [narrow[n]["bias"].shape for n in ("conv1", "conv2", "dense1")] == [(3,), (6,), (13,)]


def test_projection_shortcuts_add_their_parameters_where_the_shape_changes():
    pad = models.count_params(shapes("resnet8", 10, (32, 32, 3))["params"])
    projection = shapes("resnet8", 10, (32, 32, 3), shortcut="projection")["params"]
    assert models.count_params(projection) - pad == (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    assert "shortcut_conv" not in projection["stage1"]["block1"]


def test_flops_of_mlp_and_scnn_by_hand():
    assert models.flops(models.create("mlp", 3, widths=(5, 7)), (4, 4, 1)) == 2 * (16 * 5 + 5 * 7 + 7 * 3)
    convolutions = 26 * 26 * 32 * 9 + 24 * 24 * 64 * 9 * 32
    dense = 12 * 12 * 64 * 128 + 128 * 10
    assert models.flops(models.create("scnn", 10), (28, 28, 1)) == 2 * (convolutions + dense)


def test_flops_of_resnet18_are_the_known_1_81_giga_multiply_adds():
    gmacs = models.flops(models.create("resnet18", 1000), (224, 224, 3)) / 2e9
    assert gmacs == pytest.approx(1.81, abs=0.005)


def test_flops_do_not_depend_on_the_compute_type_nor_on_taps():
    plain = models.flops(models.create("resnet8", 10), (32, 32, 3))
    assert models.flops(models.create("resnet8", 10, dtype="bfloat16", taps=(".*",)), (32, 32, 3)) == plain


class Nested(nn.Module):
    """A grouped convolution, then three rolled products inside a jitted function."""

    @nn.compact
    def __call__(self, images):
        x = nn.Conv(8, (3, 3), feature_group_count=4, padding="VALID", use_bias=False)(images)
        w = self.param("w", nn.initializers.ones, (8, 8))
        product = jax.jit(lambda x: jax.lax.scan(lambda x, _: (x @ w, None), x, length=3)[0])
        return product(x.reshape(-1, 8))


def test_flops_count_groups_once_and_loops_as_often_as_they_run():
    assert models.flops(Nested(), (5, 5, 4)) == 2 * (9 * 8 * 9 * 1) + 3 * 2 * (9 * 8 * 8)
