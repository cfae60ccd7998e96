"""Swin transformers: attention within windows that are shifted from block to block."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from effjax.errors import UserError
from effjax.models.layers import check_inputs, head_field, predict
from effjax.models.taps import Outputs, Taps
from effjax.models.tokens import Attention, TokenMlp, cut_into_patches, dense_init, skip, token_init

Window = tuple[int, int]


class Swin(nn.Module):
    """Stages of windowed attention, the grid halved between them; average pooling, a classifier.

    The window is the grid of the last stage, so it grows with the image and all stages divide into windows: 7×7 for
    images of 224 pixels and patches of 4. Parameters that depend on the image size are called ``position_table``:
    in each block the bias of the attention by relative position, ``[2h − 1, 2w − 1, heads]``.

    Attributes:
      num_classes: K.
      depths: blocks of each stage.
      patch: the side of a patch, in pixels; ``patch · 2^(stages − 1)`` must divide both sides of the image.
      dim: channels of the first stage; every further stage has twice as many as the one before.
      heads: of the first stage; they double too.
      drop_path: the probability of skipping the last block's branches while training; it grows linearly from 0 at the
        first (stochastic depth).
      dtype: what is computed in; parameters and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1`` (its last block), …, ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Liu et al, 2021, Swin Transformer: Hierarchical Vision Transformer using Shifted Windows,
      https://arxiv.org/abs/2103.14030
      Wang et al, 2023, EfficientTrain (the window follows the image), https://arxiv.org/abs/2211.09703
    """

    num_classes: int
    depths: tuple[int, ...]
    patch: int = 4
    dim: int = 96
    heads: int = 3
    drop_path: float = 0.2
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    def __post_init__(self):
        if self.dim % self.heads:
            raise UserError(f"model option heads={self.heads}: allowed: a divisor of dim={self.dim}")
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` has no effect: statistics are a token's own."""
        check_inputs(images, dropout_keys)
        taps = Taps(self.taps)
        norm = partial(nn.LayerNorm, epsilon=1e-5, dtype=self.dtype)
        window = self._window(images)
        x = cut_into_patches(images.astype(self.dtype), self.patch)
        x = norm(name="stem_norm")(nn.Dense(self.dim, dtype=self.dtype, name="embed")(x))
        taps.keep("stem", x)
        maps = {}
        rates = iter(np.linspace(0, self.drop_path, sum(self.depths)).tolist())
        for i, depth in enumerate(self.depths, start=1):
            rates_of_stage = tuple(next(rates) for _ in range(depth))
            stage = _Stage(self.heads * 2 ** (i - 1), window, rates_of_stage, i > 1, self.dtype, name=f"stage{i}")
            x = stage(x, taps, dropout_keys)
            taps.keep(f"stage{i}", x)
            maps[f"stride{self.patch * 2 ** (i - 1)}"] = x
        maps[f"stride{self.patch * 2 ** (i - 1)}"] = x = norm(name="norm")(x)
        return predict(self, maps, x.mean((1, 2)), taps, token_init, train, dropout_keys, places=x)

    def _window(self, images: jax.Array) -> Window:
        """The grid of the last stage."""
        height, width = images.shape[1:3]
        stride = self.patch * 2 ** (len(self.depths) - 1)
        if height % stride or width % stride:
            raise UserError(
                f"images of {height}×{width} pixels do not divide into windows; allowed: multiples of {stride}. "
                "Resize the images, or set a smaller option patch"
            )
        return height // stride, width // stride


class _Stage(nn.Module):
    """Blocks of one grid, every second one with its windows shifted by half; before them the grid may be halved."""

    heads: int
    window: Window
    drop_path: tuple[float, ...]
    halve: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, taps: Taps, dropout_keys: jax.Array | None) -> jax.Array:
        if self.halve:
            features = 2 * x.shape[-1]
            x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="merge_norm")(cut_into_patches(x, 2))
            x = nn.Dense(features, use_bias=False, dtype=self.dtype, kernel_init=dense_init, name="merge")(x)
        for i, rate in enumerate(self.drop_path, start=1):
            x = _Block(self.heads, self.window, i % 2 == 0, rate, self.dtype, name=f"block{i}")(x, dropout_keys)
            taps.keep(f"{self.name}/block{i}", x)
        return x


class _Block(nn.Module):
    """x + attention(norm(x)) in each window, then x + mlp(norm(x)); either may be skipped for an example."""

    heads: int
    window: Window
    shifted: bool
    drop_path: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, dropout_keys: jax.Array | None) -> jax.Array:
        norm = partial(nn.LayerNorm, epsilon=1e-5, dtype=self.dtype)
        y = self._attend(norm(name="norm1")(x))
        x = x + skip(y, self.drop_path, dropout_keys, name="drop_path1")
        y = TokenMlp(4.0, self.dtype, name="mlp")(norm(name="norm2")(x))
        return x + skip(y, self.drop_path, dropout_keys, name="drop_path2")

    def _attend(self, x: jax.Array) -> jax.Array:
        (height, width), grid = self.window, (x.shape[1], x.shape[2])
        # A grid of one window has nothing to be shifted to.
        rows, columns = (w // 2 if self.shifted and g > w else 0 for g, w in zip(grid, self.window, strict=True))
        windows = _to_windows(jnp.roll(x, (-rows, -columns), (1, 2)), self.window)
        table = self.param("position_table", token_init, (2 * height - 1, 2 * width - 1, self.heads))
        bias = jnp.moveaxis(table[_offsets(self.window)], -1, 0)
        if rows or columns:
            neighbours = _neighbours(grid, self.window, (rows, columns))
            bias = jnp.where(neighbours[:, None], bias, -1e9)
        windows = Attention(self.heads, self.dtype, name="attention")(windows, bias)
        return jnp.roll(_from_windows(windows, grid, self.window), (rows, columns), (1, 2))


def _to_windows(x: jax.Array, window: Window) -> jax.Array:
    """``[B, H, W, C]`` to ``[B, windows, tokens, C]``."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // window[0], window[0], width // window[1], window[1], channels).swapaxes(2, 3)
    return x.reshape(batch, -1, window[0] * window[1], channels)


def _from_windows(windows: jax.Array, grid: Window, window: Window) -> jax.Array:
    """The inverse of ``_to_windows``."""
    batch, _, _, channels = windows.shape
    x = windows.reshape(batch, grid[0] // window[0], grid[1] // window[1], *window, channels).swapaxes(2, 3)
    return x.reshape(batch, *grid, channels)


def _offsets(window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Where in the table the offset from each token of a window to each other lies: rows and columns ``[T, T]``."""
    rows, columns = (axis.reshape(-1) for axis in np.indices(window))
    return (
        rows[:, None] - rows + window[0] - 1,
        columns[:, None] - columns + window[1] - 1,
    )


def _neighbours(grid: Window, window: Window, shift: Window) -> np.ndarray:
    """Whether two tokens of a shifted window are neighbours in the image, ``[windows, T, T]``.

    Shifting wraps around, so the last windows also hold tokens from the opposite border.
    """
    wrapped = [np.arange(size) >= size - by for size, by in zip(grid, shift, strict=True)]
    part = wrapped[0][:, None] * 2 + wrapped[1]
    part = np.asarray(part.reshape(grid[0] // window[0], window[0], grid[1] // window[1], window[1]).swapaxes(1, 2))
    part = part.reshape(-1, window[0] * window[1])
    return part[:, :, None] == part[:, None]
