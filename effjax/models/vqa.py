"""A network that answers questions about images: the question says where to look, and what to make of it."""

from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.layers import Dropout, check_inputs, head_field, predict
from effjax.models.normalised import Across
from effjax.models.questions import PADDING, MapHead, PatchGrid, QuestionEncoder
from effjax.models.taps import Outputs, Taps

PATCHES, STORED = "patches", "stored"  # backbones that are no network of their own


class VqaAttention(nn.Module):
    """A grid of image features; attention on it that the question is the key of; both multiplied; a perceptron.

    Beside what attention finds, the features of all places are added up, each multiplied with the question: a weighted
    mean cannot count.

    Attributes:
      num_classes: K, the answers.
      make_backbone: from a model's name, its head and options to the model.
      words: how many words questions are made of; 0 is padding.
      backbone: what makes the grid: ``"patches"``, a perceptron on each; the name of a model, whose feature map is
        taken; ``"stored"``: the input is a grid of features already.
      patch: the side of a patch, in pixels.
      stride: of the backbone's feature map, in pixels.
      widths: units of the perceptron on patches.
      reader: what reads the question: ``"places"`` or ``"gru"``, see :class:`~effjax.models.questions.QuestionEncoder`.
      dim: channels of the grid, of words and of what is fused.
      heads: how many places are looked at.
      hidden: units of the perceptron on what is fused.
      dropout: the probability of dropping one of these.
      dtype: what the hidden layers compute in; parameters and logits are float32.
      axis_name: a mapped axis over which a backbone's batch normalisation averages, or None.
      taps: paths to return: ``grid``, ``question``, ``attention`` ``[B, heads, places]``, ``fused`` and
        ``penultimate``, after dropout.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Yang et al, 2016, Stacked Attention Networks for Image Question Answering, https://arxiv.org/abs/1511.02274
      Kazemi & Elqursh, 2017, Show, Ask, Attend, and Answer, https://arxiv.org/abs/1704.03162
      Zhang et al, 2018, Learning to Count Objects in Natural Images for Visual Question Answering,
      https://arxiv.org/abs/1802.05766 (why a mean does not)
    """

    num_classes: int
    make_backbone: Callable[..., nn.Module]
    words: int = 64
    backbone: str = PATCHES
    patch: int = 14
    stride: int = 32
    widths: tuple[int, ...] = (64,)
    reader: str = "places"
    dim: int = 64
    heads: int = 2
    hidden: int = 128
    dropout: float = 0.3
    dtype: DTypeLike = jnp.float32
    axis_name: Across = None
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        questions: jax.Array | None = None,
        train: bool = False,
        dropout_keys: jax.Array | None = None,
    ) -> Outputs:
        """Answers.

        Args:
          images: float ``[B, H, W, C]``, or stored features ``[B, h, w, C]``.
          questions: words by number, integers ``[B, L]``; None: no question, of one word's room.
          train: governs a backbone's batch normalisation.
          dropout_keys: see :func:`effjax.models.create`.

        Returns:
          ``Outputs``; the predictions are logits ``[B, K]``.
        """
        check_inputs(images, dropout_keys)
        if questions is None:
            questions = jnp.full((len(images), 1), PADDING)
        if questions.ndim != 2 or not jnp.issubdtype(questions.dtype, jnp.integer):
            raise TypeError(f"questions must be integers [B, L], got {questions.dtype} of shape {questions.shape}")
        taps = Taps(self.taps)
        grid = self._grid(images, train, dropout_keys)
        taps.keep("grid", grid)
        question = QuestionEncoder(self.words, self.dim, self.reader, self.dtype, name="question")(questions)
        taps.keep("question", question)
        grid = self._dense(self.dim, "places")(grid)
        grid = grid + self.param("position_table", nn.initializers.normal(0.5), grid.shape[1:]).astype(self.dtype)
        places = grid.reshape(len(images), -1, self.dim)
        key = jnp.tanh(self._dense(self.heads * self.dim, "key")(question)).reshape(-1, self.heads, self.dim)
        scores = jnp.einsum("bhd,bpd->bhp", key, places, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(scores * 4 / self.dim**0.5).astype(self.dtype)
        taps.keep("attention", weights)
        value = jnp.tanh(self._dense(self.dim, "value")(question))[:, None]
        looked_at = jnp.einsum("bhp,bpd->bhd", weights, places) * value
        counted = nn.relu(places * value).sum(1) / places.shape[1] ** 0.5
        fused = jnp.concatenate([looked_at.reshape(len(images), -1), counted], axis=-1)
        taps.keep("fused", fused)
        x = nn.relu(self._dense(self.hidden, "dense")(fused))
        x = Dropout(self.dropout, name="dropout_hidden")(x, dropout_keys)
        init = nn.initializers.glorot_uniform()
        return predict(self, {"grid": grid}, x, taps, init, train, dropout_keys)

    def _grid(self, images: jax.Array, train: bool, dropout_keys: jax.Array | None) -> jax.Array:
        """Features ``[B, h, w, C]``."""
        if self.backbone == STORED:
            return images.astype(self.dtype)
        if self.backbone == PATCHES:
            return PatchGrid(self.patch, self.widths, self.dtype, name=PATCHES)(images)
        options: dict[str, Any] = {"dtype": self.dtype, "name": "backbone", "axis_name": self.axis_name}
        backbone = self.make_backbone(self.backbone, MapHead(self.stride), options)
        return cast(Outputs, backbone(images, train=train, dropout_keys=dropout_keys)).preds

    def _dense(self, units: int, name: str) -> nn.Dense:
        return nn.Dense(units, dtype=self.dtype, kernel_init=nn.initializers.he_normal(), name=name)
