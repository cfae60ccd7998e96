"""What the transformers share: patches, attention, the MLP, branches that are skipped by example."""

import zlib

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.errors import UserError
from effjax.models.layers import Dropout

token_init = nn.initializers.truncated_normal(0.02)  # of what is added to tokens, and of classifiers
# ViT's own. DeiT's, a standard deviation of 0.02, is about the same at its widths, but narrow networks learn slowly
# from it (digits, 48 channels, 250 steps, one seed: 60 % against 82 %).
dense_init = nn.initializers.xavier_uniform()


def cut_into_patches(x: jax.Array, patch: int) -> jax.Array:
    """Turns patches into pixels of ``patch² · C`` channels, row by row: ``[B, H/patch, W/patch, patch² · C]``.

    With a dense layer it is the convolution of stride ``patch``, and on CPU a loop over steps stays fast with it.

    Raises:
      UserError: if the sides are no multiples of the patch.
    """
    batch, height, width, channels = x.shape
    if height % patch or width % patch:
        raise UserError(
            f"images of {height}×{width} pixels do not divide into patches of {patch}; allowed: multiples of {patch}. "
            "Resize the images, or set the model's option patch"
        )
    height, width = height // patch, width // patch
    x = x.reshape(batch, height, patch, width, patch, channels).swapaxes(2, 3)
    return x.reshape(batch, height, width, patch * patch * channels)


class Attention(nn.Module):
    """Self-attention of several heads, which share the channels; its softmax is in float32.

    References:
      Vaswani et al, 2017, Attention Is All You Need, https://arxiv.org/abs/1706.03762
    """

    heads: int
    dtype: DTypeLike
    qkv_bias: bool = True
    init: nn.initializers.Initializer = dense_init

    @nn.compact
    def __call__(self, x: jax.Array, bias: jax.Array | None = None) -> jax.Array:
        """Maps tokens ``[..., T, D]`` to ``[..., T, D]``; ``bias`` ``[..., heads, T, T]`` is added to the scores."""
        size = x.shape[-1] // self.heads
        qkv = nn.Dense(3 * x.shape[-1], self.qkv_bias, dtype=self.dtype, kernel_init=self.init, name="qkv")(x)
        query, key, value = jnp.moveaxis(qkv.reshape(*x.shape[:-1], 3, self.heads, size), -3, 0)
        scores = jnp.einsum("...qhd,...khd->...hqk", query * size**-0.5, key, preferred_element_type=jnp.float32)
        if bias is not None:
            scores = scores + bias
        weights = jax.nn.softmax(scores).astype(self.dtype)
        x = jnp.einsum("...hqk,...khd->...qhd", weights, value).reshape(x.shape)
        return nn.Dense(x.shape[-1], dtype=self.dtype, kernel_init=self.init, name="out")(x)


class TokenMlp(nn.Module):
    """Two dense layers with the exact GELU between, ``ratio`` hidden units for each channel."""

    ratio: float
    dtype: DTypeLike
    init: nn.initializers.Initializer = dense_init

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps each token ``[..., C]`` to another, ``[..., C]``."""
        hidden = round(self.ratio * x.shape[-1])
        y = nn.Dense(hidden, dtype=self.dtype, kernel_init=self.init, name="dense1")(x)
        y = nn.gelu(y, approximate=False)
        return nn.Dense(x.shape[-1], dtype=self.dtype, kernel_init=self.init, name="dense2")(y)


def some_tokens(tokens: jax.Array, share: float, keys: jax.Array) -> jax.Array:
    """Keeps a share of the tokens ``[B, T, C]`` of each example, at random by its key ``[B]``, in their order.

    Returns:
      ``[B, max(⌊share · T⌋, 1), C]``.

    References:
      Liu et al, 2023, PatchDropout: Economizing Vision Transformers Using Patch Dropout,
      https://arxiv.org/abs/2208.07220
    """
    count, total = max(int(share * tokens.shape[1]), 1), tokens.shape[1]

    def kept(key: jax.Array) -> jax.Array:
        drawn = jax.random.uniform(jax.random.fold_in(key, zlib.crc32(b"tokens")), (total,))
        return jnp.sort(jax.lax.top_k(drawn, count)[1])

    return jnp.take_along_axis(tokens, jax.vmap(kept)(keys)[:, :, None], axis=1)


def skip(branch: jax.Array, rate: float, dropout_keys: jax.Array | None, *, name: str) -> jax.Array:
    """Sets a branch ``[B, ...]`` to zero for whole examples, by their keys ``[B]``, and scales the rest to make up.

    References:
      Huang et al, 2016, Deep Networks with Stochastic Depth, https://arxiv.org/abs/1603.09382
    """
    ones = jnp.ones((branch.shape[0], *(1,) * (branch.ndim - 1)), branch.dtype)
    return branch * Dropout(rate, name=name)(ones, dropout_keys)
