"""Exits: what makes logits of a student's inner activation, and is thrown away after training."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from effjax.models.cifar_mobile import PaddedDepthwise
from effjax.models.tokens import Attention, TokenMlp, token_init
from effjax.steps.regressors import BatchScaled

# Drawn as PyTorch does if it is not told.
_PYTORCHS = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
_HE = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_EPSILON = 1e-5  # of PyTorch's layer normalisation
HEADS = 4  # of the attention


class LinearExit(nn.Dense):
    """A linear layer of the activation, averaged over places."""

    kernel_init: Any = _PYTORCHS

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, ..., C]`` to logits ``[B, K]``."""
        return super().__call__(pooled(x))


def pooled(x: jax.Array) -> jax.Array:
    """Activations ``[B, ..., C]`` averaged over places, ``[B, C]``."""
    return x.reshape(len(x), -1, x.shape[-1]).mean(1)


class ConvolutionalExit(nn.Module):
    """Separable convolutions that halve the map, or a 1×1 convolution in their place; an average, a linear layer.

    Attributes:
      num_classes: K.
      halvings: how many.
      channels: of the last map; the maps before it have twice as many each as what they are made of.
      axis_name: the mapped axis that the batch lies along, which is normalised over.

    References:
      Hao et al., `One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation
      <https://arxiv.org/abs/2310.19444>`_, 2023; `its code <https://github.com/Hao840/OFAKD>`_, ``distillers/ofa.py``
      and ``distillers/utils.py`` (``SepConv``, ``init_weights``).
    """

    num_classes: int
    halvings: int
    channels: int
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, H, W, C]`` to logits ``[B, K]``."""
        x = x.astype(jnp.float32)
        for number in range(1, self.halvings + 1):
            channels = self.channels if number == self.halvings else 2 * x.shape[-1]
            x = _Separable(channels, self.axis_name, name=f"halving{number}")(x)
        if not self.halvings:
            bias = _uniform(x.shape[-1])
            x = nn.Conv(self.channels, (1, 1), kernel_init=_HE, bias_init=bias, name="conv")(x)
        return nn.Dense(self.num_classes, kernel_init=token_init, name="classifier")(x.mean((1, 2)))


def _uniform(fan_in: int) -> nn.initializers.Initializer:
    """As PyTorch draws the biases of convolutions."""
    most = fan_in**-0.5
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -most, most)


class _Separable(nn.Module):
    """Twice a filter a channel, a 1×1 convolution, batch normalisation and ReLU; the first filter has stride 2."""

    channels: int
    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for number, (stride, channels) in enumerate(((2, x.shape[-1]), (1, self.channels)), start=1):
            x = PaddedDepthwise(stride, jnp.dtype("float32"), _HE, name=f"depthwise{number}")(x)
            x = nn.Conv(channels, (1, 1), use_bias=False, kernel_init=_HE, name=f"pointwise{number}")(x)
            x = nn.relu(BatchScaled(self.axis_name, name=f"norm{number}")(x))
        return x


class AttentionExit(nn.Module):
    """Patches that are merged two by two, blocks of attention, a linear layer of the class token or of the average.

    Attributes:
      num_classes: K.
      merges: how often the sides of the grid are halved.
      channels: of a token after the first merge.
      blocks: how many.

    References:
      As of :class:`ConvolutionalExit`; ``PatchMerging``, and the block of timm 0.6.5.
    """

    num_classes: int
    merges: int
    channels: int
    blocks: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps a grid ``[B, h, w, C]``, or tokens ``[B, T, C]``, those that are no patches first, to ``[B, K]``."""
        x = x.astype(jnp.float32)
        extra, grid = split_tokens(x)
        for number in range(1, self.merges + 1):
            grid = nn.LayerNorm(epsilon=_EPSILON, name=f"merge_norm{number}")(_merged(grid))
            name = f"merge{number}"
            grid = nn.Dense(self.channels, use_bias=False, kernel_init=token_init, name=name)(grid)
            if number == 1 or number < self.merges:
                grid = nn.gelu(grid, approximate=False)
        count, x = extra.shape[1], grid.reshape(len(grid), -1, grid.shape[-1])
        x = jnp.concatenate([extra, x], 1) if count else x
        for number in range(1, self.blocks + 1):
            x = _Block(name=f"block{number}")(x)
        # The class token where there is one, else the average.
        x = x[:, :count].reshape(len(x), -1) if count else x.mean(1)
        return nn.Dense(self.num_classes, kernel_init=token_init, name="classifier")(x)


def split_tokens(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Tokens before those of patches ``[B, N, C]``, and the patches as a grid ``[B, h, w, C]``, which is square."""
    if x.ndim == 4:
        return x[:, :0, 0], x
    side = int(x.shape[1] ** 0.5)
    extra = x.shape[1] - side * side
    return x[:, :extra], x[:, extra:].reshape(len(x), side, side, x.shape[-1])


def _merged(grid: jax.Array) -> jax.Array:
    """Four neighbours in one, ``[B, h / 2, w / 2, 4 · C]``: down the rows first."""
    return jnp.concatenate([grid[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], -1)


class _Block(nn.Module):
    """x + attention(norm(x)) with four heads, then x + mlp(norm(x))."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.LayerNorm(epsilon=_EPSILON, name="norm1")(x)
        x = x + Attention(HEADS, x.dtype, qkv_bias=False, init=token_init, name="attention")(y)
        y = nn.LayerNorm(epsilon=_EPSILON, name="norm2")(x)
        return x + TokenMlp(4.0, x.dtype, init=token_init, name="mlp")(y)
