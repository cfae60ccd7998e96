"""A multi-layer perceptron."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.layers import Dropout, check_inputs, head_field, predict
from effjax.models.taps import Outputs, Taps

ACTIVATIONS = {
    "relu": nn.relu,
    "tanh": nn.tanh,
    "sigmoid": nn.sigmoid,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "elu": nn.elu,
    "leaky_relu": nn.leaky_relu,
}


class Mlp(nn.Module):
    """Dense layers on the flattened image, each with a non-linearity and dropout.

    The default, three hidden layers of 300, is the shape of network that learns the shapes curriculum.

    Attributes:
      num_classes: K.
      widths: units of the hidden layers, first to last; none makes it a linear classifier.
      activation: a key of ``ACTIVATIONS``.
      dropout: the probability of dropping a hidden unit.
      dtype: what the hidden layers compute in; parameters and logits are float32.
      taps: paths to return: ``dense1``, …, after the non-linearity and before dropout, and ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Glorot & Bengio, 2010, Understanding the difficulty of training deep feedforward neural networks (the
      initialisation), https://proceedings.mlr.press/v9/glorot10a.html
    """

    num_classes: int
    widths: tuple[int, ...] = (300, 300, 300)
    activation: str = "relu"
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` has no effect: nothing is normalised."""
        check_inputs(images, dropout_keys)
        taps, init = Taps(self.taps), nn.initializers.glorot_uniform()
        x = images.reshape(images.shape[0], -1).astype(self.dtype)
        for i, width in enumerate(self.widths, start=1):
            x = nn.Dense(width, dtype=self.dtype, kernel_init=init, name=f"dense{i}")(x)
            x = ACTIVATIONS[self.activation](x)
            taps.keep(f"dense{i}", x)
            x = Dropout(self.dropout, name=f"dropout{i}")(x, dropout_keys)
        return predict(self, {}, x, taps, init, train, dropout_keys)
