"""EfficientNet-Lite: mobile networks without squeeze-and-excitation, with ReLU6."""

import math
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.depthwise import DepthwiseConv
from effjax.models.layers import Dropout, check_inputs, head_field, predict
from effjax.models.normalised import Across, Activation, BatchNorm
from effjax.models.taps import Outputs, Taps

#: Of each stage: blocks, kernel, stride, expansion, channels, before scaling.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite(nn.Module):
    """A stem, seven stages of inverted residual blocks, a 1×1 convolution, average pooling, a classifier.

    Padding is "SAME", as in the original: at stride 2 an even size is padded on the far side only. Stem and head
    keep their size in every member of the family. Stochastic depth, which the original trains with, is left out.

    Attributes:
      num_classes: K.
      width_factor: multiplies the channels of the stages (rounded to multiples of 8).
      depth_factor: multiplies the blocks of the stages but the first and the last (rounded up).
      dropout: the probability of dropping a feature before the classifier.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1`` (its last block), …, ``head`` (before
        pooling), ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Tan & Le, 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
      https://arxiv.org/abs/1905.11946
      The Lite variants, https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    """

    num_classes: int
    width_factor: float
    depth_factor: float
    dropout: float = 0.2
    axis_name: Across = None
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` normalises by this batch."""
        check_inputs(images, dropout_keys)
        taps = Taps(self.taps)
        conv = partial(_conv, dtype=self.dtype)
        norm = partial(_batch_norm, train=train, dtype=self.dtype, axis_name=self.axis_name)
        x = conv(32, 3, 2, name="stem_conv")(images.astype(self.dtype))
        x = norm("stem_norm", nn.relu6)(x)
        taps.keep("stem", x)
        maps, reduced = {}, 2
        for i, (depth, kernel, stride, expansion, channels) in enumerate(STAGES, start=1):
            if 1 < i < len(STAGES):
                depth = math.ceil(depth * self.depth_factor)
            channels = round_channels(channels * self.width_factor)
            x = _Stage(conv, norm, depth, channels, kernel, stride, expansion, name=f"stage{i}")(x, taps)
            taps.keep(f"stage{i}", x)
            reduced *= stride
            maps[f"stride{reduced}"] = x
        x = norm("head_norm", nn.relu6)(conv(1280, 1, name="head_conv")(x))
        taps.keep("head", x)
        features = Dropout(self.dropout, name="dropout")(x.mean((1, 2)), dropout_keys)
        return predict(self, maps, features, taps, nn.initializers.lecun_normal(), train, dropout_keys, places=x)


class LargeEfficientNetLite(EfficientNetLite):
    """EfficientNet-Lite2 and larger, which train with more dropout."""

    dropout: float = 0.3


def round_channels(channels: float) -> int:
    """Rounds to the nearest multiple of 8, at least 8, but never down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


class _Stage(nn.Module):
    """Blocks of one size; a module of its own, so that parameters lie at ``stage1/block2/project_conv/kernel``."""

    conv: Callable
    norm: Callable
    depth: int
    channels: int
    kernel: int
    stride: int
    expansion: int

    @nn.compact
    def __call__(self, x: jax.Array, taps: Taps) -> jax.Array:
        block = partial(_Block, self.conv, self.norm, self.channels, self.kernel, expansion=self.expansion)
        for i in range(1, self.depth + 1):
            x = block(stride=self.stride if i == 1 else 1, adds=i > 1, name=f"block{i}")(x)
            taps.keep(f"{self.name}/block{i}", x)
        return x


class _Block(nn.Module):
    """An inverted residual: expand by 1×1, filter each channel, project by 1×1; no non-linearity at the end.

    A stage's first block adds nothing: it has other channels than what it reads.
    """

    conv: Callable
    norm: Callable
    channels: int
    kernel: int
    stride: int
    expansion: int
    adds: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = x
        if self.expansion > 1:
            y = self.conv(self.expansion * x.shape[-1], 1, name="expand_conv")(y)
            y = self.norm("expand_norm", nn.relu6)(y)
        y = DepthwiseConv(self.kernel, self.stride, dtype=y.dtype, name="depthwise_conv")(y)
        y = self.norm("depthwise_norm", nn.relu6)(y)
        y = self.conv(self.channels, 1, name="project_conv")(y)
        return self.norm("project_norm")(y, x if self.adds else None)


def _conv(features: int, kernel: int, stride: int = 1, *, dtype: DTypeLike, name: str) -> nn.Conv:
    """A convolution that a normalisation follows, with TensorFlow's padding."""
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=(stride, stride),
        padding="SAME",
        use_bias=False,
        dtype=dtype,
        kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
        name=name,
    )


def _batch_norm(
    name: str, activation: Activation | None = None, *, train: bool, dtype: DTypeLike, axis_name: Across
) -> BatchNorm:
    """Batch normalisation with the original's settings: ε 1e-3, a new batch weighs 0.01."""
    given = {"momentum": 0.99, "epsilon": 1e-3, "dtype": dtype, "axis_name": axis_name, "name": name}
    return BatchNorm(use_running_average=not train, activation=activation, **given)
