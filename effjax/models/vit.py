"""Vision transformers, in the form of DeiT and in sizes for small images."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.errors import UserError
from effjax.models.layers import Classifier, check_inputs, head_field, predict
from effjax.models.taps import Outputs, Taps
from effjax.models.tokens import Attention, TokenMlp, cut_into_patches, skip, some_tokens, token_init


class Vit(nn.Module):
    """Patches as tokens, a class token, blocks of attention and MLP with normalisation before each, a classifier.

    It is bound to an image size by one parameter alone: ``position_table`` is a grid ``[h, w, dim]``, a row for each
    patch, which can be interpolated. The class token has a position of its own.

    The defaults are for images of 28 to 64 pixels.

    Attributes:
      num_classes: K.
      patch: the side of a patch, in pixels; it must divide both sides of the image.
      dim: channels of a token.
      blocks: how many blocks.
      heads: of the attention; they share the channels.
      mlp_ratio: hidden units of the MLP for each channel.
      drop_path: the probability of skipping the last block's branches while training; it grows linearly from 0 at the
        first (stochastic depth).
      dtype: what is computed in; parameters and logits are float32.
      taps: paths to return: ``stem`` (the patches with their positions), ``block1``, … as maps ``[B, h, w, dim]``
        without the class token, and ``penultimate``, the class token after the last normalisation. By its name alone
        ``block1/tokens``, …, all tokens ``[B, T, dim]``, the class token first.
      head: what predicts; see :func:`effjax.models.create`.
      token_share: of the patches, those that each example keeps while training, drawn at random (PatchDropout). With
        fewer than all there are no maps, and no taps of blocks.

    References:
      Dosovitskiy et al, 2021, An Image is Worth 16x16 Words, https://arxiv.org/abs/2010.11929
      Touvron et al, 2021, Training data-efficient image transformers & distillation through attention (DeiT),
      https://arxiv.org/abs/2012.12877
      Liu et al, 2023, PatchDropout: Economizing Vision Transformers Using Patch Dropout,
      https://arxiv.org/abs/2208.07220
    """

    num_classes: int
    patch: int = 4
    dim: int = 96
    blocks: int = 6
    heads: int = 3
    mlp_ratio: float = 4.0
    drop_path: float = 0.0
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()
    token_share: float = dataclasses.field(default=1.0, repr=False)  # what it learns is the same network's

    def __post_init__(self):
        if self.dim % self.heads:
            raise UserError(f"model option heads={self.heads}: allowed: a divisor of dim={self.dim}")
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` has no effect: statistics are a token's own."""
        check_inputs(images, dropout_keys)
        taps = Taps(self.taps)
        x = self._patches(images)
        batch, height, width, dim = x.shape
        taps.keep("stem", x)
        tokens = [jnp.broadcast_to(self._token(name, dim), (batch, 1, dim)) for name in self._tokens()]
        patches, whole = x.reshape(batch, -1, dim), dropout_keys is None or self.token_share == 1.0
        if dropout_keys is not None and not whole:
            patches = some_tokens(patches, self.token_share, dropout_keys)
        x, maps = jnp.concatenate([*tokens, patches], axis=1), {}
        for i in range(1, self.blocks + 1):
            rate = self.drop_path * (i - 1) / max(self.blocks - 1, 1)
            x = _Block(self.heads, self.mlp_ratio, rate, self.dtype, name=f"block{i}")(x, dropout_keys)
            if whole:
                maps[f"stride{self.patch}"] = x[:, len(tokens) :].reshape(batch, height, width, dim)
                taps.keep(f"block{i}", maps[f"stride{self.patch}"])
                taps.offer(f"block{i}/tokens", lambda x=x: x)
        x = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm")(x[:, : len(tokens)]).reshape(batch, -1)
        return self._ended(maps, x, taps, train, dropout_keys)

    def _ended(
        self, maps: dict[str, jax.Array], x: jax.Array, taps: Taps, train: bool, dropout_keys: jax.Array | None
    ) -> Outputs:
        """What is predicted from the tokens ``[B, tokens · dim]``."""
        return predict(self, maps, x, taps, token_init, train, dropout_keys)

    def _tokens(self) -> tuple[str, ...]:
        """The tokens before the patches, which the classifier reads."""
        return ("class",)

    def _token(self, name: str, dim: int) -> jax.Array:
        """A token that is learnt, and its position."""
        token = self.param(f"{name}_token", nn.initializers.zeros, (dim,))
        return (token + self.param(f"{name}_position", token_init, (dim,))).astype(self.dtype)

    def _patches(self, images: jax.Array) -> jax.Array:
        """Cuts images into patches, embeds these and adds their positions: ``[B, h, w, dim]``."""
        x = cut_into_patches(images.astype(self.dtype), self.patch)
        x = nn.Dense(self.dim, dtype=self.dtype, name="embed")(x)
        return x + self.param("position_table", token_init, x.shape[1:]).astype(self.dtype)


class Deit(Vit):
    """The network of DeiT without its distillation token: patches of 16 pixels, stochastic depth of 0.1."""

    patch: int = 16
    drop_path: float = 0.1


class DistilledDeit(Deit):
    """DeiT with its distillation token: the classifier reads both tokens, ``[B, 2 · dim]``.

    The original has a classifier for each and answers with the mean of their logits: that is one linear layer. To train
    it as DeiT is trained, where labels teach the one and a teacher the other, they must be apart.

    Attributes:
      apart: whether each token has a classifier of its own. In training the logits are then those of the class token,
        and the tap ``distillation_logits`` is those of the other; in evaluation the logits are the mean.
    """

    apart: bool = False

    def _tokens(self) -> tuple[str, ...]:
        return "class", "distillation"

    def _ended(
        self, maps: dict[str, jax.Array], x: jax.Array, taps: Taps, train: bool, dropout_keys: jax.Array | None
    ) -> Outputs:
        if not self.apart:
            return super()._ended(maps, x, taps, train, dropout_keys)
        if self.head is not None:
            raise UserError("model option apart=True: the two classifiers are the head; allowed: head=None")
        taps.keep("penultimate", x)
        of_class, of_teacher = (
            Classifier(self.num_classes, kernel_init=token_init, name=name)({"penultimate": token})
            for name, token in (("classifier", x[:, : self.dim]), ("distillation_classifier", x[:, self.dim :]))
        )
        taps.keep("distillation_logits", of_teacher)
        return Outputs(of_class if train else (of_class + of_teacher) / 2, taps.collect())


class _Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); either branch may be skipped for an example."""

    heads: int
    mlp_ratio: float
    drop_path: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, dropout_keys: jax.Array | None) -> jax.Array:
        norm = partial(nn.LayerNorm, epsilon=1e-6, dtype=self.dtype)
        y = Attention(self.heads, self.dtype, name="attention")(norm(name="norm1")(x))
        x = x + skip(y, self.drop_path, dropout_keys, name="drop_path1")
        y = TokenMlp(self.mlp_ratio, self.dtype, name="mlp")(norm(name="norm2")(x))
        return x + skip(y, self.drop_path, dropout_keys, name="drop_path2")
