"""The networks that compression is measured on: each with variables that are drawn, and images."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from effjax import models

#: By label, the model, its options, and the images' shape.
NETWORKS: dict[str, tuple[str, dict[str, Any], tuple[int, int, int]]] = {
    "mlp, 28": ("mlp", {}, (28, 28, 1)),
    "S-CNN, 28": ("scnn", {}, (28, 28, 1)),
    "ResNet-20, 32": ("resnet20", {}, (32, 32, 3)),
    "ResNet-20 (B), 32": ("resnet20", {"shortcut": "projection"}, (32, 32, 3)),
    "ResNet-18, 112": ("resnet18", {}, (112, 112, 3)),
    "ResNet-50, 112": ("resnet50", {}, (112, 112, 3)),
    "DenseNet-40, 32": ("densenet", {"depth": 40}, (32, 32, 3)),
    "EfficientNet-Lite0, 112": ("efficientnet_lite0", {}, (112, 112, 3)),
    "ViT, 28": ("vit", {}, (28, 28, 1)),
    "Swin-T, 64": ("swin_tiny", {}, (64, 64, 3)),
}
#: Those that integers are enough for.
CONVOLUTIONAL = tuple(label for label in NETWORKS if not label.startswith(("ViT", "Swin")))


class Drawn(NamedTuple):
    """A network of no use, but of the right sizes, and with running statistics unlike those at the start."""

    module: nn.Module
    variables: Mapping[str, Any]
    image_shape: tuple[int, int, int]


def drawn(label: str, classes: int = 10, module: nn.Module | None = None) -> Drawn:
    """Draws a network's variables, by numpy, always the same."""
    name, options, shape = NETWORKS[label]
    module = module or models.create(name, classes, **options)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> np.ndarray:
        spread = 0.1 if len(leaf.shape) < 2 else np.prod(leaf.shape[:-1]) ** -0.5
        array = rng.normal(0, spread, leaf.shape).astype(np.float32)
        return np.abs(array) + 0.5 if path[-1].key in ("var", "scale") else array

    return Drawn(module, jax.tree_util.tree_map_with_path(draw, shapes), shape)


def images_for(shape: tuple[int, int, int], count: int) -> np.ndarray:
    """Images of noise, normalised."""
    return np.random.default_rng(1).normal(size=(count, *shape)).astype(np.float32)
