"""Mobile networks as students on CIFAR have them: a MobileNetV2 of half the width, ShuffleNets of both versions."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.depthwise import depthwise_conv
from effjax.models.layers import batch_norm, check_inputs, conv_no_bias, head_field, predict
from effjax.models.normalised import Across
from effjax.models.pooling import average_pool
from effjax.models.taps import Outputs, Taps

# Of each stage: expansion, channels before the width, blocks, stride of the first.
_MOBILE_STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2))
_MOBILE_STAGES += ((6, 320, 1, 1),)
_GROUPS = 3  # of ShuffleNetV1's 1×1 convolutions
_PYTORCHS = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # what PyTorch draws if it is not told


class CifarMobileNetV2(nn.Module):
    """A stem with stride 2, seven stages of inverted residual blocks, a 1×1 convolution, pooling, a classifier.

    That of comparisons of distillation, which is not quite the paper's: ReLU in the place of ReLU6, the first stage's
    block has a 1×1 convolution too, the second stage keeps the size, and there is no dropout.

    Attributes:
      num_classes: K.
      width: multiplies the channels, but for those of the last convolution, 1280; rounded down.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1`` (its last block), …, ``stage7``, ``last``
        (before pooling), ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Sandler et al, 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks, https://arxiv.org/abs/1801.04381;
      in the form of RepDistiller, https://github.com/HobbitLong/RepDistiller, ``models/mobilenetv2.py``,
      ``mobile_half``.
    """

    num_classes: int
    width: float = 0.5
    axis_name: Across = None
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` normalises by this batch."""
        check_inputs(images, dropout_keys)
        taps, maps, reduced = Taps(self.taps), {}, 2
        conv = partial(conv_no_bias, dtype=self.dtype)
        norm = partial(batch_norm, train=train, dtype=self.dtype, axis_name=self.axis_name)
        x = conv(max(1, int(32 * self.width)), 3, 2, name="stem_conv")(images.astype(self.dtype))
        x = norm("stem_norm", nn.relu)(x)
        taps.keep("stem", x)
        for number, (expansion, channels, depth, stride) in enumerate(_MOBILE_STAGES, start=1):
            block = partial(_Inverted, conv, norm, max(1, int(channels * self.width)), expansion)
            strides = (stride, *(1,) * (depth - 1))
            x = _Stage(partial(_inverted_at, block), strides, name=f"stage{number}")(x, taps)
            taps.keep(f"stage{number}", x)
            reduced *= stride
            maps[f"stride{reduced}"] = x
        x = norm("last_norm", nn.relu)(conv(max(1280, int(1280 * self.width)), 1, name="last_conv")(x))
        taps.keep("last", x)
        return predict(self, maps, x.mean((1, 2)), taps, nn.initializers.normal(0.01), train, dropout_keys, places=x)


