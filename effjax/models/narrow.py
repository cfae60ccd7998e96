"""A model with fewer channels."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError
from effjax.models.deployed import deploy
from effjax.models.deployed.channels import OuterArray, channel_groups
from effjax.models.layers import check_inputs
from effjax.models.taps import Outputs
from effjax.pruning import ChannelGroup, channel_counts, remove_channels


class Narrow(nn.Module):
    """A model whose layers have a share of their channels: the same layers, names and taps.

    Which sizes the layers have follows from the model's shapes (:func:`effjax.pruning.channel_counts`); which channels
    of a trained network they are, is told by its variables: :func:`effjax.pruning.remove_channels`.

    Attributes:
      wide: the whole model, as :func:`effjax.models.create` makes it.
      keep: the share of the channels that is kept, above 0 and at most 1.
      multiple_of: what the number of a layer's channels is a multiple of, unless it keeps all.

    Example:
      >>> from effjax import models
      >>> module = models.Narrow(models.create("resnet8", 10), 0.5)
      >>> variables = models.init(module, jax.random.key(0), (16, 16, 3))
      >>> variables["params"]["stage3"]["block1"]["conv2"]["kernel"].shape
      (3, 3, 32, 32)
    """

    wide: nn.Module
    keep: float
    multiple_of: int = 8

    def setup(self):
        """Its variables are called as the whole model's."""
        nn.share_scope(self, self.wide)

    def __call__(self, images: jax.Array, *args: Any, **options: Any) -> Outputs:
        """As the whole model is called."""
        check_inputs(images, None)
        whole = self.wide.clone(parent=None, name=None)
        widths = layer_widths(whole, self.keep, self.multiple_of, images.shape[1:])
        with nn.intercept_methods(functools.partial(_with_width, widths)):
            return self.wide(images, *args, **options)

    @nn.nowrap
    def clone(self, *, taps: tuple[str, ...] | None = None, **changes: Any) -> "Narrow":
        """The same model with other taps."""
        if taps is not None:
            changes["wide"] = self.wide.clone(taps=taps)
        return super().clone(**changes)

    @property
    def num_classes(self) -> int:
        """Of the classifier."""
        return self.wide.num_classes

    @property
    def head(self) -> nn.Module | None:
        """What predicts in the classifier's place."""
        return self.wide.head


def _with_width(widths: Mapping[str, int], following: Callable, args: Any, options: Any, context: Any) -> Any:
    """Gives a layer its number of channels just before it makes its variables."""
    layer = context.module
    if not isinstance(layer, nn.Conv | nn.Dense) or context.method_name != "__call__":
        return following(*args, **options)
    if (width := widths.get("/".join(layer.path))) is not None:
        if getattr(layer, "feature_group_count", 1) == layer.features:  # a depthwise one
            object.__setattr__(layer, "feature_group_count", width)
        object.__setattr__(layer, "features", width)  # made for this call alone, but frozen by flax
    return following(*args, **options)


@functools.lru_cache(maxsize=64)
def layer_widths(
    wide: nn.Module, keep: float, multiple_of: int, image_shape: tuple[int, int, int]
) -> Mapping[str, int]:
    """How many channels the layers put out that have fewer than in the whole model.

    Args:
      wide: the whole model.
      keep: the share of the channels that is kept.
      multiple_of: what their number is a multiple of.
      image_shape: ``(H, W, C)``.

    Returns:
      By path, such as ``"stage1/block1/conv1"``.

    Raises:
      UserError: if no channel of the model can be removed.
    """
    groups, params = groups_of(wide, image_shape), shapes_of(wide, image_shape)["params"]
    counts = channel_counts(groups, keep, multiple_of=multiple_of)
    kept = [np.arange(count) for count in counts]
    narrow = jax.eval_shape(lambda params: remove_channels(params, groups, kept), params)
    sizes = zip(*(jax.tree_util.tree_leaves_with_path(tree) for tree in (params, narrow)), strict=True)
    names = ((jax.tree_util.keystr(path, simple=True, separator="/"), old, new) for (path, old), (_, new) in sizes)
    return {
        name.removesuffix("/kernel"): new.shape[-1]
        for name, old, new in names
        if name.endswith("/kernel") and old.shape[-1] != new.shape[-1]
    }


@functools.lru_cache(maxsize=64)
def groups_of(
    module: nn.Module, image_shape: tuple[int, int, int], readers: tuple[OuterArray, ...] = ()
) -> tuple[ChannelGroup, ...]:
    """The groups of a model's channels; see :func:`effjax.models.channel_groups`.

    Args:
      module: a model, whole or narrow; its taps do not matter.
      image_shape: ``(H, W, C)``.
      readers: what reads activations of the model, and follows their channels.

    Raises:
      UserError: if no channel of the model can be removed, or a reader does not fit.
    """
    tapped = module.clone(taps=tuple(sorted({reader.tap for reader in readers})))
    groups = channel_groups(deploy(tapped, shapes_of(tapped, image_shape), image_shape), readers)
    if not groups:
        raise UserError(f"{_name(module)}: no channel of this network can be removed without changing others")
    return groups


def _name(module: nn.Module) -> str:
    return type(module.wide if isinstance(module, Narrow) else module).__name__


@functools.lru_cache(maxsize=64)
def shapes_of(module: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """The shapes of a model's variables.

    Args:
      module: a model.
      image_shape: ``(H, W, C)``.
    """
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    return dict(jax.eval_shape(module.init, jax.random.key(0), images))
