"""EfficientNets with squeeze-and-excitation, and the Lite ones as timm has them."""

import math

from effjax.models.efficientnet_lite import STAGES, round_channels
from effjax.models.inverted import Inverted, InvertedNet, Layout


class EfficientNet(InvertedNet):
    """EfficientNet-B0 and larger, as in torchvision and timm.

    Attributes:
      width_factor: multiplies the channels (rounded to multiples of 8).
      depth_factor: multiplies the blocks of the stages (rounded up).
      like_tensorflow: whether zeros are added as in TensorFlow, and batch normalisation has its settings there, as in
        the networks that timm calls ``tf_…``.

    References:
      Tan & Le, 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
      https://arxiv.org/abs/1905.11946
    """

    width_factor: float = 1.0
    depth_factor: float = 1.0
    like_tensorflow: bool = False

    def layout(self) -> Layout:
        """What the network consists of."""
        stem, last = (round_channels(channels * self.width_factor) for channels in (32, 1280))
        stages = scaled(self.width_factor, self.depth_factor, stem, "silu", squeezes=True)
        norm = (1e-3, 0.99) if self.like_tensorflow else (1e-5, 0.9)
        return Layout(stem, stages, last, 0, "silu", ("silu", "sigmoid"), *norm, not self.like_tensorflow)


class LargeEfficientNet(EfficientNet):
    """EfficientNet-B2 and B3, which train with more dropout."""

    dropout: float = 0.3


class VeryLargeEfficientNet(EfficientNet):
    """EfficientNet-B4."""

    dropout: float = 0.4


class TimmEfficientNetLite(InvertedNet):
    """EfficientNet-Lite in the form that timm trained: zeros are added alike before and after, as PyTorch does.

    Its weights have the same names and shapes as the original's, which pads as TensorFlow: ``efficientnet_lite0``.

    Attributes:
      width_factor: multiplies the channels of the stages (rounded to multiples of 8).
      depth_factor: multiplies the blocks of the stages but the first and the last (rounded up).

    References:
      https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/efficientnet.py
    """

    width_factor: float = 1.0
    depth_factor: float = 1.0

    def layout(self) -> Layout:
        """What the network consists of."""
        stages = scaled(self.width_factor, self.depth_factor, 32, "relu6", squeezes=False)
        return Layout(32, stages, 1280, 0, "relu6", ("relu", "sigmoid"), 1e-5, 0.9, True)


def scaled(
    width_factor: float, depth_factor: float, read: int, activation: str, *, squeezes: bool
) -> tuple[tuple[Inverted, ...], ...]:
    """The stages of EfficientNet-B0, scaled.

    Args:
      width_factor: multiplies the channels.
      depth_factor: multiplies the blocks; without squeeze-and-excitation not those of the first and the last stage.
      read: channels of the stem.
      activation: of the blocks.
      squeezes: whether there is squeeze-and-excitation, to a quarter of what a block reads.
    """
    stages = []
    for number, (depth, kernel, stride, expansion, channels) in enumerate(STAGES, start=1):
        if squeezes or 1 < number < len(STAGES):
            depth = math.ceil(depth * depth_factor)
        channels, blocks = round_channels(channels * width_factor), []
        for i in range(depth):
            expanded = expansion * read if expansion > 1 else 0
            squeezed = max(1, read // 4) if squeezes else 0
            step = stride if i == 0 else 1
            blocks.append(Inverted(kernel, step, expanded, channels, i > 0, squeezed, activation))
            read = channels
        stages.append(tuple(blocks))
    return tuple(stages)
