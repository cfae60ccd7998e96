"""RegNets: residual networks whose widths grow by a line, in groups of one width."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from effjax.models.inverted import excitation
from effjax.models.layers import batch_norm, check_inputs, conv_no_bias, head_field, predict
from effjax.models.normalised import Across
from effjax.models.taps import Outputs, Taps


class RegNet(nn.Module):
    """A stem, four stages of bottlenecks of one width with grouped convolutions, average pooling, a classifier.

    Attributes:
      num_classes: K.
      depth: blocks of all stages.
      first_width: where the line of the widths begins (the paper's w₀).
      slope: by how much it grows from block to block (wₐ).
      step: the factor between the widths that it is quantised to (wₘ).
      group_width: channels of a convolution's group.
      squeezes: whether there is squeeze-and-excitation (RegNetY), to a quarter of what a block reads.
      nearest: whether widths are rounded to the nearest multiple of the group's, as in the paper and in timm; in
        torchvision never less by more than a tenth.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1`` (its last block), …, ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Radosavovic et al, 2020, Designing Network Design Spaces, https://arxiv.org/abs/2003.13678
    """

    num_classes: int
    depth: int
    first_width: int
    slope: float
    step: float
    group_width: int
    squeezes: bool
    nearest: bool
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
        x = norm("stem_norm", nn.relu)(conv(32, 3, 2, name="stem_conv")(images.astype(self.dtype)))
        taps.keep("stem", x)
        maps, read = {}, 32
        line = self.depth, self.first_width, self.slope, self.step
        stages = stage_widths(*line, self.group_width, nearest=self.nearest)
        for i, (width, depth) in enumerate(stages, start=1):
            group = min(self.group_width, width)
            stage = partial(_Stage, conv, norm, depth, width, width // group, self.squeezes, read)
            x = stage(name=f"stage{i}")(x, taps)
            taps.keep(f"stage{i}", x)
            maps[f"stride{2 ** (i + 1)}"] = x
            read = width
        return predict(self, maps, x.mean((1, 2)), taps, nn.initializers.lecun_normal(), train, dropout_keys, places=x)


def stage_widths(
    depth: int, first_width: int, slope: float, step: float, group_width: int, *, nearest: bool
) -> tuple[tuple[int, int], ...]:
    """The widths of the stages, and how many blocks have them.

    Args:
      depth: blocks of all stages.
      first_width: where the line of the widths begins.
      slope: by how much it grows from block to block.
      step: the factor between the widths that it is quantised to, which are then rounded to multiples of 8.
      group_width: what widths are rounded to multiples of, where they are larger.
      nearest: whether to the nearest; else one that would be less by more than a tenth is the next.

    Example:
      >>> stage_widths(16, 48, 27.89, 2.09, 8, nearest=True)  # RegNetY-400MF
      ((48, 1), (104, 3), (208, 6), (440, 6))
    """
    line = first_width + slope * np.arange(depth)
    powers = np.round(np.log(line / first_width) / np.log(step))
    widths = np.round(first_width * np.power(step, powers) / 8).astype(int) * 8
    counts = sorted(Counter(widths.tolist()).items())
    return tuple((_multiple(width, min(group_width, width), nearest), count) for width, count in counts)


def _multiple(width: int, of: int, nearest: bool) -> int:
    if nearest:
        return round(width / of) * of
    rounded = max(of, int(width + of / 2) // of * of)
    return rounded if rounded >= 0.9 * width else rounded + of


class _Stage(nn.Module):
    """Blocks of one size; a module of its own, so that parameters lie at ``stage1/block2/conv1/kernel``."""

    conv: Callable
    norm: Callable
    depth: int
    width: int
    groups: int
    squeezes: bool
    read: int

    @nn.compact
    def __call__(self, x: jax.Array, taps: Taps) -> jax.Array:
        for i in range(1, self.depth + 1):
            squeezed = round((self.read if i == 1 else self.width) / 4) if self.squeezes else 0
            block = _Block(self.conv, self.norm, self.width, self.groups, squeezed, i == 1, name=f"block{i}")
            x = block(x)
            taps.keep(f"{self.name}/block{i}", x)
        return x


class _Block(nn.Module):
    """relu(x + f(x)): f is 1×1, 3×3 in groups, 1×1; the first of a stage halves the size and projects x."""

    conv: Callable
    norm: Callable
    width: int
    groups: int
    squeezed: int
    halves: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        stride = 2 if self.halves else 1
        y = self.norm("norm1", nn.relu)(self.conv(self.width, 1, name="conv1")(x))
        y = self.norm("norm2", nn.relu)(self.conv(self.width, 3, stride, self.groups, name="conv2")(y))
        if self.squeezed:
            y = y * excitation(y, self.squeezed, nn.relu, nn.sigmoid)
        y = self.conv(self.width, 1, name="conv3")(y)
        if self.halves:
            x = self.norm("shortcut_norm")(self.conv(self.width, 1, stride, name="shortcut_conv")(x))
        return self.norm("norm3", nn.relu)(y, x)
