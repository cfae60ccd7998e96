"""MobileNet, the first: depthwise and 1×1 convolutions in turn."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.cifar_mobile import PaddedDepthwise
from effjax.models.layers import batch_norm, check_inputs, conv_no_bias, head_field, predict
from effjax.models.normalised import Across
from effjax.models.taps import Outputs, Taps

# Of each stage: channels, blocks, stride of the first.
_STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))


class MobileNetV1(nn.Module):
    """A stem with stride 2, five stages of depthwise-separable convolutions, average pooling, a classifier.

    Attributes:
      num_classes: K.
      width: multiplies the channels; rounded down.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1/preact`` (its last block before the ReLU),
        ``stage1`` (its last block), …, ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Howard et al, 2017, MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications,
      https://arxiv.org/abs/1704.04861; the student of distillation on ImageNet,
      https://github.com/megvii-research/mdistiller, ``mdistiller/models/imagenet/mobilenetv1.py``.
    """

    num_classes: int
    width: float = 1.0
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
        for number, (channels, depth, stride) in enumerate(_STAGES, start=1):
            own = max(1, int(channels * self.width))
            x = _Stage(conv, norm, own, depth, stride, self.dtype, name=f"stage{number}")(x, taps)
            taps.keep(f"stage{number}", x)
            reduced *= stride
            maps[f"stride{reduced}"] = x
        return predict(self, maps, x.mean((1, 2)), taps, nn.initializers.lecun_normal(), train, dropout_keys, places=x)


class _Stage(nn.Module):
    """Blocks of one size; a module of its own, so that parameters lie at ``stage1/block2/pointwise_conv/kernel``."""

    conv: Callable
    norm: Callable
    channels: int
    depth: int
    stride: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, taps: Taps) -> jax.Array:
        for i in range(1, self.depth + 1):
            stride = self.stride if i == 1 else 1
            before = _Block(self.conv, self.norm, self.channels, stride, self.dtype, name=f"block{i}")(x)
            x = nn.relu(before)
            taps.keep(f"{self.name}/block{i}", x)
            if i == self.depth:
                taps.keep(f"{self.name}/preact", before)
        return x


class _Block(nn.Module):
    """A filter a channel, then 1×1, each normalised; before the last ReLU."""

    conv: Callable
    norm: Callable
    channels: int
    stride: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        y = PaddedDepthwise(self.stride, self.dtype, init, name="depthwise_conv")(x)
        y = self.norm("depthwise_norm", nn.relu)(y)
        return self.norm("pointwise_norm")(self.conv(self.channels, 1, name="pointwise_conv")(y))
