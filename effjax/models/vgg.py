"""VGG: as students and teachers on CIFAR have it, with one linear layer, and the paper's, with three."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from effjax.models.layers import Dropout, batch_norm, check_inputs, head_field, predict
from effjax.models.normalised import Across
from effjax.models.pooling import max_pool_2x2
from effjax.models.taps import Outputs, Taps

_CHANNELS = (64, 128, 256, 512, 512)
_POOLED = 3  # blocks that a max-pooling follows; after the fourth there is none on images of 32 pixels


class CifarVgg(nn.Module):
    """Blocks of 3×3 convolutions, each normalised, halved by max-pooling three times; average pooling, a classifier.

    Attributes:
      num_classes: K.
      depths: convolutions of each of the five blocks.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``block1`` to ``block5``, before they are pooled, ``block1/preact`` to ``block5/preact``,
        before the last ReLU, and ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Simonyan & Zisserman, 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition,
      https://arxiv.org/abs/1409.1556; in the form of RepDistiller for images of 32 pixels,
      https://github.com/HobbitLong/RepDistiller, ``models/vgg.py``, ``vgg8`` and ``vgg13`` with normalisation.
    """

    num_classes: int
    depths: tuple[int, ...]
    axis_name: Across = None
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` normalises by this batch."""
        check_inputs(images, dropout_keys)
        taps, maps = Taps(self.taps), {}
        init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        x = before = images.astype(self.dtype)
        for block, (depth, channels) in enumerate(zip(self.depths, _CHANNELS, strict=True), start=1):
            for layer in range(1, depth + 1):
                name = f"block{block}_%s{layer}"
                conv = nn.Conv(channels, (3, 3), padding=1, dtype=self.dtype, kernel_init=init, name=name % "conv")
                norm = batch_norm(name % "norm", train=train, dtype=self.dtype, axis_name=self.axis_name)
                before = norm(conv(x))
                x = nn.relu(before)
            taps.keep(f"block{block}/preact", before)
            taps.keep(f"block{block}", x)
            maps[f"stride{2 ** min(block - 1, _POOLED)}"] = x
            if block <= _POOLED:
                x = max_pool_2x2(x)
        return predict(self, maps, x.mean((1, 2)), taps, nn.initializers.normal(0.01), train, dropout_keys, places=x)


class Vgg(nn.Module):
    """The paper's network, as in torchvision: five blocks of 3×3 convolutions, each halved; three dense layers.

    The dense layers read a map of 7×7 places, that of images of 224 pixels. Maps of other sizes are averaged to it.

    Attributes:
      num_classes: K.
      depths: convolutions of each of the five blocks.
      normalized: whether batch normalisation follows each convolution.
      dropout: the probability of dropping after each dense layer but the last.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``block1`` to ``block5``, before they are pooled, and ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Simonyan & Zisserman, 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition,
      https://arxiv.org/abs/1409.1556
    """

    num_classes: int
    depths: tuple[int, ...]
    normalized: bool
    dropout: float = 0.5
    axis_name: Across = None
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` normalises by this batch."""
        check_inputs(images, dropout_keys)
        taps, maps = Taps(self.taps), {}
        init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        x = images.astype(self.dtype)
        for block, (depth, channels) in enumerate(zip(self.depths, _CHANNELS, strict=True), start=1):
            for layer in range(1, depth + 1):
                name = f"block{block}_%s{layer}"
                x = nn.Conv(channels, (3, 3), padding=1, dtype=self.dtype, kernel_init=init, name=name % "conv")(x)
                if self.normalized:
                    x = batch_norm(name % "norm", train=train, dtype=self.dtype, axis_name=self.axis_name)(x)
                x = nn.relu(x)
            taps.keep(f"block{block}", x)
            maps[f"stride{2 ** (block - 1)}"] = x
            x = max_pool_2x2(x)
        x = _averaged(x, 7).reshape(x.shape[0], -1)
        for layer in (1, 2):
            dense = nn.Dense(4096, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01), name=f"dense{layer}")
            x = Dropout(self.dropout, name=f"dropout{layer}")(nn.relu(dense(x)), dropout_keys)
        return predict(self, maps, x, taps, nn.initializers.normal(0.01), train, dropout_keys)


def _averaged(x: jax.Array, size: int) -> jax.Array:
    """Averages of ``[B, H, W, C]`` over ``size × size`` windows that cover it, ``[B, size, size, C]``."""
    for axis in (1, 2):
        if x.shape[axis] != size:
            weights = jnp.asarray(_windows(x.shape[axis], size), x.dtype)
            x = jnp.moveaxis(jnp.tensordot(x, weights, ((axis,), (0,))), -1, axis)
    return x


def _windows(length: int, size: int) -> np.ndarray:
    """``[length, size]``: what each place weighs in each window."""
    weights = np.zeros((length, size))
    for i in range(size):
        start, stop = i * length // size, -(-(i + 1) * length // size)
        weights[start:stop, i] = 1 / (stop - start)
    return weights
