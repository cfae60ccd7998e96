"""What networks that answer questions share: the question as a vector, and an image as a grid of features."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.errors import UserError
from effjax.models.tokens import cut_into_patches

PADDING = 0  # the number that fills up a question
MOST_WORDS = 64  # that a question may have room for
READERS = ("places", "gru")
_WORD = 0.3  # the standard deviation of a word's first vector


class QuestionEncoder(nn.Module):
    """A question as one vector; its padding has no effect.

    Attributes:
      words: how many there are; 0 is padding.
      dim: channels of a word, and of the question.
      reader: ``"places"``: the sum of the words, each multiplied by weights of its place, which begin as 1: cheap, and
        soon learnt; ``"gru"``: the last state of a recurrent network.
      dtype: what is computed in.

    References:
      Sukhbaatar et al, 2015, End-To-End Memory Networks, https://arxiv.org/abs/1503.08895 (weights of places)
      Cho et al, 2014, Learning Phrase Representations using RNN Encoder-Decoder, https://arxiv.org/abs/1406.1078
    """

    words: int
    dim: int
    reader: str
    dtype: DTypeLike

    @nn.compact
    def __call__(self, questions: jax.Array) -> jax.Array:
        """Maps words by number ``[B, L]``, padding last, to ``[B, dim]``; a question without a word is 0."""
        if questions.shape[1] > MOST_WORDS:
            raise ValueError(f"questions have room for {questions.shape[1]} words; allowed: at most {MOST_WORDS}")
        there = questions != PADDING
        init = nn.initializers.normal(_WORD)
        x = nn.Embed(self.words, self.dim, dtype=self.dtype, embedding_init=init, name="embed")(questions)
        count = there.sum(1)
        if self.reader == "places":
            table = self.param("place_table", nn.initializers.ones, (MOST_WORDS, self.dim))
            x = x * table[: questions.shape[1]].astype(self.dtype)
            total = jnp.where(there[..., None], x, 0).sum(1)
            return total / jnp.sqrt(jnp.maximum(count, 1))[:, None].astype(self.dtype)
        cell = nn.GRUCell(self.dim, dtype=self.dtype, name="gru")
        last, _ = nn.RNN(cell, return_carry=True, name="rnn")(x, seq_lengths=count)
        return jnp.where(count[:, None] > 0, last, 0)


class PatchGrid(nn.Module):
    """An image cut into patches, each seen by the same perceptron: cheap, where objects lie on a grid.

    Attributes:
      patch: the side of a patch, in pixels; it divides both sides of the image.
      widths: units of the hidden layers.
      dtype: what is computed in.
    """

    patch: int
    widths: tuple[int, ...]
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images ``[B, H, W, C]`` to features ``[B, h, w, widths[-1]]``."""
        x = cut_into_patches(images.astype(self.dtype), self.patch)
        for i, units in enumerate(self.widths, start=1):
            dense = nn.Dense(units, dtype=self.dtype, kernel_init=nn.initializers.he_normal(), name=f"dense{i}")
            x = nn.relu(dense(x))
        return x


class MapHead(nn.Module):
    """A backbone's head that predicts nothing: it hands on the feature map of one stride.

    Attributes:
      stride: in pixels.
    """

    stride: int

    def __call__(
        self, features: Mapping[str, jax.Array], train: bool = False, dropout_keys: jax.Array | None = None
    ) -> jax.Array:
        """Returns ``[B, h, w, C]``."""
        name = f"stride{self.stride}"
        if name not in features:
            known = ", ".join(key.removeprefix("stride") for key in features if key != "penultimate")
            raise UserError(f"model option stride={self.stride}: the backbone has maps of stride {known or 'none'}")
        return features[name]