class CifarShuffleNetV1(nn.Module):
    """A 1×1 stem, three stages of 1×1 convolutions in three groups, with shuffled channels, pooling, a classifier.

    The images are halved by the stages alone, as they are small. Each stage's first block puts its pooled input beside
    what it computes.

    Attributes:
      num_classes: K.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1/preact`` (its last block before the ReLU),
        ``stage1`` (its last block), …, ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Zhang et al, 2018, ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices,
      https://arxiv.org/abs/1707.01083; in the form of RepDistiller, https://github.com/HobbitLong/RepDistiller,
      ``models/ShuffleNetv1.py``.
    """

    num_classes: int
    axis_name: Across = None
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` normalises by this batch."""
        check_inputs(images, dropout_keys)
        taps, maps = Taps(self.taps), {}
        norm = partial(batch_norm, train=train, dtype=self.dtype, axis_name=self.axis_name)
        x = _conv(24, dtype=self.dtype, name="stem_conv")(images.astype(self.dtype))
        x = norm("stem_norm", nn.relu)(x)
        taps.keep("stem", x)
        for number, (channels, depth) in enumerate(((240, 4), (480, 8), (960, 4)), start=1):
            block = partial(_Grouped, norm, channels, self.dtype)
            # The 24 channels of the stem are too few to be cut into groups.
            place = partial(_grouped_at, block, number == 1, depth)
            x = _Stage(place, (2, *(1,) * (depth - 1)), name=f"stage{number}")(x, taps)
            taps.keep(f"stage{number}", x)
            maps[f"stride{2**number}"] = x
        return predict(self, maps, x.mean((1, 2)), taps, _PYTORCHS, train, dropout_keys, places=x)


class CifarShuffleNetV2(nn.Module):
    """A 1×1 stem, three stages of blocks that leave half of the channels alone, a 1×1 convolution, a classifier.

    The images are halved by the stages alone, as they are small. A stage's first block halves both ways in; so there
    are four, eight and four blocks.

    Attributes:
      num_classes: K.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1/preact`` (its last block before the ReLU, its
        channels not shuffled), ``stage1`` (its last block), …, ``last`` (before pooling), ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Ma et al, 2018, ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design,
      https://arxiv.org/abs/1807.11164; in the form of RepDistiller, https://github.com/HobbitLong/RepDistiller,
      ``models/ShuffleNetv2.py``, size 1.
    """

    num_classes: int
    axis_name: Across = None
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` normalises by this batch."""
        check_inputs(images, dropout_keys)
        taps, maps = Taps(self.taps), {}
        norm = partial(batch_norm, train=train, dtype=self.dtype, axis_name=self.axis_name)
        conv = partial(_conv, dtype=self.dtype)
        x = norm("stem_norm", nn.relu)(conv(24, name="stem_conv")(images.astype(self.dtype)))
        taps.keep("stem", x)
        for number, (channels, depth) in enumerate(((116, 4), (232, 8), (464, 4)), start=1):
            place = partial(_split_at, partial(_Halving, norm, conv, channels), partial(_Split, norm, conv), depth)
            x = _Stage(place, (2, *(1,) * (depth - 1)), name=f"stage{number}")(x, taps)
            taps.keep(f"stage{number}", x)
            maps[f"stride{2**number}"] = x
        x = norm("last_norm", nn.relu)(conv(1024, name="last_conv")(x))
        taps.keep("last", x)
        return predict(self, maps, x.mean((1, 2)), taps, _PYTORCHS, train, dropout_keys, places=x)


def shuffled(x: jax.Array, groups: int) -> jax.Array:
    """The channels of ``[..., C]`` dealt out anew: one of each group in turn.

    Example:
      >>> shuffled(jnp.arange(6), 2)
      Array([0, 3, 1, 4, 2, 5], dtype=int32)
    """
    return x.reshape(*x.shape[:-1], groups, -1).swapaxes(-1, -2).reshape(x.shape)


class _Stage(nn.Module):
    """Blocks one after the other; a module of its own, so that parameters lie at ``stage1/block2/…``."""

    at: Callable[..., nn.Module]
    strides: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array, taps: Taps) -> jax.Array:
        for i, stride in enumerate(self.strides, start=1):
            x = self.at(i, stride, name=f"block{i}")(x)
            if isinstance(x, tuple):
                x, before = x
                taps.keep(f"{self.name}/preact", before)
            taps.keep(f"{self.name}/block{i}", x)
        return x


def _inverted_at(block: Callable, number: int, stride: int, name: str) -> nn.Module:
    return block(stride, number > 1, name=name)  # a stage's first block has other channels than what it reads


def _grouped_at(block: Callable, after_stem: bool, depth: int, number: int, stride: int, name: str) -> nn.Module:
    return block(1 if after_stem and number == 1 else _GROUPS, stride, number == depth, name=name)


def _split_at(halving: Callable, split: Callable, depth: int, number: int, stride: int, name: str) -> nn.Module:
    return halving(name=name) if number == 1 else split(number == depth, name=name)


class _Inverted(nn.Module):
    """An inverted residual: expand by 1×1, filter each channel, project by 1×1; no non-linearity at the end."""

    conv: Callable
    norm: Callable
    channels: int
    expansion: int
    stride: int
    adds: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.norm("expand_norm", nn.relu)(self.conv(self.expansion * x.shape[-1], 1, name="expand_conv")(x))
        init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        y = self.norm("depthwise_norm", nn.relu)(PaddedDepthwise(self.stride, y.dtype, init, name="depthwise_conv")(y))
        y = self.conv(self.channels, 1, name="project_conv")(y)
        return self.norm("project_norm")(y, x if self.adds else None)


class _Grouped(nn.Module):
    """ShuffleNet's first unit: grouped 1×1, shuffle, filter each channel, grouped 1×1; added to its input or beside.

    The last one of a stage returns what is before its ReLU, too.
    """

    norm: Callable
    channels: int
    dtype: DTypeLike
    first_groups: int
    stride: int
    is_last: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        own = self.channels - x.shape[-1] if self.stride > 1 else self.channels
        y = _conv(own // 4, self.first_groups, dtype=self.dtype, name="conv1")(x)
        y = shuffled(self.norm("norm1", nn.relu)(y), self.first_groups)
        y = self.norm("norm2", nn.relu)(PaddedDepthwise(self.stride, self.dtype, _PYTORCHS, name="conv2")(y))
        y = _conv(own, _GROUPS, dtype=self.dtype, name="conv3")(y)
        if self.stride == 1:
            y = self.norm("norm3", None if self.is_last else nn.relu)(y, x)
            return (nn.relu(y), y) if self.is_last else y
        y = self.norm("norm3")(y)
        pooled = average_pool(x, 3, 2, ((1, 1), (1, 1)))
        return nn.relu(jnp.concatenate([y, pooled], -1))


class _Halving(nn.Module):
    """ShuffleNetV2's unit at the beginning of a stage: two ways, both with stride 2, their channels shuffled."""

    norm: Callable
    conv: Callable
    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        half = self.channels // 2
        left = self.norm("norm1")(PaddedDepthwise(2, x.dtype, _PYTORCHS, name="conv1")(x))
        left = self.norm("norm2", nn.relu)(self.conv(half, name="conv2")(left))
        right = self.norm("norm3", nn.relu)(self.conv(half, name="conv3")(x))
        right = self.norm("norm4")(PaddedDepthwise(2, x.dtype, _PYTORCHS, name="conv4")(right))
        right = self.norm("norm5", nn.relu)(self.conv(half, name="conv5")(right))
        return shuffled(jnp.concatenate([left, right], -1), 2)


