"""MobileNets of the second and the third version."""

import itertools

from effjax.models.efficientnet_lite import round_channels
from effjax.models.inverted import Inverted, InvertedNet, Layout

# Of each stage: expansion, channels, blocks, stride.
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

# Of each stage: kernel, stride, channels, squeeze-and-excitation, activation, and the channels of each block within.
_V3_LARGE = (
    (3, 1, 16, False, "relu", (16,)),
    (3, 2, 24, False, "relu", (64, 72)),
    (5, 2, 40, True, "relu", (72, 120, 120)),
    (3, 2, 80, False, "hard_swish", (240, 200, 184, 184)),
    (3, 1, 112, True, "hard_swish", (480, 672)),
    (5, 2, 160, True, "hard_swish", (672, 960, 960)),
)
_V3_SMALL = (
    (3, 2, 16, True, "relu", (16,)),
    (3, 2, 24, False, "relu", (72, 88)),
    (5, 2, 40, True, "hard_swish", (96, 240, 240)),
    (5, 1, 48, True, "hard_swish", (120, 144)),
    (5, 2, 96, True, "hard_swish", (288, 576, 576)),
)


class MobileNetV2(InvertedNet):
    """MobileNetV2, as in torchvision: ReLU6, no squeeze-and-excitation.

    Attributes:
      width: multiplies the channels, which are rounded to multiples of 8; of the last convolution only if above 1.

    References:
      Sandler et al, 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks, https://arxiv.org/abs/1801.04381
    """

    width: float = 1.0

    def layout(self) -> Layout:
        """What the network consists of."""
        read = stem = round_channels(32 * self.width)
        stages = []
        for expansion, channels, depth, stride in _V2:
            channels, blocks = round_channels(channels * self.width), []
            for i in range(depth):
                expanded = expansion * read if expansion > 1 else 0
                blocks.append(Inverted(3, stride if i == 0 else 1, expanded, channels, i > 0, 0, "relu6"))
                read = channels
            stages.append(tuple(blocks))
        last = round_channels(1280 * max(1.0, self.width))
        return Layout(stem, tuple(stages), last, 0, "relu6", ("relu", "sigmoid"), 1e-5, 0.9, True)


class MobileNetV3(InvertedNet):
    """MobileNetV3, as in torchvision: hard swish in the deeper stages, squeeze-and-excitation in some.

    Attributes:
      small: whether it is the small one of the two.

    References:
      Howard et al, 2019, Searching for MobileNetV3, https://arxiv.org/abs/1905.02244
    """

    small: bool = False

    def layout(self) -> Layout:
        """What the network consists of."""
        table, last, hidden = (_V3_SMALL, 576, 1024) if self.small else (_V3_LARGE, 960, 1280)
        stages, read = [], 16
        for kernel, stride, channels, squeezes, activation, inner in table:
            blocks = []
            for step, width in zip(itertools.chain((stride,), itertools.repeat(1)), inner, strict=False):
                squeezed = round_channels(width // 4) if squeezes else 0
                expanded = width if width != read else 0
                blocks.append(
                    Inverted(kernel, step, expanded, channels, step == 1 and read == channels, squeezed, activation)
                )
                read = channels
            stages.append(tuple(blocks))
        squeezing = ("relu", "hard_sigmoid")
        return Layout(16, tuple(stages), last, hidden, "hard_swish", squeezing, 1e-3, 0.99, True)
