"""Wide residual networks: few blocks, many channels, normalised before each convolution."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.layers import Dropout, batch_norm, check_inputs, conv_no_bias, head_field, predict
from effjax.models.normalised import Across
from effjax.models.taps import Outputs, Taps


class WideResNet(nn.Module):
    """WRN-d-k: a convolution, three stages of (d − 4) / 6 blocks of 16k, 32k and 64k channels, pooling, a classifier.

    A block that changes the shape projects what has been normalised; a network of k = 1 does not change it in the first
    stage.

    Attributes:
      num_classes: K.
      depth: d, 6n + 4.
      widen: k.
      dropout: the probability of dropping between a block's convolutions.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1`` (its last block), ``stage1/preact`` (the same
        as what follows normalises it, before its ReLU), …, ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Zagoruyko & Komodakis, 2016, Wide Residual Networks, https://arxiv.org/abs/1605.07146; in the form of
      RepDistiller, https://github.com/HobbitLong/RepDistiller, ``models/wrn.py``.
    """

    num_classes: int
    depth: int
    widen: int
    dropout: float = 0.0
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
        x = conv(16, 3, name="stem_conv")(images.astype(self.dtype))
        taps.keep("stem", x)
        maps = {}
        for number, channels in enumerate((16, 32, 64), start=1):
            x = _Stage(
                *(conv, norm, number, (self.depth - 4) // 6, channels * self.widen, 1 if number == 1 else 2),
                changes=number > 1 or self.widen > 1,
                dropout=self.dropout,
                name=f"stage{number}",
            )(x, taps, dropout_keys)
            taps.keep(f"stage{number}", x)
            maps[f"stride{2 ** (number - 1)}"] = x
        x = norm("last_norm")(x)
        taps.keep("stage3/preact", x)
        x = nn.relu(x)
        return predict(self, maps, x.mean((1, 2)), taps, nn.initializers.lecun_normal(), train, dropout_keys, places=x)


class _Stage(nn.Module):
    """Blocks of one size."""

    conv: Callable
    norm: Callable
    number: int
    depth: int
    channels: int
    stride: int
    changes: bool
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, taps: Taps, keys: jax.Array | None) -> jax.Array:
        for i in range(1, self.depth + 1):
            stride, changes = (self.stride, self.changes) if i == 1 else (1, False)
            block = _Block(self.conv, self.norm, self.channels, stride, changes, self.dropout, name=f"block{i}")
            x, normalised = block(x, keys)
            if i == 1 and self.number > 1:
                taps.keep(f"stage{self.number - 1}/preact", normalised)
            taps.keep(f"{self.name}/block{i}", x)
        return x


class _Block(nn.Module):
    """x + f(x), and x as it is first normalised: f is twice a normalisation, relu and a 3×3 convolution."""

    conv: Callable
    norm: Callable
    channels: int
    stride: int
    changes: bool
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, keys: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        before = self.norm("norm1")(x)
        normalised = nn.relu(before)
        y = self.conv(self.channels, 3, self.stride, name="conv1")(normalised)
        y = self.norm("norm2", nn.relu)(y)
        y = Dropout(self.dropout, name="dropout")(y, keys)
        y = self.conv(self.channels, 3, name="conv2")(y)
        if self.changes:
            x = self.conv(self.channels, 1, self.stride, name="shortcut_conv")(normalised)
        return x + y, before
