"""Densely connected networks with bottlenecks and compression."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.layers import Dropout, batch_norm, check_inputs, conv_no_bias, head_field, predict
from effjax.models.normalised import Across
from effjax.models.pooling import max_pool
from effjax.models.taps import Outputs, Taps


class DenseNet(nn.Module):
    """DenseNet-BC for small images: three dense blocks; channels and size are halved between them.

    Attributes:
      num_classes: K.
      depth: layers in all, 6n + 4 for n layers of two convolutions in each block.
      growth: channels that a layer adds (the paper's k).
      dropout: the probability of dropping after each convolution but the first. The paper's 0.2 is for
        training without data augmentation; with augmentation it has none: set 0.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``block1``, … (the concatenated features), ``transition1``, …, ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Huang et al, 2017, Densely Connected Convolutional Networks, https://arxiv.org/abs/1608.06993
    """

    num_classes: int
    depth: int = 100
    growth: int = 12
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
        norm = partial(batch_norm, train=train, dtype=self.dtype, axis_name=self.axis_name)
        conv = partial(conv_no_bias, dtype=self.dtype)
        x = conv(2 * self.growth, 3, name="stem_conv")(images.astype(self.dtype))
        taps.keep("stem", x)
        maps = {}
        for i in (1, 2, 3):
            layers = (self.depth - 4) // 6
            x = _Block(norm, conv, layers, self.growth, self.dropout, name=f"block{i}")(x, dropout_keys)
            taps.keep(f"block{i}", x)
            maps[f"stride{2 ** (i - 1)}"] = x
            if i < 3:
                half = x.shape[-1] // 2
                x = _Layer(norm, conv, half, 1, self.dropout, name=f"transition{i}")(x, dropout_keys)
                x = nn.avg_pool(x, (2, 2), (2, 2))
                taps.keep(f"transition{i}", x)
        maps["stride4"] = x = norm("head_norm", nn.relu)(x)
        return predict(self, maps, x.mean((1, 2)), taps, nn.initializers.lecun_normal(), train, dropout_keys, places=x)


class ImageNetDenseNet(nn.Module):
    """DenseNet-BC for large images, as in torchvision: a stem that quarters the size, four dense blocks.

    Attributes:
      num_classes: K.
      depths: layers of each block, of two convolutions each.
      growth: channels that a layer adds (the paper's k).
      dropout: the probability of dropping after each convolution but the first.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``block1``, … (the concatenated features), ``transition1``, …, ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Huang et al, 2017, Densely Connected Convolutional Networks, https://arxiv.org/abs/1608.06993
    """

    num_classes: int
    depths: tuple[int, ...]
    growth: int = 32
    dropout: float = 0.0
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
        conv = partial(conv_no_bias, dtype=self.dtype)
        x = norm("stem_norm", nn.relu)(conv(2 * self.growth, 7, 2, name="stem_conv")(images.astype(self.dtype)))
        x = max_pool(x, 3, 2, ((1, 1), (1, 1)))
        taps.keep("stem", x)
        for i, layers in enumerate(self.depths, start=1):
            x = _Block(norm, conv, layers, self.growth, self.dropout, name=f"block{i}")(x, dropout_keys)
            taps.keep(f"block{i}", x)
            maps[f"stride{2 ** (i + 1)}"] = x
            if i < len(self.depths):
                half = x.shape[-1] // 2
                x = _Layer(norm, conv, half, 1, self.dropout, name=f"transition{i}")(x, dropout_keys)
                x = nn.avg_pool(x, (2, 2), (2, 2))
                taps.keep(f"transition{i}", x)
        maps[f"stride{2 ** (i + 1)}"] = x = norm("head_norm", nn.relu)(x)
        return predict(self, maps, x.mean((1, 2)), taps, nn.initializers.lecun_normal(), train, dropout_keys, places=x)


class _Block(nn.Module):
    """Layers that each read all features before them and add ``growth`` new ones."""

    norm: Callable
    conv: Callable
    layers: int
    growth: int
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, dropout_keys: jax.Array | None) -> jax.Array:
        layer = partial(_Layer, self.norm, self.conv, dropout=self.dropout)
        for i in range(1, self.layers + 1):
            new = layer(4 * self.growth, 1, name=f"layer{i}_squeeze")(x, dropout_keys)
            new = layer(self.growth, 3, name=f"layer{i}_grow")(new, dropout_keys)
            x = jnp.concatenate([x, new], axis=-1)
        return x


class _Layer(nn.Module):
    """Normalisation, ReLU, convolution, dropout."""

    norm: Callable
    conv: Callable
    features: int
    kernel: int
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, dropout_keys: jax.Array | None) -> jax.Array:
        x = self.conv(self.features, self.kernel, name="conv")(self.norm("norm", nn.relu)(x))
        return Dropout(self.dropout, name="dropout")(x, dropout_keys)
