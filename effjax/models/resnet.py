"""Residual networks, in the form for CIFAR and in the form for ImageNet."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.layers import batch_norm, check_inputs, conv_no_bias, head_field, predict
from effjax.models.normalised import Across
from effjax.models.pooling import max_pool
from effjax.models.taps import Outputs, Taps

STEMS = ("cifar", "halving", "imagenet")
SHORTCUTS = ("pad", "projection")


class ResNet(nn.Module):
    """A stem, stages of residual blocks (all but the first halve the size), average pooling, a classifier.

    The paper has no dropout, so ``dropout_keys`` have no effect. A block's last scale starts at one, not zero.

    Attributes:
      num_classes: K.
      depths: blocks of each stage.
      channels: channels of each stage; the stem has those of the first.
      bottleneck: blocks of 1×1, 3×3 (it has the stride, as torchvision's "v1.5") and 1×1 convolutions, the
        last with four times the channels; else blocks of two 3×3 convolutions.
      stem: "cifar", a 3×3 convolution; "halving", the same with stride 2; or "imagenet", 7×7 with stride 2 and 3×3
        max-pooling with stride 2.
      shortcut: where a block changes the shape: "pad", the paper's option A, drops pixels and pads channels
        with zeros, no parameters; or "projection", option B, a 1×1 convolution with batch normalisation.
      width: multiplies all channels.
      stem_channels: of the stem, where it has others than the first stage; None: it has those.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1/preact`` (its last block before the ReLU),
        ``stage1`` (its last block), …, ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      He et al, 2016, Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385
      He et al, 2015, Delving Deep into Rectifiers (the initialisation), https://arxiv.org/abs/1502.01852
    """

    num_classes: int
    depths: tuple[int, ...]
    channels: tuple[int, ...]
    stem: str
    shortcut: str
    bottleneck: bool = False
    width: float = 1.0
    stem_channels: int | None = None
    axis_name: Across = None
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` normalises by this batch."""
        check_inputs(images, dropout_keys)
        taps = Taps(self.taps)
        conv = partial(conv_no_bias, dtype=self.dtype)
        norm = partial(batch_norm, train=train, dtype=self.dtype, axis_name=self.axis_name)
        channels = [max(1, round(c * self.width)) for c in self.channels]
        first = max(1, round((self.stem_channels or self.channels[0]) * self.width))
        x = images.astype(self.dtype)
        if self.stem == "imagenet":
            x = norm("stem_norm", nn.relu)(conv(first, 7, 2, name="stem_conv")(x))
            x = max_pool(x, 3, 2, ((1, 1), (1, 1)))
        else:
            halving = 2 if self.stem == "halving" else 1
            x = norm("stem_norm", nn.relu)(conv(first, 3, halving, name="stem_conv")(x))
        taps.keep("stem", x)
        maps, reduced = {}, {"cifar": 1, "halving": 2, "imagenet": 4}[self.stem]
        stage = partial(_Stage, conv, norm, shortcut=self.shortcut, bottleneck=self.bottleneck)
        aggregated = self._aggregated()
        for i, (depth, stage_channels) in enumerate(zip(self.depths, channels, strict=True), start=1):
            stride, wider = (1, self.stem_channels is not None) if i == 1 else (2, False)
            sizes = {"channels": stage_channels, "aggregated": aggregated}
            x = stage(depth=depth, **sizes, stride=stride, wider=wider, name=f"stage{i}")(x, taps)
            taps.keep(f"stage{i}", x)
            reduced *= stride
            maps[f"stride{reduced}"] = x
        return predict(self, maps, x.mean((1, 2)), taps, nn.initializers.lecun_normal(), train, dropout_keys, places=x)

    def _aggregated(self) -> tuple[int, float]:
        """Of the 3×3 convolution in a bottleneck: groups, and how many times as wide it is."""
        return 1, 1.0


class CifarResNet(ResNet):
    """The paper's network for CIFAR: three stages of 16, 32 and 64 channels, parameter-free shortcuts."""

    channels: tuple[int, ...] = (16, 32, 64)
    stem: str = "cifar"
    shortcut: str = "pad"


class ImageNetResNet(ResNet):
    """The paper's network for ImageNet, as in torchvision: four stages of 64 to 512 channels, projections."""

    channels: tuple[int, ...] = (64, 128, 256, 512)
    stem: str = "imagenet"
    shortcut: str = "projection"


class AggregatedResNet(ImageNetResNet):
    """ResNeXt and wide ResNets, as in torchvision: bottlenecks whose 3×3 convolution has groups, and more channels.

    Attributes:
      groups: of that convolution.
      group_width: its channels in each group, in the first stage; they double from stage to stage.

    References:
      Xie et al, 2017, Aggregated Residual Transformations for Deep Neural Networks, https://arxiv.org/abs/1611.05431
      Zagoruyko & Komodakis, 2016, Wide Residual Networks, https://arxiv.org/abs/1605.07146
    """

    groups: int = 32
    group_width: int = 4

    def _aggregated(self) -> tuple[int, float]:
        return self.groups, self.groups * self.group_width / 64


class _Stage(nn.Module):
    """Blocks of one size; a module of its own, so that parameters lie at ``stage1/block2/conv1/kernel``."""

    conv: Callable
    norm: Callable
    depth: int
    channels: int
    stride: int
    wider: bool
    shortcut: str
    bottleneck: bool
    aggregated: tuple[int, float] = (1, 1.0)

    @nn.compact
    def __call__(self, x: jax.Array, taps: Taps) -> jax.Array:
        block = partial(_Block, self.conv, self.norm, shortcut=self.shortcut, bottleneck=self.bottleneck)
        block = partial(block, aggregated=self.aggregated)
        for i in range(1, self.depth + 1):
            stride = self.stride if i == 1 else 1
            changes = i == 1 and (self.stride > 1 or self.bottleneck or self.wider)
            last = None if i == self.depth else nn.relu
            x = block(channels=self.channels, stride=stride, changes=changes, last=last, name=f"block{i}")(x)
            before, x = x, x if last else nn.relu(x)
            taps.keep(f"{self.name}/block{i}", x)
            if i == self.depth:
                taps.keep(f"{self.name}/preact", before)
        return x


class _Block(nn.Module):
    """The last activation of x + f(x): f is two 3×3 convolutions, or 1×1, 3×3, 1×1, each normalised."""

    conv: Callable
    norm: Callable
    channels: int
    stride: int
    changes: bool
    shortcut: str
    bottleneck: bool
    last: Callable | None = nn.relu
    aggregated: tuple[int, float] = (1, 1.0)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels, (groups, wider) = self.channels, self.aggregated
        if self.bottleneck:
            inner = round(channels * wider)
            plan = [(inner, 1, 1, 1), (inner, 3, self.stride, groups), (4 * channels, 1, 1, 1)]
        else:
            plan = [(channels, 3, self.stride, 1), (channels, 3, 1, 1)]
        y, shortcut = x, x
        for i, (features, kernel, stride, groups) in enumerate(plan, start=1):
            y = self.conv(features, kernel, stride, groups, name=f"conv{i}")(y)
            if i < len(plan):
                y = self.norm(f"norm{i}", nn.relu)(y)
        if self.changes:
            shortcut = self._project(x, y.shape[-1])
        return self.norm(f"norm{len(plan)}", self.last)(y, shortcut)

    def _project(self, x: jax.Array, features: int) -> jax.Array:
        if self.shortcut == "projection":
            return self.norm("shortcut_norm")(self.conv(features, 1, self.stride, name="shortcut_conv")(x))
        before = (features - x.shape[-1]) // 2
        after = features - x.shape[-1] - before
        return jnp.pad(x[:, :: self.stride, :: self.stride], ((0, 0), (0, 0), (0, 0), (before, after)))