class _Split(nn.Module):
    """ShuffleNetV2's unit: one half of the channels goes through three convolutions, the other stays; shuffled.

    The last one of a stage returns what is before its ReLU, too, not shuffled.
    """

    norm: Callable
    conv: Callable
    is_last: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        half = x.shape[-1] // 2
        y = self.norm("norm1", nn.relu)(self.conv(half, name="conv1")(x[..., half:]))
        y = self.norm("norm2")(PaddedDepthwise(1, x.dtype, _PYTORCHS, name="conv2")(y))
        kept, y = x[..., :half], self.conv(half, name="conv3")(y)
        if not self.is_last:
            return shuffled(jnp.concatenate([kept, self.norm("norm3", nn.relu)(y)], -1), 2)
        y = self.norm("norm3")(y)
        return shuffled(jnp.concatenate([kept, nn.relu(y)], -1), 2), jnp.concatenate([kept, y], -1)


class PaddedDepthwise(nn.Module):
    """A 3×3 filter a channel, padded by 1 on all sides, as PyTorch's; "SAME" is not at stride 2."""

    stride: int
    dtype: DTypeLike
    init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, H, W, C]`` to ``[B, ⌈H/stride⌉, ⌈W/stride⌉, C]``."""
        kernel = self.param("kernel", self.init, (3, 3, 1, x.shape[-1]), jnp.float32).astype(self.dtype)
        return depthwise_conv(x.astype(self.dtype), kernel, self.stride, ((1, 1), (1, 1)))


def _conv(features: int, groups: int = 1, *, dtype: DTypeLike, name: str) -> nn.Conv:
    """A 1×1 convolution that a normalisation follows, drawn as PyTorch does if it is not told."""
    options = {"use_bias": False, "dtype": dtype, "kernel_init": _PYTORCHS, "name": name}
    return nn.Conv(features, (1, 1), feature_group_count=groups, **options)
