"""A one-stage detector without anchors: a pyramid on any backbone, a head that every place of it has."""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax import boxes
from effjax.errors import UserError
from effjax.models.layers import batch_norm, check_inputs, conv_no_bias, head_field
from effjax.models.normalised import Across, BatchNorm
from effjax.models.taps import Outputs

_RARE = 0.01  # what a class is given at first, at each place: nearly all of them are background


class Fcos(nn.Module):
    """A backbone, a pyramid of feature maps on it, and one small head for all of its places.

    The form is FCOS'; a class is given as high as its box is good, as in Generalized Focal Loss, so that there is no
    other branch for quality. Convolutions of the head are the same for all levels, their batch normalisation is a
    level's own.

    Attributes:
      num_classes: K.
      make_backbone: from a model's name, its head and options to the model.
      backbone: the name of a model with feature maps.
      strides: of the levels, in pixels, each twice the one before; those coarser than all maps of the backbone are
        made of the coarsest.
      channels: of the pyramid and the head.
      convs: of the head, before its last ones.
      width: of the backbone, where it has that option.
      stem: of the backbone, where it has that option; None is its own.
      dtype: what the hidden layers compute in; parameters and predictions are float32.
      axis_name: a mapped axis over which batch statistics are averaged, or None.
      taps: paths to return: those of the backbone.
      head: none other.

    References:
      Tian et al, 2019, FCOS: Fully Convolutional One-Stage Object Detection, https://arxiv.org/abs/1904.01355
      Li et al, 2020, Generalized Focal Loss, https://arxiv.org/abs/2006.04388
      Lin et al, 2017, Feature Pyramid Networks for Object Detection, https://arxiv.org/abs/1612.03144
    """

    num_classes: int
    make_backbone: Callable[..., nn.Module]
    backbone: str = "resnet18"
    strides: tuple[int, ...] = (8, 16, 32, 64, 128)
    channels: int = 128
    convs: int = 2
    width: float = 1.0
    stem: str | None = None
    dtype: DTypeLike = jnp.float32
    axis_name: Across = None
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Detects.

        Args:
          images: float ``[B, H, W, C]``.
          train: governs batch normalisation.
          dropout_keys: see :func:`effjax.models.create`.

        Returns:
          ``Outputs``; the predictions are, for the P places of all levels, ``logits`` ``[B, P, K]``, ``boxes``
          ``[B, P, 4]``, ``places`` ``[B, P, 4]``: centre y, x and the level's stride, downwards and sideways, as
          shares of the image; and ``features`` ``[B, P, channels]``, which the first two are computed from.
        """
        check_inputs(images, dropout_keys)
        if self.head is not None:
            raise UserError("model 'fcos': a detector has its own head: allowed: head=None")
        named: dict[str, Any] = {"axis_name": self.axis_name, "dtype": self.dtype, "name": "detector"}
        head = FcosHead(self.num_classes, self.strides, self.channels, self.convs, **named)
        given: dict[str, Any] = {"dtype": self.dtype, "name": "backbone", "axis_name": self.axis_name}
        given |= {"taps": self.taps}
        given |= {"width": self.width} if self.width != 1 else {}
        given |= {"stem": self.stem} if self.stem is not None else {}
        backbone = self.make_backbone(self.backbone, head, given)
        return cast(Outputs, backbone(images, train=train, dropout_keys=dropout_keys))


class FcosHead(nn.Module):
    """The pyramid and what predicts on it, as a head of a backbone; the attributes are those of :class:`Fcos`."""

    num_classes: int
    strides: tuple[int, ...]
    channels: int
    convs: int
    axis_name: Across
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, features: Mapping[str, jax.Array], train: bool = False, dropout_keys: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Maps feature maps ``[B, h, w, C]`` by stride to predictions, as :class:`Fcos` describes them."""
        conv = [conv_no_bias(self.channels, 3, dtype=self.dtype, name=f"conv{i + 1}") for i in range(self.convs)]
        prior = nn.initializers.constant(-math.log((1 - _RARE) / _RARE))
        small = nn.initializers.normal(0.01)
        classify = nn.Conv(self.num_classes, (3, 3), kernel_init=small, bias_init=prior, name="classes")
        extend = nn.Conv(4, (3, 3), kernel_init=small, bias_init=nn.initializers.ones, name="distances")
        found: list[dict[str, jax.Array]] = []
        places: list[jax.Array] = []
        for stride, x in zip(self.strides, self._pyramid(features, train), strict=True):
            for i, layer in enumerate(conv, start=1):
                x = self._norm(f"level{stride}_norm{i}", train, nn.relu)(layer(x))
            x = x.astype(jnp.float32)
            batch, height, width, channels = x.shape
            scale = self.param(f"level{stride}_scale", nn.initializers.ones, ())
            distances = _softplus(extend(x) * scale).reshape(batch, -1, 4)
            centres = boxes.grid_points(height, width)
            side = jnp.broadcast_to(jnp.array([1 / height, 1 / width]), centres.shape)
            found.append(
                {
                    "logits": classify(x).reshape(batch, -1, self.num_classes),
                    "boxes": boxes.decode(centres, distances * jnp.tile(side, 2)),
                    "features": x.reshape(batch, -1, channels),
                }
            )
            places.append(jnp.concatenate([centres, side], -1))
        together = {name: jnp.concatenate([level[name] for level in found], 1) for name in found[0]}
        return {**together, "places": jnp.broadcast_to(jnp.concatenate(places), together["boxes"].shape)}

    def _pyramid(self, features: Mapping[str, jax.Array], train: bool) -> list[jax.Array]:
        """A map of each stride ``[B, h, w, channels]``, in their order: what is coarse is added to what is fine."""
        there = sorted(int(name.removeprefix("stride")) for name in features if name != "penultimate")
        if self.strides[0] not in there:
            known = ", ".join(map(str, there)) or "none"
            raise UserError(
                f"model option strides={self.strides}: the backbone has maps of stride {known}; the finest level must "
                "be one of them"
            )
        used = [stride for stride in there if stride >= self.strides[0]]  # coarser ones say what is around
        sides = [nn.Conv(self.channels, (1, 1), dtype=self.dtype, name=f"lateral{stride}") for stride in used]
        maps = [side(features[f"stride{stride}"]) for side, stride in zip(sides, used, strict=True)]
        for fine in range(len(maps) - 2, -1, -1):
            maps[fine] += _enlarged(maps[fine + 1], used[fine + 1] // used[fine], maps[fine].shape)
        levels, own = [], [stride for stride in self.strides if stride in used]
        for stride in own:
            x = maps[used.index(stride)]
            x = conv_no_bias(self.channels, 3, dtype=self.dtype, name=f"smooth{stride}")(x)
            levels.append(self._norm(f"smooth{stride}_norm", train, nn.relu)(x))
        for stride in self.strides[len(own) :]:
            x = conv_no_bias(self.channels, 3, 2, dtype=self.dtype, name=f"coarser{stride}")(levels[-1])
            levels.append(self._norm(f"coarser{stride}_norm", train, nn.relu)(x))
        return levels

    def _norm(self, name: str, train: bool, activation: Callable | None = None) -> BatchNorm:
        return batch_norm(name, activation, train=train, dtype=self.dtype, axis_name=self.axis_name)


def _enlarged(x: jax.Array, times: int, shape: tuple[int, ...]) -> jax.Array:
    """A map ``[B, h, w, C]``, each of its places repeated downwards and sideways, of the size of a shape.

    One that is too small, as of a backbone that drops what is odd, has its last row or column once more.
    """
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, times, width, times, channels))
    x = x.reshape(batch, times * height, times * width, channels)[:, : shape[1], : shape[2]]
    missing = [wanted - there for wanted, there in zip(shape[1:3], x.shape[1:3], strict=True)]
    if any(missing):
        x = jnp.pad(x, ((0, 0), *((0, more) for more in missing), (0, 0)), mode="edge")
    return x


def _softplus(x: jax.Array) -> jax.Array:
    """``log(1 + exp(x))`` by operations that other runtimes have."""
    return jnp.maximum(x, 0) + jnp.log(1 + jnp.exp(-jnp.abs(x)))
