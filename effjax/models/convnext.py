"""ConvNeXt: a convolutional network built as transformers are."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from effjax.models.depthwise import DepthwiseConv
from effjax.models.layers import check_inputs, head_field, predict
from effjax.models.taps import Outputs, Taps
from effjax.models.tokens import skip, token_init


class ConvNext(nn.Module):
    """Patches of 4 pixels, stages of 7×7 depthwise convolutions and MLPs, halved between them; pooling, a classifier.

    Attributes:
      num_classes: K.
      depths: blocks of each stage.
      dim: channels of the first stage; every further stage has twice as many as the one before.
      drop_path: the probability of skipping the last block while training; it grows linearly from 0 at the first
        (stochastic depth).
      dtype: what is computed in; parameters and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1`` (its last block), …, ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Liu et al, 2022, A ConvNet for the 2020s, https://arxiv.org/abs/2201.03545
    """

    num_classes: int
    depths: tuple[int, ...]
    dim: int
    drop_path: float = 0.1
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` has no effect: statistics are a pixel's own."""
        check_inputs(images, dropout_keys)
        taps, maps = Taps(self.taps), {}
        norm = partial(nn.LayerNorm, epsilon=1e-6, dtype=self.dtype)
        x = _patches(self.dim, 4, self.dtype, "stem_conv")(images.astype(self.dtype))
        x = norm(name="stem_norm")(x)
        taps.keep("stem", x)
        rates = iter(np.linspace(0, self.drop_path, sum(self.depths)).tolist())
        for i, depth in enumerate(self.depths, start=1):
            rates_of_stage = tuple(next(rates) for _ in range(depth))
            x = _Stage(self.dim * 2 ** (i - 1), rates_of_stage, i > 1, self.dtype, name=f"stage{i}")(
                x, taps, dropout_keys
            )
            taps.keep(f"stage{i}", x)
            maps[f"stride{2 ** (i + 1)}"] = x
        x = norm(name="norm")(x.mean((1, 2)))
        return predict(self, maps, x, taps, token_init, train, dropout_keys)


class _Stage(nn.Module):
    """Blocks of one size; before them the size may be halved."""

    dim: int
    drop_path: tuple[float, ...]
    halve: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, taps: Taps, dropout_keys: jax.Array | None) -> jax.Array:
        if self.halve:
            x = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="halve_norm")(x)
            x = _patches(self.dim, 2, self.dtype, "halve_conv")(x)
        for i, rate in enumerate(self.drop_path, start=1):
            x = _Block(rate, self.dtype, name=f"block{i}")(x, dropout_keys)
            taps.keep(f"{self.name}/block{i}", x)
        return x


class _Block(nn.Module):
    """x + scale · mlp(norm(filtered x)); the branch may be skipped for an example."""

    drop_path: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, dropout_keys: jax.Array | None) -> jax.Array:
        channels = x.shape[-1]
        y = DepthwiseConv(7, symmetric=True, use_bias=True, dtype=self.dtype, name="depthwise_conv")(x)
        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm")(y)
        y = nn.gelu(
            nn.Dense(4 * channels, dtype=self.dtype, kernel_init=token_init, name="dense1")(y), approximate=False
        )
        y = nn.Dense(channels, dtype=self.dtype, kernel_init=token_init, name="dense2")(y)
        y = y * self.param("layer_scale", nn.initializers.constant(1e-6), (channels,)).astype(self.dtype)
        return x + skip(y, self.drop_path, dropout_keys, name="drop_path")


def _patches(features: int, size: int, dtype: DTypeLike, name: str) -> nn.Conv:
    """A convolution of patches that do not overlap."""
    return nn.Conv(
        features, (size, size), strides=(size, size), padding="VALID", dtype=dtype, kernel_init=token_init, name=name
    )
